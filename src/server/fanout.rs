//! What a server gives its broker and its hubs: the shards, the pool if their policies ask callbacks, a place in the
//! metrics.

use std::sync::Arc;

use windlass_actors::System;

use super::StartError;
#[cfg(feature = "ws")]
use crate::pubsub::hub::Hub;
use crate::{metrics::Metrics, pubsub::broker::Broker, routing::router::RouteRegistry};

/// Starts the broker. None: there is none, or it works for another server.
pub(super) fn start_broker(
    broker: Option<Broker>,
    system: &System,
    source: &RouteRegistry,
    metrics: &Arc<Metrics>,
) -> Result<Option<Broker>, StartError> {
    let Some(broker) = broker else { return Ok(None) };
    if !broker.start(system).map_err(|error| StartError::Broker(error.to_string()))? {
        return Ok(None);
    }
    if broker.needs_pool() {
        broker.start_choosers(&source.require_pool().map_err(StartError::Routes)?);
    }
    let totals = broker.clone();
    metrics.set_topics(move || totals.totals());
    Ok(Some(broker))
}

/// Starts the hubs; returns those that do not work for another server.
#[cfg(feature = "ws")]
pub(super) fn start_hubs(
    hubs: Vec<Hub>,
    system: &System,
    source: &RouteRegistry,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Hub>, StartError> {
    let mut ours = Vec::new();
    for hub in hubs {
        if !hub.start(system).map_err(|error| StartError::Broker(error.to_string()))? {
            continue;
        }
        if hub.needs_pool() {
            hub.start_choosers(&source.require_pool().map_err(StartError::Routes)?);
        }
        ours.push(hub);
    }
    if !ours.is_empty() {
        let summed = ours.clone();
        metrics.set_hubs(move || {
            summed.iter().map(Hub::stats).fold(Default::default(), |mut sum, stats| {
                sum += stats;
                sum
            })
        });
    }
    Ok(ours)
}
