//! The choice of an engine: which sockets drive a server's shards, on which host.

use std::{fmt, str::FromStr, sync::Arc};

use windlass_actors::{Local, ShardSender, System};

use super::StartError;
use crate::{
    conn::{Env, Msg},
    metrics::Metrics,
    net::EngineOptions,
};

/// Which engine drives the sockets of a server. What a program does is the same on each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum EngineKind {
    /// io_uring where this build has it and the system has and allows all of it, else epoll. The choice and its
    /// reason are logged, and exported as `windlass_engine_info`.
    #[default]
    Auto,
    /// io_uring, hosted by glommio: needs Linux 6.1 or newer, and is forbidden by the usual container runtimes'
    /// profiles. Where it cannot run the server does not start.
    IoUring,
    /// epoll, hosted by tokio: runs everywhere.
    Epoll,
}

impl EngineKind {
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Auto, Self::IoUring, Self::Epoll].into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| format!("'{name}' is no engine; there are auto, io_uring and epoll"))
    }
}

/// A running system and the inboxes of its shards.
pub(super) type Started = (System, Vec<ShardSender<Msg>>);

/// What shards are made of, for one attempt or the next.
pub(super) struct Parts<B, F> {
    /// Makes the builder of the system.
    pub(super) system: B,
    pub(super) options: EngineOptions,
    /// Makes the surroundings of a shard's connections, on the shard's thread.
    pub(super) env: Arc<F>,
}

/// Starts the shards on the engine asked for, and says in one line and in a metric which it is and why.
pub(super) fn start<B, F>(
    kind: EngineKind,
    parts: &Parts<B, F>,
    metrics: &Metrics,
) -> Result<Started, StartError>
where
    B: Fn() -> windlass_actors::Builder,
    F: Fn(&Local) -> Env + Send + Sync + 'static,
{
    if cfg!(not(any(feature = "io-uring", feature = "epoll"))) {
        return Err(StartError::NoEngine);
    }
    let asked_for = || "asked for".to_owned();
    let (engine, reason, started) = match kind {
        EngineKind::IoUring => (kind, asked_for(), on_io_uring(parts)?),
        EngineKind::Epoll => (kind, asked_for(), on_epoll(parts)?),
        EngineKind::Auto => match on_io_uring(parts) {
            Ok(started) => (EngineKind::IoUring, "the default, and it works here".to_owned(), started),
            Err(error) => match refusal(&error).filter(|_| cfg!(feature = "epoll")) {
                Some(why) => (EngineKind::Epoll, format!("no io_uring: {why}"), on_epoll(parts)?),
                None => return Err(error),
            },
        },
    };
    tracing::info!(%engine, reason, "the engine is chosen");
    metrics.set_engine(engine.name(), reason);
    Ok(started)
}

/// Returns why an engine cannot run, if another one might.
fn refusal(error: &StartError) -> Option<String> {
    match error {
        StartError::Engine { why, .. } => Some(why.clone()),
        StartError::Shards(windlass_actors::error::StartError::Shards(failures)) => {
            Some(failures.first().map_or_else(|| "its shards do not start".to_owned(), ToString::to_string))
        }
        _ => None,
    }
}

#[cfg(not(all(feature = "io-uring", feature = "epoll")))]
fn not_built(engine: EngineKind) -> StartError {
    StartError::Engine { engine, why: "it is not in this build".to_owned() }
}

#[cfg(feature = "io-uring")]
fn on_io_uring<B, F>(parts: &Parts<B, F>) -> Result<Started, StartError>
where
    B: Fn() -> windlass_actors::Builder,
    F: Fn(&Local) -> Env + Send + Sync + 'static,
{
    use crate::net::ring::{ProbeError, Ring, probe};
    let refused =
        |error: ProbeError| StartError::Engine { engine: EngineKind::IoUring, why: error.to_string() };
    probe().map_err(refused)?;
    run::<Ring<_>, _, _>(windlass_actors::Host::Glommio, parts)
}

#[cfg(not(feature = "io-uring"))]
fn on_io_uring<B, F>(_: &Parts<B, F>) -> Result<Started, StartError> {
    Err(not_built(EngineKind::IoUring))
}

#[cfg(feature = "epoll")]
fn on_epoll<B, F>(parts: &Parts<B, F>) -> Result<Started, StartError>
where
    B: Fn() -> windlass_actors::Builder,
    F: Fn(&Local) -> Env + Send + Sync + 'static,
{
    run::<crate::net::epoll::Epoll<_>, _, _>(windlass_actors::Host::Tokio, parts)
}

#[cfg(not(feature = "epoll"))]
fn on_epoll<B, F>(_: &Parts<B, F>) -> Result<Started, StartError> {
    Err(not_built(EngineKind::Epoll))
}

/// Starts the shards with an engine on its host.
#[cfg(any(feature = "io-uring", feature = "epoll"))]
fn run<E, B, F>(host: windlass_actors::Host, parts: &Parts<B, F>) -> Result<Started, StartError>
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_named_as_they_are_written() {
        for kind in [EngineKind::Auto, EngineKind::IoUring, EngineKind::Epoll] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("io-uring".parse::<EngineKind>().unwrap_err().contains("io_uring"));
    }
}
