//! What a user writes: an actor, and how it goes on after a message.

use std::{error::Error, future::Future};

use super::{
    context::Context,
    exit::{ChildExit, RestartDecision},
};

/// State that lives on one shard and handles one message after the other.
///
/// An actor is built on its shard by a factory, so neither it nor its futures need be `Send`; only its messages
/// travel. A panic in any of these methods is contained: the actor is dropped, and built anew if its
/// [`Restart`](crate::Restart) policy says so. The message at hand is lost then, those in the mailbox are not.
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
    /// What it can be told. Answers travel through a [`Reply`](crate::Reply) inside.
    type Msg: Send + 'static;

    /// Handles one message. The next one waits until the future ends.
    fn handle(&mut self, message: Self::Msg, cx: &mut Context<Self::Msg>) -> impl Future<Output = Flow>;

    /// Runs before the first message, and again after each restart.
    fn started(&mut self, cx: &mut Context<Self::Msg>) -> impl Future<Output = Flow> {
        let _ = cx;
        async { Flow::Continue }
    }

    /// Hears that a life of a child ended, and what comes next; between two messages, after what the child had told.
    ///
    /// By default a child that ended because of too many restarts takes its parent with it: the parent fails, so it is
    /// built anew as its own policy says, with new children, or escalates in turn. Everything else is passed over.
    /// Failures of a restarting child that were not heard of in time come as one.
    fn child_exited(&mut self, child: &ChildExit, cx: &mut Context<Self::Msg>) -> impl Future<Output = Flow> {
        let _ = cx;
        let flow = if child.decision == RestartDecision::LimitReached {
            Flow::fail(child.to_string())
        } else {
            Flow::Continue
        };
        async { flow }
    }

    /// Runs after the last message, when all children have ended. Not called after a panic, nor when a system's stop has run out of time.
    fn stopped(&mut self, cx: &mut Context<Self::Msg>) -> impl Future<Output = ()> {
        let _ = cx;
        async {}
    }
}

/// How an actor goes on after a message.
#[derive(Debug)]
#[must_use]
pub enum Flow {
    /// Takes the next message.
    Continue,
    /// Ends; messages that still wait are dropped. [`Restart::Always`](crate::Restart) builds it anew.
    Stop,
    /// Ends because of an error, as a panic would, but orderly. [`Restart::Never`](crate::Restart) lets it be.
    Fail(Box<dyn Error + Send + Sync>),
}

impl Flow {
    /// Ends the actor because of `error`.
    pub fn fail(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Fail(error.into())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<Result<(), E>> for Flow {
    /// Goes on after `Ok`, fails after `Err`.
    fn from(result: Result<(), E>) -> Self {
        result.map_or_else(Self::fail, |()| Self::Continue)
    }
}
