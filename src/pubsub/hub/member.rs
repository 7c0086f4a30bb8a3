//! Members of a hub: the message source that a socket polls, and the handle to unregister it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use windlass_actors::{
    OutletEvent, OutletKey,
    fanout::{self, Subscription},
};

use super::{Message, Shared};
use crate::{
    body::OutletAnswer,
    proto::ws::Prepared,
    ws::{Code, Delivery, Source},
};

/// The part of a member that its message source and its handles share.
struct Registration {
    id: u64,
    contents: Mutex<Contents>,
}

struct Contents {
    /// `None` once the member is unregistered.
    subscription: Option<Subscription<Message>>,
    /// Wakes the task that polls the source when the member is unregistered.
    waker: Option<Waker>,
}

impl Registration {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message source of a member. Attach it to a socket.
///
/// Dropping it unregisters the member. A socket drops its sources when it closes.
pub struct Membership {
    registration: Arc<Registration>,
    hub: Arc<Shared>,
}

impl Membership {
    pub(super) fn new(hub: Arc<Shared>, subscription: Subscription<Message>) -> Self {
        hub.membership_created();
        let id = subscription.id();
        let contents = Mutex::new(Contents { subscription: Some(subscription), waker: None });
        Self { registration: Arc::new(Registration { id, contents }), hub }
    }

    /// Returns the handle to unregister the member.
    pub fn member(&self) -> Member {
        Member(self.registration.clone())
    }
}

impl Source for Membership {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        let mut contents = self.registration.lock();
        let Some(subscription) = &mut contents.subscription else { return Poll::Ready(Delivery::End) };
        loop {
            match subscription.poll_next(cx) {
                Poll::Ready(fanout::Delivery::Event(event)) => {
                    return Poll::Ready(Delivery::Message(event.payload().0.clone()));
                }
                // Missed messages are not reported: a hub has no history from which a client could read them.
                Poll::Ready(fanout::Delivery::Gap(_)) => {}
                Poll::Ready(fanout::Delivery::Removed) => return Poll::Ready(Delivery::End),
                Poll::Ready(fanout::Delivery::Closed) if self.hub.is_closing() => {
                    return Poll::Ready(Delivery::Close(Code::GOING_AWAY, "the hub is closed"));
                }
                Poll::Ready(fanout::Delivery::Closed) => {
                    return Poll::Ready(Delivery::Close(Code::TRY_AGAIN, "the client reads too slowly"));
                }
                Poll::Pending => break,
            }
        }
        if !contents.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            contents.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn connect(&mut self, outlet: OutletKey) -> OutletAnswer<Prepared> {
        match &self.registration.lock().subscription {
            Some(subscription) if subscription.connect(outlet) => OutletAnswer::Connected(in_outlet),
            Some(_) => OutletAnswer::Later,
            None => OutletAnswer::Never,
        }
    }
}

/// Returns the message that an outlet of a member holds.
fn in_outlet(event: &OutletEvent) -> Option<&Prepared> {
    event.downcast_ref::<fanout::Event<Message>>().map(|event| &event.payload().0.0)
}

impl Drop for Membership {
    fn drop(&mut self) {
        let subscription = self.registration.lock().subscription.take();
        drop(subscription);
        self.hub.membership_dropped();
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("id", &self.registration.id).finish_non_exhaustive()
    }
}

/// A handle to a member of a hub. Dropping it has no effect. Clones refer to the same member.
#[derive(Clone)]
pub struct Member(Arc<Registration>);

impl Member {
    /// Returns the member's id, which is unique in the process.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Unregisters the member and leaves its socket open. Does nothing if the member is already unregistered.
    ///
    /// Messages in the mailbox are dropped. A message that the socket has already taken may still be sent.
    pub fn unregister(&self) {
        let mut contents = self.0.lock();
        let (subscription, waker) = (contents.subscription.take(), contents.waker.take());
        drop(contents);
        // Dropping the subscription and waking the task take other locks, so this lock must be free.
        drop(subscription);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.0.id).finish()
    }
}
