//! Members: what a socket polls, and the handle to leave by.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use windlass_actors::{
    Parcel,
    fanout::{self, Subscription},
};

use super::{Message, Shared};
use crate::{
    body::{Answer, Form, Offer, Piece},
    ws::{Code, Delivery, Source, piece},
};

/// A place in a hub, shared by a membership and its handles.
struct Seat {
    id: u64,
    state: Mutex<State>,
}

struct State {
    /// None once the member has left.
    subscription: Option<Subscription<Message>>,
    waker: Option<Waker>,
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A membership, to be attached to a socket. Dropped, as with its socket, the member has left.
pub struct Membership {
    seat: Arc<Seat>,
    hub: Arc<Shared>,
}

impl Membership {
    pub(super) fn new(hub: Arc<Shared>, subscription: Subscription<Message>) -> Self {
        hub.joined();
        let id = subscription.id();
        let state = Mutex::new(State { subscription: Some(subscription), waker: None });
        Self { seat: Arc::new(Seat { id, state }), hub }
    }

    /// Returns a handle to leave by.
    pub fn member(&self) -> Member {
        Member(self.seat.clone())
    }
}

impl Source for Membership {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        let mut state = self.seat.lock();
        let Some(subscription) = &mut state.subscription else { return Poll::Ready(Delivery::End) };
        loop {
            match subscription.poll_next(cx) {
                Poll::Ready(fanout::Delivery::Event(event)) => {
                    return Poll::Ready(Delivery::Message(event.payload().0.clone()));
                }
                // A hub keeps no history: there is nothing to be told but what comes.
                Poll::Ready(fanout::Delivery::Gap(_)) => {}
                Poll::Ready(fanout::Delivery::Removed) => return Poll::Ready(Delivery::End),
                Poll::Ready(fanout::Delivery::Closed) if self.hub.is_closing() => {
                    return Poll::Ready(Delivery::Close(Code::GOING_AWAY, "the hub is closed"));
                }
                Poll::Ready(fanout::Delivery::Closed) => {
                    return Poll::Ready(Delivery::Close(Code::TRY_AGAIN, "too slow"));
                }
                Poll::Pending => break,
            }
        }
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn offer(&mut self, offer: &mut Offer) {
        let unpack = if offer.form == Form::DeflatedFrame { deflated } else { plain };
        offer.answer = match &self.seat.lock().subscription {
            Some(subscription) if subscription.connect(offer.outlet) => Answer::Accepted(unpack),
            Some(_) => Answer::Later,
            None => Answer::Never,
        };
    }
}

fn deflated(parcel: &Parcel) -> Option<Piece> {
    message(parcel).map(|message| piece(&message.0.0, true))
}

fn plain(parcel: &Parcel) -> Option<Piece> {
    message(parcel).map(|message| piece(&message.0.0, false))
}

fn message(parcel: &Parcel) -> Option<&Message> {
    parcel.downcast_ref::<fanout::Event<Message>>().map(fanout::Event::payload)
}

impl Drop for Membership {
    fn drop(&mut self) {
        let subscription = self.seat.lock().subscription.take();
        drop(subscription);
        self.hub.left();
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("id", &self.seat.id).finish_non_exhaustive()
    }
}

/// A handle to leave a hub by. Dropping it changes nothing; clones are one member.
#[derive(Clone)]
pub struct Member(Arc<Seat>);

impl Member {
    /// Returns what tells this member from all others.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Leaves the hub; the socket stays. What waits in the mailbox is not sent; a message that its socket was given already
    /// still may be. Called again it does nothing.
    pub fn unregister(&self) {
        let mut state = self.0.lock();
        let (subscription, waker) = (state.subscription.take(), state.waker.take());
        drop(state);
        // Outside of the lock: both know others.
        drop(subscription);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.0.id).finish()
    }
}
