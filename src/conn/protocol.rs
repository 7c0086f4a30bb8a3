//! Interface between a connection and the protocol that it speaks.

use super::{env::Env, io::Io, message::Outcome, timers::Timer};

/// State machine of a protocol on one connection. It gets bytes, replies and timers, and writes to the
/// outbox. Under TLS it is called only while the session is open.
pub(super) trait Protocol {
    /// Handles received bytes.
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]);

    /// Handles the peer's FIN. Requests that arrived before it are still answered.
    fn fin_received(&mut self, env: &mut Env, io: &mut Io);

    /// Handles the reply to request number `seq`.
    fn reply_ready(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome);

    /// Makes all progress that is possible: called when the connection's waker was woken and when the server
    /// starts to drain.
    fn advance(&mut self, env: &mut Env, io: &mut Io);

    /// Handles progress in sending: the kernel took bytes. Not called if [`rests`](Self::rests) has returned
    /// `true` for that.
    fn sent(&mut self, env: &mut Env, io: &mut Io);

    /// Called when everything queued was sent. Returns `true` if the connection rests: it has nothing to do
    /// but to wait for the next request or for the body of a streamed reply. The protocol has then already
    /// done what [`after_event`](Self::after_event) would do.
    fn rests(&mut self, env: &Env, io: &mut Io) -> bool;

    /// Records that the [outlet](super::outlet) of the stream with this label was filled.
    fn filled(&mut self, _label: u32) {}

    /// Writes the events in the [outlets](super::outlet) of the streams to the outbox. Returns `true` if
    /// nothing else has happened, so that [`after_event`](Self::after_event) need not be called.
    fn deliver(&mut self, env: &mut Env, io: &mut Io) -> bool;

    /// Handles a timer of the protocol that has expired.
    fn timer_expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer);

    /// Announces to the peer that the idle connection closes, if the protocol has a message for that.
    fn announce_close(&mut self, _env: &mut Env, _io: &mut Io) {}

    /// Decides whether the connection ends, whether it reads on, and which timers run. Called after each
    /// other call that changes the protocol, except when `rests` or `deliver` returned `true`.
    fn after_event(&mut self, env: &mut Env, io: &mut Io);

    /// Returns `true` if the outbox was too full for all that the protocol has to write.
    fn has_unwritten(&self) -> bool {
        false
    }

    /// Returns `true` if a request is in progress.
    fn is_active(&self) -> bool;

    /// Returns a label for what the connection is doing, for the report of a drain: `idle` if a reset loses
    /// nothing.
    fn activity(&self, io: &Io) -> &'static str;

    /// Handles the end of the connection: cancels everything that still runs for it. The socket is closed
    /// already.
    fn closed(&mut self, env: &mut Env, io: &mut Io);
}
