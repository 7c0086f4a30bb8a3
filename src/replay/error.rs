//! Errors of stores.

use std::{error::Error, fmt, io, sync::Arc};

/// Error of a store operation. It is cheap to clone, because one failed commit fails many appends.
#[derive(Clone)]
pub struct StoreError(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: Operation,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Kind of a store error, which also tells who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A bounded queue of the store is full. Overload: retry when there is room.
    Full,
    /// A part of the event is longer than the store's limits allow, or it has too many labels or tags. Caller
    /// error.
    TooLarge,
    /// The store holds the maximum number of logs. Caller error, or a limit that is set too low.
    TooManyLogs,
    /// The idempotency key of the event belongs to an event with other content. Caller error.
    KeyReused,
    /// Another process has the store open. Operator error.
    InUse,
    /// The store was written by a version that this one cannot read. Operator error.
    Version,
    /// The file of the store was deleted, moved away or replaced while it was in use. Operator error.
    Detached,
    /// The stored data is invalid. The disk is at fault, or another program wrote to the file.
    Damaged,
    /// The system failed a read, a write or a sync: disk full, no permission or a failing disk.
    Io,
    /// The store has not recovered from an earlier failure, which is the cause of this error.
    Unavailable,
    /// The store is closed.
    Closed,
    /// Any other error, for stores outside this crate.
    Other,
}

/// Store operation during which an error happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the store, or reopening it after a failure.
    Open,
    /// Appending an event, commit included.
    Append,
    /// Reading events.
    Read,
    /// Syncing events that were acknowledged earlier, in the background or for a flush.
    Sync,
    /// Removing events that retention no longer keeps.
    Trim,
    /// Closing the store.
    Close,
}

impl Operation {
    /// Returns the label value used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Append => "append",
            Self::Read => "read",
            Self::Sync => "sync",
            Self::Trim => "trim",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StoreError {
    /// Creates an error without a cause.
    pub fn new(kind: ErrorKind, operation: Operation, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, operation, message: message.into(), source: None }))
    }

    /// Creates an error with a cause, which becomes its [`source`](Error::source). [`Display`](fmt::Display)
    /// appends the cause to the message, so the message should not repeat it.
    pub fn with_source(
        kind: ErrorKind,
        operation: Operation,
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner { kind, operation, message: message.into(), source: Some(source.into()) }))
    }

    /// Adds the name of the place to the message.
    #[cfg(feature = "durable")]
    pub(crate) fn at(self, name: &str) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => Self(Arc::new(Inner { message: format!("{name}: {}", inner.message), ..inner })),
            Err(shared) => Self::with_source(shared.kind, shared.operation, name, Self(shared)),
        }
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns `true` if the store works but rejected this request: it is full or closed, a limit is
    /// exceeded, or an idempotency key is used for other content.
    pub fn is_rejection(&self) -> bool {
        use ErrorKind::{Closed, Full, KeyReused, TooLarge, TooManyLogs};
        matches!(self.kind(), Full | TooLarge | TooManyLogs | KeyReused | Closed)
    }

    /// Returns `true` if the cause is a full disk, a quota or a limit of the file's size. The store
    /// recovers by itself once there is room.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let mut cause = self.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
            }
            cause = error.source();
        }
        false
    }

    /// Returns the operation that failed.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replay {}: {}", self.0.operation, self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreError({:?}, {self})", self.0.kind)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
