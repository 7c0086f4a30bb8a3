//! Start of the broker and the hubs: they get the shards, the pool if they need it, and a place in the
//! metrics.

use std::sync::Arc;

use windlass_actors::System;

use super::error::StartError;
#[cfg(feature = "ws")]
use crate::pubsub::hub::Hub;
use crate::{
    metrics::Metrics,
    pubsub::broker::Broker,
    replay::{ErrorKind, StoreError},
    routing::router::RouteRegistry,
};

/// Starts the broker. Returns `None` if there is none, or if it belongs to another server.
pub(super) fn start_broker(
    broker: Option<Broker>,
    system: &System,
    registry: &RouteRegistry,
    metrics: &Arc<Metrics>,
) -> Result<Option<Broker>, StartError> {
    let Some(broker) = broker else { return Ok(None) };
    if !broker.start(system).map_err(|error| StartError::Broker(error.to_string()))? {
        return Ok(None);
    }
    if broker.needs_pool() {
        broker.start_choosers(&registry.require_pool().map_err(StartError::Routes)?);
    }
    let counted = broker.clone();
    metrics.set_topics(move || counted.totals());
    let watched = broker.clone();
    metrics.set_impediment(move || watched.store_failure().map(|error| describe(&error)));
    Ok(Some(broker))
}

/// Returns the text of the readiness check for a failure of the store. The log has its details.
fn describe(error: &StoreError) -> &'static str {
    match error.kind() {
        _ if error.is_disk_full() => "the disk of the topic store is full",
        ErrorKind::Detached => "the file of the topic store was deleted, moved away or replaced",
        ErrorKind::Damaged => "the topic store is damaged",
        _ => "the topic store fails, see the log",
    }
}

/// Starts the hubs and returns them, without those that a server has already started.
#[cfg(feature = "ws")]
pub(super) fn start_hubs(
    hubs: Vec<Hub>,
    system: &System,
    registry: &RouteRegistry,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Hub>, StartError> {
    let mut started = Vec::new();
    for hub in hubs {
        if !hub.start(system).map_err(|error| StartError::Broker(error.to_string()))? {
            continue;
        }
        if hub.needs_pool() {
            hub.start_choosers(&registry.require_pool().map_err(StartError::Routes)?);
        }
        started.push(hub);
    }
    if !started.is_empty() {
        let counted = started.clone();
        metrics.set_hubs(move || {
            counted.iter().map(Hub::stats).fold(Default::default(), |mut sum, stats| {
                sum += stats;
                sum
            })
        });
    }
    Ok(started)
}
