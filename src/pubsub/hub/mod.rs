//! The hub: messages to many WebSockets at once, each with a mailbox of its own.
//!
//! ```
//! use windlass::{Router, hub::Hub, websocket, ws::Socket};
//!
//! let hub = Hub::new(Default::default());
//! let members = hub.clone();
//! let chat = move |mut socket: Socket| {
//!     let hub = members.clone();
//!     async move {
//!         // The socket gets what is broadcast, until it is over.
//!         let _member = hub.register(&mut socket);
//!         while let Some(Ok(message)) = socket.recv().await {
//!             hub.broadcast(&message);
//!         }
//!     }
//! };
//! let router = Router::new().route(websocket("/chat", chat));
//! # let _ = router;
//! ```
//!
//! A message is framed once, however many members there are, and handed to their mailboxes by the fan-out that the
//! [`broker`](crate::pubsub::broker) uses too: broadcasting waits for nobody, and no member delays another. Hubs keep no history.

mod broadcast;
mod member;
mod settings;

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use windlass_actors::{
    Pool, System,
    error::SpawnError,
    fanout::{Fanout, Payload, Policy, SubscribeOptions, Topic, TopicError, TopicStats},
};

use crate::ws::{Outgoing, Prepared, Socket};

pub use broadcast::{BroadcastError, Confirmed, Sent};
pub use member::{Member, Membership};
pub use settings::HubSettings;

/// A longer time to close counts as this: an instant beyond it may not exist. A year.
const LONGEST_CLOSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// WebSockets that get the same messages. Clones are one hub; it may be used from any thread.
///
/// It begins to work with the server it is given to ([`Builder::hub`](crate::Builder::hub)).
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

pub(crate) struct Shared {
    settings: HubSettings,
    /// There once the server runs.
    running: OnceLock<Running>,
    /// A server has it.
    taken: AtomicBool,
    closing: AtomicBool,
    /// Memberships that live, registered or not, and who waits until there are none.
    living: Mutex<(usize, Vec<Waker>)>,
}

struct Running {
    fanout: Fanout<Message>,
    topic: Topic<Message>,
}

/// What members' mailboxes hold.
pub(crate) struct Message(Prepared);

impl Payload for Message {
    fn weight(&self) -> usize {
        self.0.held_bytes()
    }
}

/// Why nobody can register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubError {
    /// The hub was given to no server, or that one has not started.
    NotStarted,
    /// The hub was closed.
    Closed,
    /// The shard has as many messages to hand out as it can hold; try again soon.
    Busy,
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "the hub's server has not started",
            Self::Closed => "the hub is closed",
            Self::Busy => "the shard is busy handing out messages; try again soon",
        })
    }
}

impl std::error::Error for HubError {}

impl Hub {
    /// Makes a hub without members.
    pub fn new(settings: HubSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            running: OnceLock::new(),
            taken: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            living: Mutex::default(),
        }))
    }

    /// Begins to work on the shards of `system`. False: it works for another server.
    pub(crate) fn start(&self, system: &System) -> Result<bool, SpawnError> {
        if self.0.taken.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let fanout = Fanout::start(system).inspect_err(|_| self.0.taken.store(false, Ordering::SeqCst))?;
        let topic = fanout.topic(self.0.settings.bounds(), self.0.settings.overflow.clone());
        // Nobody else sets it: `taken` was ours.
        let _ = self.0.running.set(Running { fanout, topic });
        Ok(true)
    }

    /// Says whether its policy asks callbacks, which need a pool.
    pub(crate) fn asks(&self) -> bool {
        matches!(self.0.settings.overflow, Policy::Ask(_))
    }

    /// Has callbacks run on a pool.
    pub(crate) fn ask_on(&self, pool: &Pool) {
        if let Policy::Ask(chooser) = &self.0.settings.overflow {
            chooser.start(pool);
        }
    }

    /// Takes no member and no message from here on: the server ends, and closes the sockets.
    pub(crate) fn drain(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
        if let Policy::Ask(chooser) = &self.0.settings.overflow {
            chooser.stop();
        }
    }

    /// Has a socket get what is broadcast from here on, until it is over, or the member leaves.
    ///
    /// Dropping what is returned changes nothing.
    ///
    /// # Errors
    ///
    /// The hub has not started, is closed, or its shard is busy.
    pub fn register(&self, socket: &mut Socket) -> Result<Member, HubError> {
        let membership = self.member(None)?;
        let member = membership.member();
        socket.attach(membership);
        Ok(member)
    }

    /// Like [`register`](Self::register), and says who it is: filters and callbacks are shown that.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn register_as(&self, socket: &mut Socket, who: impl Any + Send + Sync) -> Result<Member, HubError> {
        let membership = self.member(Some(Arc::new(who)))?;
        let member = membership.member();
        socket.attach(membership);
        Ok(member)
    }

    /// Makes a member that is given to no socket: to be attached to half of one
    /// ([`Sender::attach`](crate::ws::Sender::attach)), or polled by itself.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn member(&self, who: Option<Arc<dyn Any + Send + Sync>>) -> Result<Membership, HubError> {
        let running = self.0.running.get().ok_or(HubError::NotStarted)?;
        if self.0.closing.load(Ordering::SeqCst) {
            return Err(HubError::Closed);
        }
        let settings = &self.0.settings;
        let options = SubscribeOptions {
            identity: who,
            ..SubscribeOptions::new(settings.bounds(), settings.overflow.clone())
        };
        let subscription = running.topic.subscribe_with(options).map_err(|error| match error {
            TopicError::Busy => HubError::Busy,
            _ => HubError::Closed,
        })?;
        Ok(Membership::new(self.0.clone(), subscription))
    }

    /// Sends a message to every member. Waits for nobody.
    pub fn broadcast<'a>(&self, message: impl Into<Outgoing<'a>>) -> Sent {
        self.broadcast_prepared(&self.prepare(message))
    }

    /// Sends a message whose frames are made to every member.
    pub fn broadcast_prepared(&self, message: &Prepared) -> Sent {
        self.publish(|topic| topic.publish(|_| Message(message.clone())))
    }

    /// Sends a message to those members that `filter` says it is for: it is shown who each is, if that was said. It runs on
    /// the shards, so it must be quick; one that panics says no, and is counted.
    pub fn broadcast_filter<'a>(
        &self,
        message: impl Into<Outgoing<'a>>,
        filter: impl Fn(Option<&(dyn Any + Send + Sync)>) -> bool + Send + Sync + 'static,
    ) -> Sent {
        let message = Message(self.prepare(message));
        self.publish(|topic| topic.publish_filtered(Arc::new(filter), message))
    }

    fn publish(
        &self,
        publish: impl FnOnce(&Topic<Message>) -> Result<windlass_actors::fanout::Receipt<Message>, TopicError>,
    ) -> Sent {
        match self.0.running.get() {
            None => Sent::nobody(BroadcastError::NotStarted),
            Some(_) if self.0.closing.load(Ordering::SeqCst) => Sent::nobody(BroadcastError::Closed),
            Some(running) => {
                publish(&running.topic).map_or_else(|_| Sent::nobody(BroadcastError::Closed), Sent::new)
            }
        }
    }

    /// Makes a message's frames, compressed too if the settings say so.
    pub fn prepare<'a>(&self, message: impl Into<Outgoing<'a>>) -> Prepared {
        let prepared = match message.into() {
            Outgoing::Prepared(prepared) => return prepared.clone(),
            Outgoing::Text(text) => Prepared::text(&text),
            Outgoing::Binary(bytes) => Prepared::binary(&bytes),
        };
        match &self.0.settings.compression {
            Some(deflate) => prepared.with_deflate(deflate),
            None => prepared,
        }
    }

    /// Returns how many members are registered.
    pub fn len(&self) -> usize {
        self.0.running.get().map_or(0, |running| running.topic.subscribers())
    }

    /// Says whether nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes the hub: nobody can register and nothing be broadcast from here on; what was broadcast before still leaves;
    /// then every member's socket is closed with code 1001.
    ///
    /// Returns when all are closed, or after `timeout`: then with how many are left, whose clients take nothing. Those are
    /// members no more, and end with their connection's write timer. Called again it waits likewise.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the hub is closed all the same, once it was polled.
    pub async fn close(&self, timeout: Duration) -> usize {
        self.0.closing.store(true, Ordering::SeqCst);
        let Some(running) = self.0.running.get() else { return 0 };
        let mut closed = pin!(running.topic.close());
        let mut told = false;
        let mut late = pin!(running.fanout.deadline(Instant::now() + timeout.min(LONGEST_CLOSE)));
        poll_fn(|cx| {
            told = told || closed.as_mut().poll(cx).is_ready();
            let left = if told { self.0.poll_nobody(cx.waker()) } else { Poll::Pending };
            if left.is_ready() { left } else { late.as_mut().poll(cx) }
        })
        .await;
        self.0.living.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Returns what the hub did so far.
    pub fn stats(&self) -> TopicStats {
        self.0.running.get().map(|running| running.topic.stats()).unwrap_or_default()
    }
}

impl Shared {
    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    fn joined(&self) {
        self.living.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    }

    fn left(&self) {
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        living.0 -= 1;
        let waiting = if living.0 == 0 { std::mem::take(&mut living.1) } else { Vec::new() };
        drop(living);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until no membership lives.
    fn poll_nobody(&self, waker: &Waker) -> Poll<()> {
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        if living.0 == 0 {
            return Poll::Ready(());
        }
        if !living.1.iter().any(|known| known.will_wake(waker)) {
            living.1.push(waker.clone());
        }
        Poll::Pending
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("members", &self.len()).finish_non_exhaustive()
    }
}
