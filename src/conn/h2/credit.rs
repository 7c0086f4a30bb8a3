//! Credit for request bodies: how much more the peer may send.
//!
//! A handler that reads a body as it arrives gives credit by reading. Bodies that are collected are limited
//! together, so that a peer cannot make the server hold the largest body on every stream:
//!
//! - While more than a connection's window of bytes is collected, only the oldest collected body gets credit.
//!   The others can fill the windows that their streams had from the start. The connection's window stays
//!   open for them, as the oldest body could not be completed otherwise.
//! - While more than `outbound_bytes` of whole replies wait for the peer to read, no collected body gets
//!   credit: most likely its reply would wait, too.

use super::{
    H2,
    stream::{Stage, Stream},
};
use crate::{
    conn::{env::Env, io::Io},
    proto::h2::Key,
};

/// Bytes left in the connection's window below which a body that gets no credit gives its part of that window
/// to other streams.
const LEAST_ROOM_BYTES: usize = 64 * 1024;

impl H2 {
    /// Gives a stream the credit that is due for its body, or marks it as waiting for credit. If the handler
    /// has dropped the body, the rest is discarded.
    pub(super) fn update_incoming(&mut self, env: &Env, io: &mut Io, stream: &mut Stream) {
        let Some(incoming) = &mut stream.incoming else { return };
        let mut cx = Stream::context(&stream.waker);
        let Some(due) = incoming.poll_credit(&mut cx) else {
            let rest =
                stream.incoming.take().map(|rest| rest.into_discarded(env.limits.discard_bytes, env.now));
            stream.incoming = rest;
            return self.update_incoming(env, io, stream);
        };
        if incoming.collected().is_some() && due > 0 && !self.may_collect(env, stream.key) {
            self.owes_credit = true;
            incoming.pause();
            if !self.has_backlog(env) && self.core.receive_room() < LEAST_ROOM_BYTES {
                self.core.release_to_others(stream.key, io.outbox.buffer());
            }
            return;
        }
        if due == 0 && incoming.held() > 0 {
            // The handler has not taken what came.
            incoming.pause();
        }
        incoming.granted(due, env.now);
        self.core.release(stream.key, due, io.outbox.buffer());
    }

    /// Returns `true` if the body of this stream, which is collected, may get credit.
    fn may_collect(&self, env: &Env, key: Key) -> bool {
        if self.has_backlog(env) {
            return false;
        }
        let collecting =
            || self.streams.iter().filter(|stream| matches!(stream.stage, Stage::Collecting(..)));
        let bytes = |stream: &Stream| stream.incoming.as_ref().and_then(|incoming| incoming.collected());
        let collected: usize = collecting().filter_map(bytes).sum();
        collected <= env.limits.http2.connection_window_bytes as usize
            || collecting().all(|stream| stream.key.id() > key.id())
    }

    /// Gives the credit that was withheld or deferred, as far as it may be given by now.
    pub(super) fn grant_credit(&mut self, env: &mut Env, io: &mut Io) {
        if !std::mem::take(&mut self.owes_credit) {
            return;
        }
        self.release_deferred(env, io);
        let is_owed = |stream: &Stream| stream.incoming.as_ref().is_some_and(|incoming| incoming.is_paused());
        for key in self.streams.keys(is_owed) {
            if let Some(stream) = self.streams.take(key) {
                self.advance_stream(env, io, stream);
            }
        }
    }
}
