//! Broadcasts to many WebSockets, each with its own bounded mailbox.
//!
//! ```
//! use windlass::{Router, hub::Hub, websocket, ws::Socket};
//!
//! let hub = Hub::new(Default::default());
//! let members = hub.clone();
//! let chat = move |mut socket: Socket| {
//!     let hub = members.clone();
//!     async move {
//!         // From here on the socket receives every broadcast.
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
//! A message is encoded once, however many members the hub has. Broadcasting never waits for a member, and no
//! member delays another. A hub keeps no history; for that use a [`broker`](crate::broker).

// This module must not know connections. A member is a message source that a socket polls.

mod broadcast;
mod error;
mod member;
mod settings;

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use windlass_actors::{
    Pool, System, clock,
    error::SpawnError,
    fanout::{Fanout, Payload, Policy, Receipt, SubscribeOptions, Topic, TopicError, TopicStats},
};

use crate::ws::{Outgoing, Prepared, Socket};

pub use broadcast::{BroadcastError, Confirmed, Sent};
pub use error::HubError;
pub use member::{Member, Membership};
pub use settings::HubSettings;

/// A group of WebSockets that receive the same messages.
///
/// A hub starts with the server that it is given to ([`Builder::hub`](crate::Builder::hub)). Clones share one
/// hub. All methods may be called from any thread.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    settings: HubSettings,
    /// Fanout and topic of the hub. Unset until the server starts.
    running: OnceLock<Running>,
    /// The hub belongs to a server, which may not have started yet.
    has_server: AtomicBool,
    /// The warning that the hub belongs to no server was logged.
    has_warned: AtomicBool,
    is_closing: AtomicBool,
    memberships: Mutex<Memberships>,
}

/// The parts that exist while the server runs.
struct Running {
    fanout: Fanout<Message>,
    topic: Topic<Message>,
}

/// The memberships that are not dropped yet, registered or not.
#[derive(Default)]
struct Memberships {
    count: usize,
    /// Tasks that wait until there are none.
    waiting: Vec<Waker>,
}

/// A message in a member's mailbox.
struct Message(Prepared);

impl Payload for Message {
    fn weight(&self) -> usize {
        self.0.held_bytes()
    }
}

impl Hub {
    /// Creates a hub without members.
    pub fn new(settings: HubSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            running: OnceLock::new(),
            has_server: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            memberships: Mutex::default(),
        }))
    }

    /// Starts the hub on the shards of `system`. Returns `false`, and does nothing, if the hub belongs to
    /// another server.
    pub(crate) fn start(&self, system: &System) -> Result<bool, SpawnError> {
        if self.0.has_server.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let fanout =
            Fanout::start(system).inspect_err(|_| self.0.has_server.store(false, Ordering::SeqCst))?;
        let topic = fanout.topic(self.0.settings.bounds(), self.0.settings.overflow.clone());
        // The swap above lets only one caller get here.
        let _ = self.0.running.set(Running { fanout, topic });
        Ok(true)
    }

    /// Returns `true` if the overflow policy has a callback. Callbacks run on a pool.
    pub(crate) fn needs_pool(&self) -> bool {
        matches!(self.0.settings.overflow, Policy::Ask(_))
    }

    /// Starts to run overflow callbacks on `pool`.
    pub(crate) fn start_choosers(&self, pool: &Pool) {
        if let Policy::Ask(chooser) = &self.0.settings.overflow {
            chooser.start(pool);
        }
    }

    /// Rejects new members and messages from here on. The draining server closes the sockets of the members.
    pub(crate) fn drain(&self) {
        self.0.is_closing.store(true, Ordering::SeqCst);
        if let Policy::Ask(chooser) = &self.0.settings.overflow {
            chooser.stop();
        }
    }

    /// Registers a socket. It receives all later broadcasts until it closes or the member is unregistered.
    ///
    /// Dropping the returned handle has no effect.
    ///
    /// # Errors
    ///
    /// The hub has not started, is closed, or the socket's shard is busy.
    pub fn register(&self, socket: &mut Socket) -> Result<Member, HubError> {
        self.attach(socket, None)
    }

    /// Like [`register`](Self::register), with an identity that filters and overflow callbacks receive.
    ///
    /// # Errors
    ///
    /// See [`register`](Self::register).
    pub fn register_as(
        &self,
        socket: &mut Socket,
        identity: impl Any + Send + Sync,
    ) -> Result<Member, HubError> {
        self.attach(socket, Some(Arc::new(identity)))
    }

    fn attach(
        &self,
        socket: &mut Socket,
        identity: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Result<Member, HubError> {
        let membership = self.member(identity)?;
        let member = membership.member();
        socket.attach(membership);
        Ok(member)
    }

    /// Creates a member without a socket. Attach it to the sending half of a socket
    /// ([`Sender::attach`](crate::ws::Sender::attach)), or poll it.
    ///
    /// # Errors
    ///
    /// See [`register`](Self::register).
    pub fn member(&self, identity: Option<Arc<dyn Any + Send + Sync>>) -> Result<Membership, HubError> {
        let Some(running) = self.0.running.get() else {
            self.warn_not_started();
            return Err(HubError::NotStarted);
        };
        if self.0.is_closing() {
            return Err(HubError::Closed);
        }
        let settings = &self.0.settings;
        let options = SubscribeOptions {
            identity,
            ..SubscribeOptions::new(settings.bounds(), settings.overflow.clone())
        };
        let subscription = running.topic.subscribe_with(options).map_err(|error| match error {
            TopicError::Busy => HubError::Busy,
            _ => HubError::Closed,
        })?;
        Ok(Membership::new(self.0.clone(), subscription))
    }

    /// Logs once that the hub belongs to no server. A server that is just starting counts.
    fn warn_not_started(&self) {
        if !self.0.has_server.load(Ordering::SeqCst) && !self.0.has_warned.swap(true, Ordering::SeqCst) {
            tracing::warn!("hub belongs to no server, refusing members and messages: use `Builder::hub`");
        }
    }

    /// Sends a message to the mailbox of every member. Never waits; [`Sent`] reports what became of it.
    pub fn broadcast<'a>(&self, message: impl Into<Outgoing<'a>>) -> Sent {
        self.broadcast_prepared(&self.prepare(message))
    }

    /// Like [`broadcast`](Self::broadcast), for a message that is already encoded.
    pub fn broadcast_prepared(&self, message: &Prepared) -> Sent {
        self.publish(|topic| topic.publish(|_| Message(message.clone())))
    }

    /// Sends a message to the members for which `filter` returns `true`. Never waits.
    ///
    /// The filter receives the identity of each member, or `None` for a member without one. It runs on the
    /// shards, so it must be fast. If it panics, the member does not receive the message, and the panic is
    /// counted.
    pub fn broadcast_filter<'a>(
        &self,
        message: impl Into<Outgoing<'a>>,
        filter: impl Fn(Option<&(dyn Any + Send + Sync)>) -> bool + Send + Sync + 'static,
    ) -> Sent {
        let message = Message(self.prepare(message));
        self.publish(|topic| topic.publish_filtered(Arc::new(filter), message))
    }

    fn publish(&self, publish: impl FnOnce(&Topic<Message>) -> Result<Receipt<Message>, TopicError>) -> Sent {
        match self.0.running.get() {
            None => {
                self.warn_not_started();
                Sent::failed(BroadcastError::NotStarted)
            }
            Some(_) if self.0.is_closing() => Sent::failed(BroadcastError::Closed),
            Some(running) => {
                publish(&running.topic).map_or_else(|_| Sent::failed(BroadcastError::Closed), Sent::new)
            }
        }
    }

    /// Encodes a message, and compresses it if the hub's settings have compression.
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

    /// Returns the number of registered members.
    pub fn len(&self) -> usize {
        self.0.running.get().map_or(0, |running| running.topic.subscribers())
    }

    /// Returns `true` if no member is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes the hub. It rejects members and messages from here on. Messages that were broadcast before are
    /// still sent. Then every member's socket is closed with code 1001.
    ///
    /// Returns 0 when all sockets are closed. After `timeout` it returns the number of sockets that are still
    /// open, because their clients do not read. Those are no longer members and end with their connection's
    /// write timeout. Another call waits in the same way.
    ///
    /// # Cancel safety
    ///
    /// The hub is closed by the first poll. Dropping the future only ends the wait.
    pub async fn close(&self, timeout: Duration) -> usize {
        self.0.is_closing.store(true, Ordering::SeqCst);
        let Some(running) = self.0.running.get() else { return 0 };
        let mut closing = pin!(running.topic.close());
        let mut shards_closed = false;
        let mut deadline = pin!(running.fanout.deadline(clock::instant_after(clock::now(), timeout)));
        poll_fn(|cx| {
            shards_closed = shards_closed || closing.as_mut().poll(cx).is_ready();
            if shards_closed && self.0.poll_no_memberships(cx.waker()).is_ready() {
                return Poll::Ready(());
            }
            deadline.as_mut().poll(cx)
        })
        .await;
        self.0.memberships().count
    }

    /// Returns the hub's counts.
    pub fn stats(&self) -> TopicStats {
        self.0.running.get().map(|running| running.topic.stats()).unwrap_or_default()
    }
}

impl Shared {
    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    fn memberships(&self) -> MutexGuard<'_, Memberships> {
        self.memberships.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn membership_created(&self) {
        self.memberships().count += 1;
    }

    fn membership_dropped(&self) {
        let mut memberships = self.memberships();
        memberships.count -= 1;
        let waiting =
            if memberships.count == 0 { std::mem::take(&mut memberships.waiting) } else { Vec::new() };
        drop(memberships);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Returns `Ready` if all memberships are dropped. Otherwise registers `waker` to be woken then.
    fn poll_no_memberships(&self, waker: &Waker) -> Poll<()> {
        let mut memberships = self.memberships();
        if memberships.count == 0 {
            return Poll::Ready(());
        }
        if !memberships.waiting.iter().any(|known| known.will_wake(waker)) {
            memberships.waiting.push(waker.clone());
        }
        Poll::Pending
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("members", &self.len()).finish_non_exhaustive()
    }
}
