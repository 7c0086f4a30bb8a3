//! The error of a value that the router does not have.

use std::fmt;

/// The error of [`Request::need_state`](super::Request::need_state): the router has no value of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingState(&'static str);

impl MissingState {
    pub(super) fn of<T>() -> Self {
        Self(std::any::type_name::<T>())
    }
}

impl fmt::Display for MissingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the router has no state of type {}: add the value with Router::state", self.0)
    }
}

impl std::error::Error for MissingState {}
