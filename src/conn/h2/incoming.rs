//! The destination of a request's body, and the credit that the peer gets for it.

use std::{task::Context, time::Instant};

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    body::{BodyError, BodySender},
    conn::{
        env::Env,
        exchange::body_rate::{BodyRate, TOO_SLOW},
    },
    proto::semantics::Reject,
};

/// Destination of a body.
enum Sink {
    /// A buffer of limited size, for a handler that starts when the body is complete.
    Collect {
        bytes: Vec<u8>,
        limit: usize,
        /// Expected length or else the limit, bytes. The buffer is not made larger than that.
        most: usize,
    },
    /// A handler that reads the body as it arrives.
    Stream(BodySender),
    /// Nobody. The body is too large once more than `budget` bytes come.
    Discard { budget: usize },
}

/// A body that is being received.
pub(super) struct Incoming {
    sink: Sink,
    /// Bytes that were received and for which the peer got no credit back.
    held: usize,
    /// The peer may be waiting for credit, so that its silence is not its fault.
    is_paused: bool,
    rate: BodyRate,
}

/// Result of received data.
pub(super) enum Received {
    /// The body continues.
    More,
    /// The body is larger than its limit.
    TooLarge,
}

/// End of a body.
pub(super) enum Ended {
    /// The body was collected and is complete.
    Whole(Bytes),
    /// The handler was passed the end or the error of the body, or no handler reads it.
    Passed,
    /// The body was collected, and its trailers broke a rule.
    Refused(Reject),
}

impl Incoming {
    /// Collects up to `limit` bytes, of which `declared` are expected.
    pub(super) fn collect(declared: Option<u64>, limit: usize, now: Instant) -> Self {
        let most = declared.map_or(limit, |declared| limit.min(declared as usize));
        Self::new(Sink::Collect { bytes: Vec::new(), limit, most }, now)
    }

    /// Passes the body to a handler as it arrives.
    pub(super) fn stream(sender: BodySender, now: Instant) -> Self {
        Self::new(Sink::Stream(sender), now)
    }

    /// Discards a body of up to `budget` bytes: a client that is nearly done need not be stopped.
    pub(super) fn discard(budget: usize, now: Instant) -> Self {
        Self::new(Sink::Discard { budget }, now)
    }

    fn new(sink: Sink, now: Instant) -> Self {
        Self { sink, held: 0, is_paused: false, rate: BodyRate::new(now) }
    }

    /// Discards the rest of the body, up to `budget` bytes. A handler that still reads it gets an error.
    pub(super) fn into_discarded(self, budget: usize, now: Instant) -> Self {
        Self { held: self.held, ..Self::discard(budget, now) }
    }

    /// Passes received data to the destination. A collected body gets nothing of data that exceeds its limit.
    pub(super) fn received(&mut self, data: &[u8], now: Instant) -> Received {
        self.rate.received(data.len(), now);
        self.held += data.len();
        let fits = match &mut self.sink {
            Sink::Collect { bytes, limit, most } => {
                let fits = data.len() <= *limit - bytes.len();
                if fits {
                    make_room(bytes, data.len(), *most);
                    bytes.extend_from_slice(data);
                }
                fits
            }
            Sink::Stream(sender) => {
                sender.push_copy(data);
                true
            }
            Sink::Discard { budget } => {
                let left = budget.checked_sub(data.len());
                *budget = left.unwrap_or(0);
                left.is_some()
            }
        };
        if fits { Received::More } else { Received::TooLarge }
    }

    /// Passes the end of the body to its destination. `trailers` is an error if they broke a rule.
    pub(super) fn end(self, trailers: Result<HeaderMap, Reject>) -> Ended {
        match (self.sink, trailers) {
            (Sink::Discard { .. }, _) => {}
            (Sink::Collect { .. }, Err(reject)) => return Ended::Refused(reject),
            (Sink::Collect { bytes, .. }, Ok(_)) => return Ended::Whole(bytes.into()),
            (Sink::Stream(sender), Err(reject)) => sender.fail(BodyError::Peer(reject.text())),
            (Sink::Stream(sender), Ok(trailers)) if trailers.is_empty() => sender.finish(),
            (Sink::Stream(sender), Ok(trailers)) => sender.finish_with(trailers),
        }
        Ended::Passed
    }

    /// Returns how many bytes of credit are due: those received that the destination has taken. When a
    /// handler takes more, it wakes the context. Returns `None` if the handler has dropped the body.
    pub(super) fn poll_credit(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        let untaken = match &mut self.sink {
            Sink::Collect { .. } | Sink::Discard { .. } => 0,
            Sink::Stream(sender) => sender.poll_untaken(cx)?,
        };
        Some(self.held.saturating_sub(untaken))
    }

    /// Records that the peer got this credit. If the peer waited for it, its rate is measured anew.
    pub(super) fn granted(&mut self, bytes: usize, now: Instant) {
        self.held -= bytes.min(self.held);
        if bytes > 0 && std::mem::take(&mut self.is_paused) {
            // Until now the peer had to wait for this side.
            self.rate.restart(now);
        }
    }

    /// Records that the peer may have to wait for credit, so that its silence is not its fault.
    pub(super) fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Returns how many received bytes the peer got no credit back for.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Returns the bytes that are collected so far; `None` for a body that is not collected.
    pub(super) fn collected(&self) -> Option<usize> {
        match &self.sink {
            Sink::Collect { bytes, .. } => Some(bytes.len()),
            Sink::Stream(_) | Sink::Discard { .. } => None,
        }
    }

    /// Returns `true` if the peer may be waiting for credit.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Ends the body of a handler that reads it with the error that the rest arrives too slowly.
    pub(super) fn fail_late(self) {
        if let Sink::Stream(sender) = self.sink {
            sender.fail(BodyError::Peer(TOO_SLOW));
        }
    }

    /// Returns the time at which the peer will have been too slow; `None` while it may be waiting for credit,
    /// and without limits.
    pub(super) fn deadline(&self, env: &Env) -> Option<Instant> {
        if self.is_paused { None } else { self.rate.deadline(env) }
    }
}

/// Makes room for more bytes. The buffer grows with what arrives, not with what the peer declares.
fn make_room(bytes: &mut Vec<u8>, more: usize, most: usize) {
    /// Buffers below this size grow by pages, larger ones double.
    const SMALL_BYTES: usize = 64 * 1024;
    const PAGE_BYTES: usize = 4096;
    let needed = bytes.len() + more;
    if needed > bytes.capacity() {
        let roomy = if needed < SMALL_BYTES { needed.next_multiple_of(PAGE_BYTES) } else { needed * 2 };
        bytes.reserve_exact(roomy.min(most.max(needed)) - bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_with_what_arrives_and_not_with_what_is_declared() {
        let now = Instant::now();
        let mut incoming = Incoming::collect(Some(1 << 20), 1 << 20, now);
        let mut received = 0;
        for piece in [&[0; 10][..], &[0; 5000], &[0; 5000], &[0; 100_000]] {
            assert!(matches!(incoming.received(piece, now), Received::More));
            received += piece.len();
            let Sink::Collect { bytes, .. } = &incoming.sink else { panic!("a body that is collected") };
            assert_eq!(bytes.len(), received);
            assert!(bytes.capacity() <= 2 * received + 4096, "{}", bytes.capacity());
        }
    }
}
