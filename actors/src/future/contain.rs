//! Keeps a panic inside the future or call it happened in.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// What a caught panic carried.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Calls `f`; a panic comes back as a value.
pub(crate) fn contain<T>(f: impl FnOnce() -> T) -> Result<T, Payload> {
    // What `f` touched is dropped or rebuilt by the callers after a panic, so no broken state is looked at.
    catch_unwind(AssertUnwindSafe(f))
}

/// Runs `future`; a panic in one of its polls or in its drop ends it and comes back as a value.
///
/// # Cancel safety
///
/// Dropping this drops `future`, outside of any containment.
pub(crate) async fn contained<F: Future>(future: F) -> Result<F::Output, Payload> {
    let mut slot = pin!(Some(future));
    let outcome = poll_fn(|cx| {
        let Some(future) = slot.as_mut().as_pin_mut() else { return Poll::Pending };
        match contain(|| future.poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await;
    let dropped = contain(|| slot.set(None));
    outcome.and_then(|output| dropped.map(|()| output))
}

/// Reads the message of a caught panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a value that is not text".to_owned())
}
