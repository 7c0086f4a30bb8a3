//! Errors of changes to the routes of a running server.

use std::fmt;

use windlass_actors::error::AskError;

use crate::routing::table::RouteError;

/// Errors of changes to the routes of a running server. The routes stay as they were.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouterError {
    /// The route is invalid or conflicts with another one.
    Route(RouteError),
    /// No route has this method and path. The text names them.
    Unknown(String),
    /// The first async route needs the pool, whose threads failed to start. The text is the cause.
    Pool(String),
    /// The router did not answer.
    ///
    /// The server has stopped, the router was busy for 10 s, or a blocking method was called on a shard's
    /// thread. In the second case the change may still happen.
    NoReply(AskError),
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(error) => error.fmt(f),
            Self::Unknown(route) => write!(f, "no route {route} is registered"),
            Self::Pool(error) => write!(f, "the pool for async routes failed to start: {error}"),
            Self::NoReply(error) => write!(f, "the router does not answer: {error}"),
        }
    }
}

impl std::error::Error for RouterError {}
