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

/// Cause of the end of a connection that was idle while the server drained.
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
    /// Under TLS: bytes taken out of the outbox that were not sent yet when the protocol was called.
    pub(super) sealed_bytes: usize,
    /// Bytes that the engine has taken and the kernel has not, when the protocol was called.
    pub(super) in_flight_bytes: usize,
    /// Bytes for the engine, and those that it has taken and the kernel has not, after the last call.
    pub(super) unsent_bytes: usize,
    /// The connection uses TLS.
    pub(super) secure: bool,
    /// The peer must speak HTTP/2 from the first byte.
    pub(super) is_http2_only: bool,
    pub(super) ending: Ending,
    /// Cause of the end, as a metric label.
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
    /// Cached by [`waker`](Self::waker).
    pub(super) waker: Option<Waker>,
    /// Since the protocol rested, nothing but events of outlets has happened to the connection.
    pub(super) rests: bool,
    pub(super) opened: Instant,
    /// Present once bytes of the ending connection were discarded.
    pub(super) linger: Option<Box<Linger>>,
}

impl Io {
    /// Returns how many bytes wait to be sent.
    pub(super) fn queued(&self) -> usize {
        self.outbox.len() + self.sealed_bytes
    }

    /// Returns how many bytes the kernel has to take before the next one that is written.
    #[cfg(feature = "http2")]
    pub(super) fn committed(&self) -> usize {
        self.queued() + self.in_flight_bytes
    }

    /// Ends the connection. Of several causes the first one counts.
    pub(super) fn end(&mut self, ending: Ending, cause: &'static str) {
        if self.ending == Ending::Open {
            self.cause = cause;
        }
        self.ending = ending;
    }

    /// Starts the keep-alive timer of a connection that has been idle since `since`.
    pub(super) fn start_idle(&mut self, env: &Env, since: Instant) {
        // A draining server waits only for requests that are already on their way.
        let draining = env.is_draining().then_some(env.timeouts.drain_idle);
        self.timers.set_idle(since, draining.or(env.timeouts.keep_alive));
    }

    /// Returns how long to wait for the peer's FIN.
    fn linger(&self, env: &Env) -> Duration {
        if self.cause == DRAINED { env.timeouts.linger.min(DRAINED_LINGER) } else { env.timeouts.linger }
    }

    /// Starts the timer of sending if `has_unsent`, which means that bytes are ready for the kernel. Starts
    /// the wait for the peer's FIN if the connection is finishing and everything was sent.
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

    /// Counts bytes that were discarded. Returns `true` if `discard_bytes` does not limit them.
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

    /// Returns the connection's place among those that may discard more.
    pub(super) fn stop_lingering(&mut self, env: &mut Env) {
        if let Some(linger) = self.linger.take() {
            linger.end(env);
        }
    }

    /// Returns `true` if the connection has reached its maximum age. The ages of connections are spread over
    /// a tenth of the maximum, so that they do not all end at once.
    pub(super) fn is_old(&self, env: &Env) -> bool {
        let Some(age) = env.timeouts.age else { return false };
        env.now.saturating_duration_since(self.opened) >= age - age / 10 * spread(self.id.slot, 256) / 256
    }

    /// Returns the waker that wakes this connection.
    pub(super) fn waker(&mut self, env: &Env) -> Waker {
        self.waker.get_or_insert_with(|| env.local.waker(self.id.token())).clone()
    }

    /// Lends the cached waker for one call, which saves the reference count. The caller puts it back into
    /// [`waker`](Self::waker); otherwise the next call makes a new one.
    pub(super) fn take_waker(&mut self, env: &Env) -> Waker {
        self.waker.take().unwrap_or_else(|| env.local.waker(self.id.token()))
    }
}
