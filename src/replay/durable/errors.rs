//! Conversion of redb's errors and panics into store errors.

use std::io;

use crate::replay::{ErrorKind, Operation, StoreError};

/// Returns a function that converts an error of redb during `operation`, for use with `map_err`.
pub(super) fn redb_error<E: Into<redb::Error>>(operation: Operation) -> impl FnOnce(E) -> StoreError {
    move |error| convert(error.into(), operation)
}

fn convert(error: redb::Error, operation: Operation) -> StoreError {
    match error {
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            StoreError::with_source(ErrorKind::Damaged, operation, "the file is not a replay store", error)
        }
        redb::Error::Io(error) => StoreError::with_source(ErrorKind::Io, operation, "system error", error),
        redb::Error::DatabaseAlreadyOpen => {
            StoreError::new(ErrorKind::InUse, operation, "another process has the file open")
        }
        redb::Error::UpgradeRequired(version) => {
            let message = format!("the file has redb format {version}, which this version cannot read");
            StoreError::new(ErrorKind::Version, operation, message)
        }
        error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            StoreError::new(ErrorKind::Unavailable, operation, error.to_string())
        }
        error => StoreError::new(ErrorKind::Damaged, operation, error.to_string()),
    }
}

/// Returns the error for a panic of redb, whose assertions fail on damaged files.
pub(super) fn redb_panic(operation: Operation, panic: &str) -> StoreError {
    StoreError::new(ErrorKind::Damaged, operation, format!("the file is damaged: {panic}"))
}
