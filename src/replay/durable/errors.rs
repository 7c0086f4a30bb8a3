//! Conversion of redb's errors and panics into store errors.

use std::{cell::Cell, io};

use crate::replay::{ErrorKind, Operation, StoreError, panic::catch_panic};

thread_local! {
    /// `true` while this thread runs redb in [`guard`].
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Returns `true` while this thread runs code whose panics the durable store returns as errors. A panic hook
/// need not report them.
#[doc(hidden)]
pub fn is_guarded() -> bool {
    IS_GUARDED.get()
}

/// Runs redb. It verifies what it reads and asserts its invariants, so certain damage makes it panic. Returns
/// the panic as an error.
pub(super) fn guard<T>(
    operation: Operation,
    f: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let outer = IS_GUARDED.replace(true);
    let outcome = catch_panic(f);
    IS_GUARDED.set(outer);
    outcome.unwrap_or_else(|panic| Err(redb_panic(operation, &panic)))
}

/// Returns a function that converts an error of redb during `operation`, for use with `map_err`.
pub(super) fn redb_error<E: Into<redb::Error>>(operation: Operation) -> impl FnOnce(E) -> StoreError {
    move |error| convert(error.into(), operation)
}

/// Advice for a damaged file. A backup must not be restored, because it repeats positions.
const REMEDY: &str = "move it away to begin a new history";

fn convert(error: redb::Error, operation: Operation) -> StoreError {
    match error {
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            let message = format!("the file is not a topic store, or its first bytes are damaged; {REMEDY}");
            StoreError::with_source(ErrorKind::Damaged, operation, message, error)
        }
        redb::Error::Io(error) => StoreError::with_source(ErrorKind::Io, operation, "system error", error),
        redb::Error::DatabaseAlreadyOpen => StoreError::new(
            ErrorKind::InUse,
            operation,
            "another process has the file open: stop it, or use another directory",
        ),
        redb::Error::UpgradeRequired(version) => {
            let message =
                format!("the file has redb format {version}, which this version cannot read; {REMEDY}");
            StoreError::new(ErrorKind::Version, operation, message)
        }
        error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            StoreError::new(ErrorKind::Unavailable, operation, error.to_string())
        }
        error => {
            let message = format!("the file is damaged ({error}); {REMEDY}");
            StoreError::new(ErrorKind::Damaged, operation, message)
        }
    }
}

/// Returns the error for a panic of redb, whose assertions fail on damaged files.
fn redb_panic(operation: Operation, panic: &str) -> StoreError {
    // These messages say something about redb's code and nothing about the file.
    let is_bare = ["internal error", "assertion", "called `"].iter().any(|start| panic.starts_with(start));
    // One line, whatever the assertion.
    let words = panic.split_whitespace().collect::<Vec<_>>().join(" ");
    let details = if is_bare { String::new() } else { format!(" ({words})") };
    let message = format!("the file is damaged, its parts contradict each other{details}; {REMEDY}");
    StoreError::new(ErrorKind::Damaged, operation, message)
}
