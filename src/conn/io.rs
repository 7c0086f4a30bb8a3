//! The part of a connection that is the same under every protocol: outbox, timers, ending, peer.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use super::{
    env::Env,
    linger::Linger,
    timers::{Timer, Timers},
};
use crate::{
    net::{ConnId, Ending, Outbox},
    request::Peer,
    spread::spread,
};

/// Cause of the end of a connection that the drain ended while no request was in progress.
pub(super) const DRAINED: &str = "drained";

/// Cause of the end of a connection that makes room for others.
pub(super) const SOFT_LIMIT: &str = "soft_limit";

/// Longest wait for the peer's FIN on a connection that ended because of the drain. No part of a reply is in
/// flight, so a client that keeps the connection in a pool without reading from it must not delay the stop.
const DRAINED_LINGER: Duration = Duration::from_millis(500);

/// Protocol-independent state of one connection.
pub(crate) struct Io {
    pub(super) id: ConnId,
    /// Bytes that the protocol has written: for the engine to send, or for TLS to encrypt.
    pub(super) outbox: Outbox,
    /// Under TLS: bytes that had left the outbox and that the engine had not taken, when the protocol was
    /// called.
    pub(super) sealed_bytes: usize,
    /// Bytes that the engine had taken and the kernel had not, when the protocol was called.
    pub(super) in_flight_bytes: usize,
    /// Bytes that the kernel has still to take, after the last call: those that wait for the engine, and
    /// those that the engine has taken.
    pub(super) unsent_bytes: usize,
    /// The connection uses TLS.
    pub(super) secure: bool,
    /// Without TLS: the listener serves only HTTP/2, from the first byte.
    pub(super) is_http2_only: bool,
    /// Index of the router that serves the requests.
    pub(super) router: usize,
    pub(super) ending: Ending,
    /// Cause of the end, as a metric label. Meaningless while `ending` is `Open`.
    pub(super) cause: &'static str,
    pub(super) wants_read: bool,
    /// Bytes were written that the kernel has not all taken yet.
    pub(super) unsent: bool,
    /// The connection is counted as active.
    pub(super) active: bool,
    /// The peer has sent a complete head of a request.
    pub(super) has_requested: bool,
    pub(super) timers: Timers,
    pub(super) peer: Peer,
    /// Waker that wakes this connection, once [`waker`](Self::waker) was called.
    pub(super) waker: Option<Waker>,
    /// The protocol has [rested](super::protocol::Protocol::rests), and only events of outlets have arrived
    /// since.
    pub(super) rests: bool,
    pub(super) opened: Instant,
    /// Discarded bytes of the ending connection; `None` before any were discarded.
    pub(super) linger: Option<Box<Linger>>,
}

impl Io {
    /// Returns how many bytes, plain or encrypted, the engine has not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.outbox.len() + self.sealed_bytes
    }

    /// Returns how many bytes the kernel has to take before the next one that is written.
    #[cfg(feature = "http2")]
    pub(super) fn committed(&self) -> usize {
        self.queued() + self.in_flight_bytes
    }

    /// Ends the connection, or changes how it ends. The cause of the first call is kept.
    pub(super) fn end(&mut self, ending: Ending, cause: &'static str) {
        if self.ending == Ending::Open {
            self.cause = cause;
        }
        self.ending = ending;
    }

    /// Starts the keep-alive timer of a connection that has been idle since `since`. While the server drains
    /// its limit is `drain_idle`.
    pub(super) fn start_idle(&mut self, env: &Env, since: Instant) {
        // A draining server waits only for requests that are already on their way.
        let draining = env.is_draining().then_some(env.timeouts.drain_idle);
        self.timers.set_idle(since, draining.or(env.timeouts.keep_alive));
    }

    /// Returns how long to wait for the peer's FIN.
    fn linger(&self, env: &Env) -> Duration {
        if self.cause == DRAINED { env.timeouts.linger.min(DRAINED_LINGER) } else { env.timeouts.linger }
    }

    /// Starts the write timer if `has_unsent`: bytes wait for the kernel. If the connection is finishing and
    /// all bytes were sent, it starts the wait for the peer's FIN instead.
    pub(super) fn time_writing(&mut self, env: &Env, has_unsent: bool) {
        if has_unsent {
            self.unsent = true;
            self.timers.start_at(Timer::Write, env.write_deadline());
        }
        if self.ending == Ending::Finish && !self.unsent {
            self.timers.clear(Timer::Idle);
            self.timers.start(Timer::Linger, env.now, Some(self.linger(env)));
        }
    }

    /// Counts bytes of the ending connection that were discarded, and moves the end of the wait for the
    /// peer's FIN. Returns `true` if the connection may discard more than `discard_bytes`.
    pub(super) fn discarded(&mut self, env: &mut Env, bytes: usize) -> bool {
        let linger = self.linger.get_or_insert_with(|| Box::new(Linger::new(env.now)));
        linger.count(env, bytes);
        if self.timers.is_running(Timer::Linger) {
            let deadline = linger.deadline(env);
            self.timers.set_at(Timer::Linger, deadline);
            env.deadlines.schedule(self.id, &mut self.timers);
        }
        linger.has_place()
    }

    /// Frees the connection's place among those that may discard more than `discard_bytes`, if it has one.
    pub(super) fn stop_lingering(&mut self, env: &mut Env) {
        if let Some(linger) = self.linger.take() {
            linger.end(env);
        }
    }

    /// Returns `true` if the connection has reached its maximum age; never without a maximum. The ages of
    /// connections are spread over a tenth of it, so that they do not all end at once.
    pub(super) fn is_old(&self, env: &Env) -> bool {
        let Some(age) = env.timeouts.age else { return false };
        env.now.saturating_duration_since(self.opened) >= age - age / 10 * spread(self.id.slot, 256) / 256
    }

    /// Returns the waker that wakes this connection.
    pub(super) fn waker(&mut self, env: &Env) -> Waker {
        self.waker.get_or_insert_with(|| env.local.waker(self.id.token())).clone()
    }

    /// Removes and returns the cached waker, or a new one, which saves counting a reference. The caller puts
    /// it back into the field [`waker`](Self::waker); otherwise the next call makes a new one.
    pub(super) fn take_waker(&mut self, env: &Env) -> Waker {
        self.waker.take().unwrap_or_else(|| env.local.waker(self.id.token()))
    }
}
