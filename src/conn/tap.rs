//! The short way of events: from the shard's relay to a connection whose stream only waits for the next one.
//!
//! As a rule an event reaches its connection by the subscriber's queue: the connection is woken, asks the stream, which asks
//! the queue. A connection with a tap is handed it, in the form in which it is sent, and none of them is touched. The
//! relay uses the tap only while the stream rests and everything it had was sent; whatever else happens to the
//! connection, the protocol first gets what the tap holds, so that nothing overtakes it.

use std::time::Instant;

use windlass_actors::Outlet;

use super::{Conn, Env, Io, Protocol, Timer};
use crate::{
    body::{Answer, Form, Offer, Piece, Unpack},
    net::Ending,
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
    /// Makes a tap if the stream that `offer` offers it to accepts it; `may` becomes false if it never will. Under TLS what is
    /// sent is each connection's own: no tap.
    pub(super) fn offered(
        env: &Env,
        io: &Io,
        form: Form,
        offer: impl FnOnce(&mut Offer),
        may: &mut bool,
    ) -> Option<Self> {
        if io.secure || env.is_draining() {
            return None;
        }
        let outlet = env.local.outlet(io.id.token());
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

    fn take(&mut self, now: Instant) -> Option<Piece> {
        let piece = (self.unpack)(&self.outlet.take()?)?;
        self.passed.0 += piece.payload_bytes as u64;
        self.passed.1 = Some(now);
        Some(piece)
    }
}

impl Conn {
    /// Sends what the tap holds.
    pub(super) fn deliver(&mut self, env: &mut Env) {
        self.take_from_tap(env);
        let io = &mut self.io;
        if io.outbox.is_empty() {
            // It is ending, or held nothing any more.
            return;
        }
        io.unsent = true;
        io.timers.start(Timer::Write, env.now, env.timeouts.write_stall);
        if io.timers.is_running(Timer::Stream) {
            io.timers.set(Timer::Stream, env.now, env.timeouts.stream_idle);
        }
        env.deadlines.schedule(io.id, &mut io.timers);
    }

    /// Queues what the tap holds.
    pub(super) fn take_from_tap(&mut self, env: &Env) {
        let io = &mut self.io;
        let Some(piece) = io.tap.as_mut().and_then(|tap| tap.take(env.now)) else { return };
        if io.ending == Ending::Open {
            self.spoken.passes(env, piece.payload_bytes);
            io.outbox.share_whole(piece.bytes);
        }
    }
}

impl Io {
    /// Notes that the protocol is asked: what the tap brings is not all that happens.
    pub(super) fn disturb(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.is_quiet = false;
        }
    }

    /// Opens the tap, for a protocol that rests; everything was sent.
    pub(super) fn open_tap(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.is_quiet = true;
            tap.outlet.open();
        }
    }

    /// Opens the tap again if only its events were sent since it was opened last, and says so.
    pub(super) fn reopen_tap(&mut self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.is_quiet && tap.outlet.open())
    }
}
