//! Early ends of streams and of the connection.

use super::{
    H2,
    stream::{Stage, Stream},
};
use crate::{
    conn::{
        env::Env,
        exchange::telemetry::CONNECTION_ENDED,
        io::{DRAINED, Io},
    },
    net::Ending,
    proto::h2::{ConnectionState, ErrorCode, Fault, Key, ResetBy, Sending},
};

impl H2 {
    /// Handles a stream that the core has closed before its end, because of a reset or a fault of the peer:
    /// cancels its handler and reports its end.
    pub(super) fn reset_received(&mut self, env: &mut Env, io: &mut Io, key: Key, by: ResetBy) {
        if let ResetBy::Fault(fault) = by {
            env.counters.protocol_errors.add(fault.label);
        }
        let Some(stream) = self.streams.take(key) else { return };
        if !matches!(stream.stage, Stage::Discarding) {
            env.counters.h2_resets.add("peer");
        }
        self.drop_stream(env, io, *stream);
    }

    /// Resets a stream, cancels its handler and reports its end.
    pub(super) fn give_up(&mut self, env: &mut Env, io: &mut Io, stream: Stream, code: ErrorCode) {
        self.core.reset(stream.key, code, io.outbox.buffer());
        self.drop_stream(env, io, stream);
    }

    /// Drops a stream that the core has closed: cancels its handler, and calls the end hooks unless its reply
    /// was sent.
    fn drop_stream(&mut self, env: &mut Env, io: &Io, stream: Stream) {
        self.last_activity = env.now;
        let (telemetry, status, written) = match stream.stage {
            Stage::Collecting(exchange, _) | Stage::Delayed(exchange, _) => (exchange.telemetry, None, 0),
            Stage::Running(exchange, handler) => {
                handler.cancel();
                (exchange.telemetry, None, 0)
            }
            Stage::Streaming(telemetry, streaming) => {
                self.uncharge(&streaming);
                (telemetry, Some(streaming.status), streaming.written)
            }
            #[cfg(feature = "ws")]
            Stage::Socket(telemetry, mut tunnel) => {
                tunnel.endpoint.cancel(env);
                (telemetry, Some(http::StatusCode::OK), tunnel.endpoint.sent_bytes())
            }
            Stage::Discarding => return,
        };
        telemetry.finish(env, io, status, Some(CONNECTION_ENDED), written);
    }

    /// Resets the streams that the peer's FIN leaves without hope: bodies whose rest will never arrive,
    /// replies that wait for a window, and replies without an end of their own.
    pub(super) fn lose_hopeless(&mut self, env: &mut Env, io: &mut Io) {
        let is_stuck = |stream: &Stream| match &stream.stage {
            Stage::Streaming(..) => {
                self.core.sending(stream.key) != Sending::Idle && self.core.room(stream.key) == 0
            }
            _ => false,
        };
        let awaits_body = |stream: &Stream| stream.incoming.as_ref().is_some_and(|body| !body.is_paused());
        let is_hopeless = |stream: &Stream| stream.is_endless() || awaits_body(stream) || is_stuck(stream);
        for key in self.streams.keys(is_hopeless) {
            if let Some(stream) = self.streams.take(key) {
                if !matches!(stream.stage, Stage::Discarding) {
                    env.counters.h2_resets.add("peer");
                }
                self.give_up(env, io, *stream, ErrorCode::Cancel);
            }
        }
    }

    pub(super) fn lose_all(&mut self, env: &mut Env, io: &Io) {
        for stream in self.streams.clear() {
            self.drop_stream(env, io, *stream);
        }
    }

    /// Advances the replies without an end of their own, so that they learn of the drain.
    pub(super) fn end_endless(&mut self, env: &mut Env, io: &mut Io) {
        for key in self.streams.keys(Stream::is_endless) {
            if let Some(stream) = self.streams.take(key) {
                self.advance_stream(env, io, stream);
            }
        }
        self.drive(env, io, &[]);
    }

    /// Asks the peer with GOAWAY to begin no further stream, and drops streams whose replies were sent. Has
    /// no effect if the connection is ending already. `cause` is a metric label.
    pub(super) fn leave(&mut self, env: &Env, io: &mut Io, cause: &'static str) {
        if self.core.state() != ConnectionState::Open {
            return;
        }
        env.counters.h2_goaways.add(cause);
        self.core.leave(io.outbox.buffer());
        // A body that is only discarded keeps no connection open.
        for key in self.streams.keys(|stream| matches!(stream.stage, Stage::Discarding)) {
            drop(self.streams.take(key));
            self.finish_stream(io, key);
        }
    }

    /// Sends GOAWAY with this error code and drops all streams. The caller ends the connection. `cause` is a
    /// metric label.
    pub(super) fn quit(&mut self, env: &mut Env, io: &mut Io, code: ErrorCode, cause: &'static str) {
        if self.core.state() == ConnectionState::Open {
            env.counters.h2_goaways.add(cause);
        }
        self.core.quit(code, "", io.outbox.buffer());
        self.close_streams(env, io);
    }

    /// Handles the end of the connection by the core: without a fault after the last stream, or because of a
    /// fault of the peer.
    pub(super) fn over(&mut self, env: &mut Env, io: &mut Io, fault: Option<Fault>) {
        match fault {
            None => io.end(Ending::Finish, if env.is_draining() { DRAINED } else { "done" }),
            Some(fault) => {
                if fault != Fault::PEER {
                    env.counters.h2_goaways.add(fault.label);
                }
                env.counters.protocol_errors.add(fault.label);
                if env.may_warn() {
                    let Fault { label, text, .. } = fault;
                    let peer = io.peer;
                    tracing::debug!(
                        ?peer,
                        cause = label,
                        error = text,
                        "client violated HTTP/2 or ended the connection with an error, closing it"
                    );
                }
                io.end(Ending::Finish, "protocol_error");
            }
        }
        self.close_streams(env, io);
    }

    fn close_streams(&mut self, env: &mut Env, io: &Io) {
        self.lose_all(env, io);
        self.woken.close();
    }
}
