//! What a connection speaks: the interface every protocol stands behind, and the switch from one to the next.

use std::time::Instant;

#[cfg(feature = "http2")]
use super::h2::H2;
#[cfg(feature = "ws")]
use super::ws::Ws;
use super::{
    Env, Io, Outcome, Timer,
    h1::{H1, Next},
};
use crate::metrics::TlsProtocol;

/// A protocol's state machine on one connection: fed bytes, replies and timers, it writes to the outbox.
pub(super) trait Protocol {
    /// Takes bytes.
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]);

    /// Takes the peer's FIN: what it asked for is still answered.
    fn ended(&mut self, env: &mut Env, io: &mut Io);

    /// Takes the reply to request number `seq`.
    fn replied(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome);

    /// Goes on wherever something may go on: a body has something, or somebody took something.
    fn pump(&mut self, env: &mut Env, io: &mut Io);

    /// Takes note that the peer took bytes.
    fn sent(&mut self, env: &mut Env, io: &mut Io);

    /// Takes note that everything queued has left; true if all there is to do is to wait, for the next request or for a
    /// streamed reply's body. What [`settle`](Self::settle) would do is done then.
    fn rests(&mut self, env: &Env, io: &mut Io) -> bool;

    /// Takes note that the peer is sent so many bytes of payload past the protocol, by its [tap](super::tap).
    fn passes(&self, _env: &Env, _payload_bytes: usize) {}

    /// Takes a timer of the protocol's own.
    fn expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer);

    /// Tells the peer, where the protocol has words for it, that the idle connection ends.
    fn farewell(&mut self, _env: &mut Env, _io: &mut Io) {}

    /// Brings the connection's wishes and timers in line with the state after a call.
    fn settle(&mut self, env: &mut Env, io: &mut Io);

    /// Says whether it has more to write than the outbox took: what is there does not end with its last word.
    fn is_blocked(&self) -> bool {
        false
    }

    /// Says whether a request is in progress.
    fn is_active(&self) -> bool;

    /// Says what the connection was doing, for the drain's report.
    fn doing(&self, io: &Io) -> &'static str;

    /// Takes the end of the connection: cancels what still runs for it.
    fn closed(&mut self, env: &mut Env, io: &mut Io);
}

/// The protocol a connection speaks now.
pub(super) enum Spoken {
    H1(H1),
    /// In a box: few connections are as large as this state.
    #[cfg(feature = "http2")]
    H2(Box<H2>),
    #[cfg(feature = "ws")]
    Ws(Box<Ws>),
}

impl Spoken {
    /// Returns what every connection begins with.
    pub(super) fn new(is_proxied: bool, now: Instant) -> Self {
        Self::H1(H1::new(is_proxied, now))
    }

    /// Returns what a TLS handshake agreed on.
    pub(super) fn agreed(protocol: TlsProtocol, env: &Env, io: &mut Io) -> Self {
        match protocol {
            #[cfg(feature = "http2")]
            TlsProtocol::H2 => Self::http2(env, io),
            _ => {
                let _ = io;
                Self::new(false, env.now)
            }
        }
    }

    #[cfg_attr(
        not(any(feature = "http2", feature = "ws")),
        expect(irrefutable_let_patterns, reason = "there is no other protocol")
    )]
    /// Answers a request that came unencrypted to a port that speaks TLS.
    pub(super) fn refuse_plain(&mut self, env: &mut Env, io: &mut Io) {
        if let Self::H1(h1) = self {
            h1.refuse_plain(env, io);
        }
    }

    /// Returns HTTP/2, at its start: the client's preface has not been read.
    #[cfg(feature = "http2")]
    pub(super) fn http2(env: &Env, io: &mut Io) -> Self {
        Self::H2(Box::new(H2::new(env, io)))
    }

    fn successor(next: Next, env: &mut Env, io: &mut Io) -> Self {
        match next {
            #[cfg(feature = "http2")]
            Next::Http2 => Self::http2(env, io),
            // Never asked for: see [`Env::http2`].
            #[cfg(not(feature = "http2"))]
            Next::Http2 => {
                let _ = io;
                Self::new(false, env.now)
            }
            #[cfg(feature = "ws")]
            Next::Ws(switch) => Self::Ws(Box::new(Ws::new(*switch, env, io))),
        }
    }

    #[cfg_attr(
        not(any(feature = "http2", feature = "ws")),
        expect(irrefutable_let_patterns, reason = "there is no other protocol")
    )]
    /// Lets the next protocol take over if the present one hands over: it is fed what was received and not read.
    pub(super) fn hand_over(&mut self, env: &mut Env, io: &mut Io) {
        let Self::H1(h1) = self else { return };
        let Some((next, unread, ended)) = h1.take_next() else { return };
        *self = Self::successor(next, env, io);
        if !unread.is_empty() {
            self.received(env, io, &unread);
        }
        if ended {
            self.ended(env, io);
        }
    }
}

/// Calls the protocol that is spoken; a `match`, so that calls of the common one are inlined.
macro_rules! spoken {
    ($of:expr, $protocol:ident => $call:expr) => {
        match $of {
            Spoken::H1($protocol) => $call,
            #[cfg(feature = "http2")]
            Spoken::H2($protocol) => $call,
            #[cfg(feature = "ws")]
            Spoken::Ws($protocol) => $call,
        }
    };
}

impl Protocol for Spoken {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        spoken!(self, p => p.received(env, io, bytes));
    }

    fn ended(&mut self, env: &mut Env, io: &mut Io) {
        spoken!(self, p => p.ended(env, io));
    }

    fn replied(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome) {
        spoken!(self, p => p.replied(env, io, seq, outcome));
    }

    fn pump(&mut self, env: &mut Env, io: &mut Io) {
        spoken!(self, p => p.pump(env, io));
    }

    fn sent(&mut self, env: &mut Env, io: &mut Io) {
        spoken!(self, p => p.sent(env, io));
    }

    fn rests(&mut self, env: &Env, io: &mut Io) -> bool {
        spoken!(self, p => p.rests(env, io))
    }

    fn passes(&self, env: &Env, payload_bytes: usize) {
        spoken!(self, p => p.passes(env, payload_bytes));
    }

    fn expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        spoken!(self, p => p.expired(env, io, timer));
    }

    fn farewell(&mut self, env: &mut Env, io: &mut Io) {
        spoken!(self, p => p.farewell(env, io));
    }

    fn settle(&mut self, env: &mut Env, io: &mut Io) {
        spoken!(self, p => p.settle(env, io));
    }

    fn is_blocked(&self) -> bool {
        spoken!(self, p => p.is_blocked())
    }

    fn is_active(&self) -> bool {
        spoken!(self, p => p.is_active())
    }

    fn doing(&self, io: &Io) -> &'static str {
        spoken!(self, p => p.doing(io))
    }

    fn closed(&mut self, env: &mut Env, io: &mut Io) {
        spoken!(self, p => p.closed(env, io));
    }
}
