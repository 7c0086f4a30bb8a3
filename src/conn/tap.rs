//! Tap: the direct way of an event from the shard's relay to a connection whose stream waits for events.
//!
//! Usually an event reaches its connection through the subscriber's queue: the connection is woken, polls the
//! stream, and the stream polls the queue. If the connection has a tap, the relay puts the event into the tap
//! instead, as the bytes to send. Neither the stream nor the queue is touched.
//!
//! The relay uses the tap only while the stream rests, which means that it has no further event, and after
//! everything before the event was sent. If anything else happens to the connection, the protocol first sends
//! what the tap holds. So events keep their order.

use std::time::Instant;

use windlass_actors::Outlet;

use super::env::Env;
use crate::{
    body::{Answer, Form, Offer, Piece, Unpack},
    net::ConnId,
};

/// Connection's end of an outlet.
pub(super) struct Tap {
    outlet: Outlet,
    /// Turns the content of the outlet into bytes to send.
    unpack: Unpack,
    /// Payload bytes that came through the tap since the last [`take_passed`](Self::take_passed), and the
    /// time of the last of them.
    passed: (u64, Option<Instant>),
    /// Since the protocol last rested, nothing but events of the tap has happened to the connection.
    is_quiet: bool,
}

impl Tap {
    /// Offers a new outlet to a stream by calling `offer`, and returns the tap if the stream accepts. Sets
    /// `may` to false if the stream will never accept one.
    pub(super) fn offered(
        env: &Env,
        id: ConnId,
        form: Form,
        offer: impl FnOnce(&mut Offer),
        may: &mut bool,
    ) -> Option<Self> {
        let outlet = env.local.outlet(id.token());
        let mut offered = Offer { outlet: outlet.key(), form, answer: Answer::Never };
        offer(&mut offered);
        match offered.answer {
            Answer::Accepted(unpack) => Some(Self { outlet, unpack, passed: (0, None), is_quiet: false }),
            Answer::Later => None,
            Answer::Never => {
                *may = false;
                None
            }
        }
    }

    /// Tells the relay that the stream rests.
    pub(super) fn ready(&self) {
        self.outlet.ready();
    }

    /// Returns how many payload bytes came through the tap since the last call, and the time of the last of
    /// them.
    pub(super) fn take_passed(&mut self) -> (u64, Option<Instant>) {
        std::mem::take(&mut self.passed)
    }

    /// Removes and returns the event that the tap holds.
    pub(super) fn take(&mut self, now: Instant) -> Option<Piece> {
        let piece = (self.unpack)(&self.outlet.take()?)?;
        self.passed.0 += piece.payload_bytes as u64;
        self.passed.1 = Some(now);
        Some(piece)
    }

    /// Must be called when anything other than an event of the tap happens to the connection.
    pub(super) fn disturb(&mut self) {
        self.is_quiet = false;
    }

    /// Opens the outlet for the next event. Called when the protocol rests and everything was sent.
    pub(super) fn open(&mut self) {
        self.is_quiet = true;
        self.outlet.open();
    }

    /// Opens the outlet again if nothing but events of the tap has happened since [`open`](Self::open).
    /// Returns whether it did.
    pub(super) fn reopen(&self) -> bool {
        self.is_quiet && self.outlet.open()
    }
}
