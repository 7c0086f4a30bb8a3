//! What goes wrong in a store.

use std::{error::Error, fmt, sync::Arc};

/// What kept a store from doing what it was asked. Cheap to clone: one failed commit fails many appends.
#[derive(Clone)]
pub struct StoreError(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: Operation,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Says what sort of trouble it is, and so whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A bounded queue of the store is full. Load: try again when there is room.
    Full,
    /// The event, its name or its topic's name is longer than the store takes. The caller's fault.
    TooLarge,
    /// The store holds as many topics as it may. The caller's fault, or a limit set too low.
    TooManyTopics,
    /// Another process has the store open. The operator's fault.
    InUse,
    /// The store was written by a version that this one cannot read. The operator's fault.
    Version,
    /// What the store reads cannot be right. The storage's fault, or of who wrote to its file.
    Damaged,
    /// The system refused a read, a write or a sync: disk full, no permission, a failing disk.
    Io,
    /// An earlier failure has not been overcome yet; the message says which.
    Unavailable,
    /// The store was closed.
    Closed,
    /// Anything a store of your own has to say.
    Other,
}

/// Names what the store was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the store, or opening it again after a failure.
    Open,
    /// Appending an event, up to its commit.
    Append,
    /// Reading events back.
    Read,
    /// Making durable what was acknowledged before, with nobody waiting for it.
    Sync,
    /// Removing what retention no longer keeps.
    Trim,
    /// Closing the store.
    Close,
}

impl Operation {
    /// Returns the word that stands in a metric's label.
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
    /// Makes an error that has no other as its cause.
    pub fn new(kind: ErrorKind, operation: Operation, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, operation, message: message.into(), source: None }))
    }

    /// Makes an error with its cause, which becomes its [`source`](Error::source). The message does not repeat it.
    pub fn caused(
        kind: ErrorKind,
        operation: Operation,
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner { kind, operation, message: message.into(), source: Some(source.into()) }))
    }

    /// Returns what sort of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Says whether the store is well and only will not have this now: it is full, or closed, or the event too large.
    pub fn is_refusal(&self) -> bool {
        use ErrorKind::{Closed, Full, TooLarge, TooManyTopics};
        matches!(self.kind(), Full | TooLarge | TooManyTopics | Closed)
    }

    /// Returns what the store was doing.
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
