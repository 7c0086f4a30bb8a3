//! Keeps panics where they happen.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Completion, StoreError};

/// Calls a completion; its panic ends nothing but itself. The panic hook has told it.
pub(super) fn complete<T>(done: Completion<T>, outcome: Result<T, StoreError>) {
    // The completion is gone after it, so nobody sees what it may have left half done.
    drop(catch_unwind(AssertUnwindSafe(|| done(outcome))));
}

/// Calls `f`; a panic comes back as its message.
#[cfg(feature = "durable")]
pub(super) fn contain<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| message(payload.as_ref()))
}

#[cfg(feature = "durable")]
fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}
