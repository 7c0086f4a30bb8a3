//! The choice of an engine: which sockets drive a server's shards, on which host.

use std::sync::Arc;

use windlass_actors::{Local, ShardSender, System};

use super::StartError;
use crate::{
    conn::{Env, Msg},
    metrics::Metrics,
    net::EngineOptions,
};

/// Starts the shards on the io_uring engine.
#[cfg(feature = "io-uring")]
pub(super) fn start(
    shards: windlass_actors::Builder,
    options: EngineOptions,
    env: impl Fn(&Local) -> Env + Send + Sync + 'static,
    metrics: &Arc<Metrics>,
) -> Result<(System, Vec<ShardSender<Msg>>), StartError> {
    use crate::{
        conn::Connections,
        net::{Engine, ring::Ring},
        shard::Shard,
    };
    let started = shards.host(windlass_actors::Host::Glommio).start_with(move |local| {
        let ring = <Ring<_> as Engine<Connections>>::new(&options, local.doorbell())?;
        Ok(Shard::new(ring, env(local), local.clone()))
    });
    metrics.set_engine("io_uring", "the default".to_owned());
    started.map_err(StartError::Shards)
}

/// Without an engine nothing can be served.
#[cfg(not(feature = "io-uring"))]
pub(super) fn start(
    _: windlass_actors::Builder,
    _: EngineOptions,
    _: impl Fn(&Local) -> Env + Send + Sync + 'static,
    _: &Arc<Metrics>,
) -> Result<(System, Vec<ShardSender<Msg>>), StartError> {
    Err(StartError::NoEngine)
}
