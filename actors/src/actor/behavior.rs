//! The trait that users implement for their actors.

use std::{error::Error, future::Future};

use super::{
    context::Context,
    exit::{ChildExit, RestartDecision},
};

/// Actor: private state on one shard that handles one message at a time.
///
/// A factory builds the actor on its shard. So neither the actor nor its futures need to be `Send`; only its
/// messages travel between threads.
///
/// A panic in one of these methods is caught. The actor is dropped, and restarts if its
/// [`Restart`](crate::Restart) policy covers panics and its restart limit is not reached. The message that
/// caused the panic is lost. The messages in the mailbox stay.
///
/// ```
/// use windlass_actors::{Actor, Context, Flow, Reply};
///
/// enum Msg {
///     Add(u64),
///     Sum(Reply<u64>),
/// }
///
/// #[derive(Default)]
/// struct Adder(u64);
///
/// impl Actor for Adder {
///     type Msg = Msg;
///
///     async fn handle(&mut self, message: Msg, _: &mut Context<Msg>) -> Flow {
///         match message {
///             Msg::Add(n) => self.0 += n,
///             Msg::Sum(reply) => reply.send(self.0),
///         }
///         Flow::Continue
///     }
/// }
/// ```
pub trait Actor: 'static {
    /// Messages that the actor takes. A question carries a [`Reply`](crate::Reply) for its answer.
    type Msg: Send + 'static;

    /// Handles one message. The next message waits until the future ends.
    fn handle(&mut self, message: Self::Msg, cx: &mut Context<Self::Msg>) -> impl Future<Output = Flow>;

    /// Called before the first message of each run, so also after a restart.
    fn started(&mut self, cx: &mut Context<Self::Msg>) -> impl Future<Output = Flow> {
        let _ = cx;
        async { Flow::Continue }
    }

    /// Called when a run of a child has ended, with the decision about its next run.
    ///
    /// The call comes between two messages, after the messages that the child sent before its end. Several
    /// failures of a restarting child may be reported in one call.
    ///
    /// By default the actor fails when a child has reached its restart limit, and ignores everything else. So
    /// the actor restarts with new children, or reaches its own limit and fails its own parent.
    fn child_exited(&mut self, child: &ChildExit, cx: &mut Context<Self::Msg>) -> impl Future<Output = Flow> {
        let _ = cx;
        let flow = if child.decision == RestartDecision::LimitReached {
            Flow::fail(child.to_string())
        } else {
            Flow::Continue
        };
        async { flow }
    }

    /// Called after the last message of each run, when all children have exited or were aborted.
    ///
    /// Not called after a panic, nor if the actor is aborted: by its parent after the
    /// [grace](crate::SpawnOptions::children_grace), or when the timeout of the system's stop has expired.
    fn stopped(&mut self, cx: &mut Context<Self::Msg>) -> impl Future<Output = ()> {
        let _ = cx;
        async {}
    }
}

/// Next step of an actor after its start, a message or the exit of a child.
#[derive(Debug)]
#[must_use]
pub enum Flow {
    /// Continues the run with the next message.
    Continue,
    /// Ends this run. With [`Restart::Always`](crate::Restart::Always) the actor restarts, up to its restart
    /// limit. Otherwise it exits, and the waiting messages are dropped.
    Stop,
    /// Ends this run with an error. It counts as a failure, like a panic, but [`stopped`](Actor::stopped) is
    /// called. With [`Restart::Never`](crate::Restart::Never) the actor exits, otherwise it restarts, up to
    /// its restart limit.
    Fail(Box<dyn Error + Send + Sync>),
}

impl Flow {
    /// Returns [`Flow::Fail`] with this error.
    pub fn fail(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Fail(error.into())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<Result<(), E>> for Flow {
    /// Returns [`Flow::Continue`] for `Ok` and [`Flow::Fail`] for `Err`.
    fn from(result: Result<(), E>) -> Self {
        result.map_or_else(Self::fail, |()| Self::Continue)
    }
}
