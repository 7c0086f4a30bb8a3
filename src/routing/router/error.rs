//! The error of a router's routes: at the start of the server, and when they change while it runs.

use std::fmt;

use windlass_actors::error::AskError;

use crate::routing::table::RouteError;

/// The error of a router's routes. At the start the server does not start. After a failed change the routes
/// stay as they were, except as [`NoReply`](Self::NoReply) says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouterError {
    /// The route is invalid or conflicts with another one.
    Route(RouteError),
    /// No route has this method and path. The text names them.
    Unknown(String),
    /// The first async route starts the pool, and the pool's threads failed to start. The text is the cause.
    Pool(String),
    /// The router actor did not answer: the server is stopping or has stopped, the answer took longer than
    /// 10 s, or a blocking method was called on a shard's thread. After the 10 s the change may still happen.
    NoReply(AskError),
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(error) => error.fmt(f),
            Self::Unknown(route) => write!(f, "no route {route} is registered"),
            Self::Pool(error) => write!(f, "the pool for async routes failed to start: {error}"),
            Self::NoReply(error) => write!(f, "the router did not answer: {error}"),
        }
    }
}

impl std::error::Error for RouterError {}
