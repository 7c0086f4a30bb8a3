//! The short way of events: from the shard's relay to a connection whose stream only waits for the next one.
//!
//! As a rule an event reaches its connection by the subscriber's queue: the connection is woken, asks the stream, which asks
//! the queue. A connection with a tap is handed it, in the form in which it is sent, and none of them is touched. The
//! relay uses the tap only while the stream rests and everything it had was sent; whatever else happens to the
//! connection, the protocol first gets what the tap holds, so that nothing overtakes it.

use std::time::Instant;

use windlass_actors::Outlet;

use super::env::Env;
use crate::{
    body::{Answer, Form, Offer, Piece, Unpack},
    net::ConnId,
};

/// A connection's end of an outlet.
pub(super) struct Tap {
    outlet: Outlet,
    unpack: Unpack,
    /// Payload bytes that came this way, and when the last of them did, until the protocol takes note.
    passed: (u64, Option<Instant>),
    /// Nothing but events of the tap has happened to the connection since the protocol said that it rests.
    is_quiet: bool,
}

impl Tap {
    /// Makes a tap if the stream that `offer` passes the offer to accepts it; `may` becomes false if it never will.
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

    /// Notes that the stream has nothing but what is to come.
    pub(super) fn ready(&self) {
        self.outlet.ready();
    }

    /// Returns how many payload bytes passed since the last call, and when the last of them did.
    pub(super) fn take_passed(&mut self) -> (u64, Option<Instant>) {
        std::mem::take(&mut self.passed)
    }

    /// Takes the piece that the tap holds.
    pub(super) fn take(&mut self, now: Instant) -> Option<Piece> {
        let piece = (self.unpack)(&self.outlet.take()?)?;
        self.passed.0 += piece.payload_bytes as u64;
        self.passed.1 = Some(now);
        Some(piece)
    }

    /// Notes that something other than an event of the tap happens to the connection.
    pub(super) fn disturb(&mut self) {
        self.is_quiet = false;
    }

    /// Opens the outlet; everything before was sent.
    pub(super) fn open(&mut self) {
        self.is_quiet = true;
        self.outlet.open();
    }

    /// Opens the outlet again if nothing but events of the tap has happened since it was opened last.
    pub(super) fn reopen(&self) -> bool {
        self.is_quiet && self.outlet.open()
    }
}
