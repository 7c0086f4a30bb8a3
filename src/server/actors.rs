//! Actors of the program, and the routes that use them.

use std::fmt;

use windlass_actors::System;

use super::error::StartError;
use crate::{
    body::BoxError,
    routing::router::{Group, RouteRegistry},
};

type Setup = dyn FnOnce(&System, Group) -> Result<Group, BoxError> + Send;

/// A closure that spawns actors and adds their routes, once the shards run.
pub(super) struct ActorSetup(Box<Setup>);

impl ActorSetup {
    pub(super) fn new(
        setup: impl FnOnce(&System, Group) -> Result<Group, BoxError> + Send + 'static,
    ) -> Self {
        Self(Box::new(setup))
    }

    /// Calls the closure and publishes its routes. An error of the closure, or an invalid route, is returned.
    pub(super) fn run(self, system: &System, registry: &RouteRegistry) -> Result<(), StartError> {
        let group = (self.0)(system, Group::default()).map_err(StartError::Actors)?;
        registry.add_group(group).map_err(StartError::Routes)
    }
}

impl fmt::Debug for ActorSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActorSetup")
    }
}
