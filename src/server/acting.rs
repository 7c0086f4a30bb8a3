//! Routes whose handlers speak to actors of the server's own shards.

use std::fmt;

use windlass_actors::System;

use super::{Builder, StartError};
use crate::{
    body::BoxError,
    routing::router::{Group, RouteRegistry},
};

type Make = dyn FnOnce(&System, Group) -> Result<Group, BoxError> + Send;

/// Makes actors and their routes once the shards run.
pub(super) struct Acting(Box<Make>);

impl fmt::Debug for Acting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acting")
    }
}

impl Builder {
    /// Spawns actors on the server's shards and adds the routes that speak to them: called once the shards run, before
    /// the first connection is accepted. Call it again for more.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windlass::{HandlerError, Request, Server, actors::{Actor, Context, Flow, Placement, Reply, SpawnOptions}, get};
    ///
    /// struct Counter(u64);
    ///
    /// impl Actor for Counter {
    ///     type Msg = Reply<u64>;
    ///     async fn handle(&mut self, reply: Reply<u64>, _: &mut Context<Self::Msg>) -> Flow {
    ///         self.0 += 1;
    ///         reply.send(self.0);
    ///         Flow::Continue
    ///     }
    /// }
    ///
    /// let client = Server::builder()
    ///     .with_actors(|system, routes| {
    ///         let counter = system.spawn(Placement::LeastLoaded, SpawnOptions::named("counter"), || Counter(0))?;
    ///         Ok(routes.route(get("/count", move |_: Request| {
    ///             let counter = counter.clone();
    ///             async move {
    ///                 let count = counter.ask(|reply| reply, Duration::from_secs(1)).await?;
    ///                 Ok::<_, HandlerError>(count.to_string())
    ///             }
    ///         })))
    ///     })
    ///     .test_client()?;
    /// assert_eq!(client.get("/count").body(), "1");
    /// # Ok::<(), windlass::StartError>(())
    /// ```
    #[must_use]
    pub fn with_actors(
        mut self,
        make: impl FnOnce(&System, Group) -> Result<Group, BoxError> + Send + 'static,
    ) -> Self {
        self.acting.push(Acting(Box::new(make)));
        self
    }

    /// Makes the actors, and adds their routes.
    pub(super) fn act(&mut self, system: &System, source: &RouteRegistry) -> Result<(), StartError> {
        for Acting(make) in self.acting.drain(..) {
            let group = make(system, Group::default()).map_err(StartError::Actors)?;
            source.add_all(group.into_routes()).map_err(StartError::Routes)?;
        }
        Ok(())
    }
}
