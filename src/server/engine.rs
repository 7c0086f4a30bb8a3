//! Selection of the engine, and start of the shards on it.

use std::sync::Arc;

use windlass_actors::{Local, ShardSender, System};

use super::{engine_kind::EngineKind, error::StartError};
use crate::{
    conn::{Env, Msg},
    metrics::Metrics,
    net::EngineOptions,
};

/// A running system and the inboxes of its shards.
pub(super) type RunningShards = (System, Vec<ShardSender<Msg>>);

/// The parts of a shard that do not depend on its engine.
pub(super) struct ShardParts<B, F> {
    /// Returns a builder of the actor system. Called for each engine that is tried.
    pub(super) system: B,
    pub(super) options: EngineOptions,
    /// Creates the environment of a shard's connections. Called on the shard's thread.
    pub(super) env: Arc<F>,
}

/// Starts the shards on the engine that the setting selects; `Auto` tries io_uring first, then epoll. Logs
/// the engine and the reason for its selection, and exports both as a metric.
pub(super) fn start<B, F>(
    kind: EngineKind,
    parts: &ShardParts<B, F>,
    metrics: &Metrics,
) -> Result<RunningShards, StartError>
where
    B: Fn() -> windlass_actors::Builder,
    F: Fn(&Local) -> Env + Send + Sync + 'static,
{
    if cfg!(not(any(feature = "io-uring", feature = "epoll"))) {
        return Err(StartError::NoEngine);
    }
    let configured = || "configured".to_owned();
    let (engine, reason, running) = match kind {
        EngineKind::IoUring => (kind, configured(), start_io_uring(parts)?),
        EngineKind::Epoll => (kind, configured(), start_epoll(parts)?),
        EngineKind::Auto => match start_io_uring(parts) {
            Ok(running) => (EngineKind::IoUring, "preferred and available".to_owned(), running),
            Err(error) => match unavailable_because(&error).filter(|_| cfg!(feature = "epoll")) {
                Some(cause) => (EngineKind::Epoll, format!("no io_uring: {cause}"), start_epoll(parts)?),
                None => return Err(error),
            },
        },
    };
    tracing::info!(%engine, reason, "engine selected");
    metrics.set_engine(engine.name(), reason);
    Ok(running)
}

/// Returns the reason why an engine is unavailable. Returns `None` for an error that another engine would
/// have too.
fn unavailable_because(error: &StartError) -> Option<String> {
    match error {
        StartError::Engine { why, .. } => Some(why.clone()),
        StartError::Shards(windlass_actors::error::StartError::Shards(failures)) => {
            let first = failures.first().map(ToString::to_string);
            Some(first.unwrap_or_else(|| "its shards failed to start".to_owned()))
        }
        _ => None,
    }
}

#[cfg(not(all(feature = "io-uring", feature = "epoll")))]
fn not_compiled_in(engine: EngineKind) -> StartError {
    StartError::Engine { engine, why: "it is not compiled in".to_owned() }
}

#[cfg(feature = "io-uring")]
fn start_io_uring<B, F>(parts: &ShardParts<B, F>) -> Result<RunningShards, StartError>
where
    B: Fn() -> windlass_actors::Builder,
    F: Fn(&Local) -> Env + Send + Sync + 'static,
{
    use crate::net::ring::{ProbeError, Ring, probe};
    let unavailable =
        |error: ProbeError| StartError::Engine { engine: EngineKind::IoUring, why: error.to_string() };
    probe().map_err(unavailable)?;
    start_on::<Ring<_>, _, _>(windlass_actors::Host::Glommio, parts)
}

#[cfg(not(feature = "io-uring"))]
fn start_io_uring<B, F>(_: &ShardParts<B, F>) -> Result<RunningShards, StartError> {
    Err(not_compiled_in(EngineKind::IoUring))
}

#[cfg(feature = "epoll")]
fn start_epoll<B, F>(parts: &ShardParts<B, F>) -> Result<RunningShards, StartError>
where
    B: Fn() -> windlass_actors::Builder,
    F: Fn(&Local) -> Env + Send + Sync + 'static,
{
    start_on::<crate::net::epoll::Epoll<_>, _, _>(windlass_actors::Host::Tokio, parts)
}

#[cfg(not(feature = "epoll"))]
fn start_epoll<B, F>(_: &ShardParts<B, F>) -> Result<RunningShards, StartError> {
    Err(not_compiled_in(EngineKind::Epoll))
}

/// Starts the shards with the engine `E` on its host.
#[cfg(any(feature = "io-uring", feature = "epoll"))]
fn start_on<E, B, F>(
    host: windlass_actors::Host,
    parts: &ShardParts<B, F>,
) -> Result<RunningShards, StartError>
where
    E: crate::net::Engine<crate::conn::Connections>,
    B: Fn() -> windlass_actors::Builder,
    F: Fn(&Local) -> Env + Send + Sync + 'static,
{
    let (options, env) = (parts.options.clone(), parts.env.clone());
    let shard = move |local: &Local| {
        let engine = E::new(&options, local.doorbell())?;
        Ok(crate::server::shard::Shard::new(engine, env(local), local.clone()))
    };
    (parts.system)().host(host).start_with(shard).map_err(StartError::Shards)
}
