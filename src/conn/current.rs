//! The protocol that a connection currently speaks, and the switch from one protocol to the next.

use std::time::Instant;

#[cfg(feature = "http2")]
use super::h2::H2;
#[cfg(feature = "ws")]
use super::ws::Ws;
use super::{
    env::Env,
    h1::{H1, NextProtocol},
    io::Io,
    message::Outcome,
    protocol::Protocol,
    timers::Timer,
};
use crate::metrics::TlsProtocol;

/// Protocol that a connection currently speaks.
pub(super) enum CurrentProtocol {
    H1(H1),
    /// Boxed because the state is large and few connections have it.
    #[cfg(feature = "http2")]
    H2(Box<H2>),
    #[cfg(feature = "ws")]
    Ws(Box<Ws>),
}

impl CurrentProtocol {
    /// Returns the protocol that a connection starts with. `is_proxied`: HTTP/1.1 reads a PROXY preamble
    /// first, also where HTTP/2 follows.
    pub(super) fn first(is_proxied: bool, env: &Env, io: &mut Io) -> Self {
        #[cfg(feature = "http2")]
        if io.is_http2_only && !is_proxied {
            return Self::http2(env, io);
        }
        let _ = io;
        Self::http1(is_proxied, env.now)
    }

    fn http1(is_proxied: bool, now: Instant) -> Self {
        Self::H1(H1::new(is_proxied, now))
    }

    /// Returns the protocol that a TLS handshake negotiated: HTTP/2, or else HTTP/1.1.
    pub(super) fn negotiated(protocol: TlsProtocol, env: &Env, io: &mut Io) -> Self {
        match protocol {
            #[cfg(feature = "http2")]
            TlsProtocol::H2 => Self::http2(env, io),
            _ => {
                let _ = io;
                Self::http1(false, env.now)
            }
        }
    }

    /// Answers an unencrypted request on a port that expects TLS.
    #[cfg_attr(
        not(any(feature = "http2", feature = "ws")),
        expect(irrefutable_let_patterns, reason = "there is no other protocol")
    )]
    pub(super) fn refuse_plain(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        if let Self::H1(h1) = self {
            h1.refuse_plain(env, io, bytes);
        }
    }

    /// Returns HTTP/2 at its start: the client's preface has not been read.
    #[cfg(feature = "http2")]
    fn http2(env: &Env, io: &mut Io) -> Self {
        Self::H2(Box::new(H2::new(env, io)))
    }

    fn successor(next: NextProtocol, env: &mut Env, io: &mut Io) -> Self {
        match next {
            #[cfg(feature = "http2")]
            NextProtocol::Http2 => Self::http2(env, io),
            #[cfg(feature = "http2")]
            NextProtocol::UpgradedHttp2(request) => Self::H2(Box::new(H2::upgraded(env, io, *request))),
            // Never requested: see [`Env::http2`].
            #[cfg(not(feature = "http2"))]
            NextProtocol::Http2 => {
                let _ = io;
                Self::http1(false, env.now)
            }
            #[cfg(feature = "ws")]
            NextProtocol::Ws(handover) => Self::Ws(Box::new(Ws::new(*handover, env, io))),
        }
    }

    /// Switches to the next protocol if HTTP/1.1 has asked for it. The next protocol gets the bytes that were
    /// received and not parsed, and the peer's FIN if it has come.
    #[cfg_attr(
        not(any(feature = "http2", feature = "ws")),
        expect(irrefutable_let_patterns, reason = "there is no other protocol")
    )]
    pub(super) fn switch_if_asked(&mut self, env: &mut Env, io: &mut Io) {
        let Self::H1(h1) = self else { return };
        let Some((next, input)) = h1.take_switch() else { return };
        *self = Self::successor(next, env, io);
        if !input.bytes.is_empty() {
            self.received(env, io, &input.bytes);
        }
        if input.has_fin {
            self.fin_received(env, io);
        }
    }
}

/// Calls the current protocol. A `match` instead of a trait object, so that calls of HTTP/1.1 are inlined.
macro_rules! current {
    ($of:expr, $protocol:ident => $call:expr) => {
        match $of {
            CurrentProtocol::H1($protocol) => $call,
            #[cfg(feature = "http2")]
            CurrentProtocol::H2($protocol) => $call,
            #[cfg(feature = "ws")]
            CurrentProtocol::Ws($protocol) => $call,
        }
    };
}

impl Protocol for CurrentProtocol {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        current!(self, p => p.received(env, io, bytes));
    }

    fn fin_received(&mut self, env: &mut Env, io: &mut Io) {
        current!(self, p => p.fin_received(env, io));
    }

    fn reply_ready(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome) {
        current!(self, p => p.reply_ready(env, io, seq, outcome));
    }

    fn advance(&mut self, env: &mut Env, io: &mut Io) {
        current!(self, p => p.advance(env, io));
    }

    fn sent(&mut self, env: &mut Env, io: &mut Io) {
        current!(self, p => p.sent(env, io));
    }

    fn rests(&mut self, env: &Env, io: &mut Io) -> bool {
        current!(self, p => p.rests(env, io))
    }

    fn filled(&mut self, label: u32) {
        current!(self, p => p.filled(label));
    }

    fn deliver(&mut self, env: &mut Env, io: &mut Io) -> bool {
        current!(self, p => p.deliver(env, io))
    }

    fn timer_expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        current!(self, p => p.timer_expired(env, io, timer));
    }

    fn announce_close(&mut self, env: &mut Env, io: &mut Io) {
        current!(self, p => p.announce_close(env, io));
    }

    fn after_event(&mut self, env: &mut Env, io: &mut Io) {
        current!(self, p => p.after_event(env, io));
    }

    fn has_unwritten(&self) -> bool {
        current!(self, p => p.has_unwritten())
    }

    fn is_active(&self) -> bool {
        current!(self, p => p.is_active())
    }

    fn activity(&self, io: &Io) -> &'static str {
        current!(self, p => p.activity(io))
    }

    fn closed(&mut self, env: &mut Env, io: &mut Io) {
        current!(self, p => p.closed(env, io));
    }
}
