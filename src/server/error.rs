//! The error of a server that failed to start.

use std::fmt;

use super::engine_kind::EngineKind;
use crate::{
    body::BoxError,
    net::{BindError, ListenError},
    routing::router::RouterError,
};

/// Errors of [`Builder::start`](crate::Builder::start). Nothing is left running.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is invalid. The text names it and its valid range.
    Settings(String),
    /// A text is not an address to listen on.
    Listen(ListenError),
    /// An address cannot be bound.
    Bind(BindError),
    /// A route is invalid, or the pool that it needs failed to start.
    Routes(RouterError),
    /// The shards failed to start.
    Shards(windlass_actors::error::StartError),
    /// The router actor failed to start. The text is the cause.
    Router(String),
    /// The actors of the broker or of a hub failed to start. The text is the cause.
    Broker(String),
    /// A closure of [`Builder::with_actors`](crate::Builder::with_actors) returned an error.
    Actors(BoxError),
    /// The engine cannot run: the configured one, or with `Auto` each one of this build.
    Engine {
        /// The engine.
        engine: EngineKind,
        /// The error of the system, or that the engine is not compiled in.
        why: String,
    },
    /// This build has no engine: both of the features `io-uring` and `epoll` are off.
    NoEngine,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => f.write_str(error),
            Self::Listen(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Routes(error) => error.fmt(f),
            Self::Shards(error) => write!(f, "{error}; run 'windlass doctor' to check the system"),
            Self::Router(error) => write!(f, "the router actor failed to start: {error}"),
            Self::Broker(error) => write!(f, "the actors of the broker or a hub failed to start: {error}"),
            Self::Actors(error) => write!(f, "the program's actors failed to start: {error}"),
            Self::Engine { engine, why } => write!(
                f,
                "the engine {engine} cannot run here: {why}; run 'windlass doctor' to check the system, \
                 or use the engine 'auto', which selects one that runs"
            ),
            Self::NoEngine => f.write_str("this build has no engine: enable the feature io-uring or epoll"),
        }
    }
}

impl std::error::Error for StartError {}
