//! Bounds on whole replies that wait for a peer that does not read.
//!
//! A handler that returns a complete body has produced it before it can be sent. So while more than
//! `outbound_bytes` of such replies wait, the handler of a stream without a window does not start, and the
//! connection gets no credit back for complete request bodies. A reply that waits delays no stream that can
//! send.

use super::{
    H2,
    incoming::Incoming,
    stream::{Exchange, RoutedRequest, Stage, Stream},
};
use crate::{
    body::Body,
    conn::{env::Env, io::Io},
    proto::h2::Key,
};

/// Number of entries of deferred credit from which on those of closed streams are removed first: their credit
/// was returned.
const MANY_STREAMS: usize = 256;

impl H2 {
    /// Returns `true` if more than `outbound_bytes` of whole replies wait for the peer.
    pub(super) fn has_backlog(&self, env: &Env) -> bool {
        self.unsent_bytes > env.limits.http2.outbound_bytes
    }

    /// Returns `true` if the handler of a stream has to wait: whole replies wait for the peer, and the stream
    /// has no room in its window.
    pub(super) fn must_wait(&self, env: &Env, key: Key) -> bool {
        self.has_backlog(env) && self.core.room(key) == 0
    }

    /// Keeps a request whose handler starts later.
    pub(super) fn delay(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        request: RoutedRequest,
        body: Body,
        incoming: Option<Incoming>,
    ) {
        let key = exchange.key;
        self.delayed.push_back(key);
        let stage = Stage::Delayed(exchange, Box::new((request, body)));
        self.keep(env, io, Stream::new(key, incoming, stage));
    }

    /// Starts the waiting handlers that need not wait further.
    pub(super) fn start_delayed(&mut self, env: &mut Env, io: &mut Io) {
        for _ in 0..self.delayed.len() {
            let Some(key) = self.delayed.pop_front() else { return };
            if self.must_wait(env, key) && self.core.may_send(key) {
                self.delayed.push_back(key);
                continue;
            }
            let Some(mut stream) = self.streams.take(key) else { continue };
            match stream.stage {
                Stage::Delayed(exchange, parts) => {
                    let (request, body) = *parts;
                    self.start_now(env, io, exchange, request, body, stream.incoming);
                }
                stage => {
                    stream.stage = stage;
                    self.put_back(env, stream);
                }
            }
        }
    }

    /// Gives the connection the credit of a complete body, unless the peer has to read first. The credit is
    /// then deferred.
    pub(super) fn release_body(&mut self, env: &Env, io: &mut Io, key: Key, bytes: usize) {
        if !self.has_backlog(env) {
            return self.core.release(key, bytes, io.outbox.buffer());
        }
        if self.deferred.len() >= MANY_STREAMS {
            self.deferred.retain(|(key, _)| self.core.may_send(*key));
        }
        self.deferred.push((key, bytes));
        self.owes_credit = true;
    }

    /// Gives the connection the credit that was deferred, unless the peer still has to read first. The core
    /// has given that of closed streams itself.
    pub(super) fn release_deferred(&mut self, env: &Env, io: &mut Io) {
        if self.has_backlog(env) {
            self.owes_credit |= !self.deferred.is_empty();
            return;
        }
        for (key, bytes) in self.deferred.drain(..) {
            self.core.release(key, bytes, io.outbox.buffer());
        }
    }
}
