//! Early ends of streams and of the connection.

use super::{
    H2, Phase,
    engine::Code,
    meter::Flood,
    stream::{State, Stream},
};
use crate::{
    conn::{
        env::Env,
        exchange::telemetry::CONNECTION_ENDED,
        io::{DRAINED, Io},
    },
    net::Ending,
};

impl H2 {
    /// Ends a stream that nobody waits for any more.
    pub(super) fn lost(&mut self, env: &Env, io: &Io, stream: Box<Stream>) {
        if !matches!(stream.state, State::Leaving) {
            env.counters.h2_resets.add("peer");
        }
        self.forget(env, io, *stream, Code::Cancel);
    }

    pub(super) fn lose(&mut self, env: &Env, io: &Io, id: u32) {
        if let Some(stream) = self.take_out(id) {
            self.lost(env, io, stream);
        }
    }

    pub(super) fn forget(&mut self, env: &Env, io: &Io, stream: Stream, code: Code) {
        let (telemetry, status, written) = match stream.state {
            State::Collecting(exchange, _) => {
                exchange.reply.reset(code);
                (exchange.telemetry, None, 0)
            }
            State::Waiting(exchange, task) => {
                task.cancel();
                exchange.reply.reset(code);
                (exchange.telemetry, None, 0)
            }
            State::Streaming(telemetry, streaming) => {
                let (status, written) = (streaming.status, streaming.written);
                streaming.reset(code);
                (telemetry, Some(status), written)
            }
            #[cfg(feature = "ws")]
            State::Socket(telemetry, tunnel) => {
                let written = tunnel.reset(env, code);
                (telemetry, Some(http::StatusCode::OK), written)
            }
            State::Leaving => return,
        };
        telemetry.finish(env, io, status, Some(CONNECTION_ENDED), written);
    }

    /// Gives up what the peer's FIN leaves without hope: bodies whose rest will never come, replies that wait
    /// for a window, and those without an end of their own, which have nobody to go to. Says whether there
    /// were any.
    pub(super) fn lose_hopeless(&mut self, env: &Env, io: &Io) -> bool {
        // Else what it takes may be there and not looked at yet: with the socket taking nothing, windows may
        // be open, and not all that came may have been read.
        let at_rest = !self.blocked && self.woken.is_empty();
        let is_hopeless = |stream: &Stream| stream.is_endless() || at_rest && stream.is_stuck();
        let hopeless = self.streams.values().filter(|stream| is_hopeless(stream)).map(|stream| stream.id);
        let hopeless = hopeless.collect::<Vec<_>>();
        hopeless.iter().for_each(|id| self.lose(env, io, *id));
        !hopeless.is_empty()
    }

    pub(super) fn lose_all(&mut self, env: &Env, io: &Io) {
        self.alarms.clear();
        for (_, stream) in std::mem::take(&mut self.streams) {
            self.forget(env, io, *stream, Code::Cancel);
        }
        self.accepted.clear();
        self.broken.clear();
    }

    /// Asks the peer to start no further stream.
    pub(super) fn leave(&mut self, env: &Env, cause: &'static str) {
        if self.phase == Phase::Open {
            self.phase = Phase::Leaving;
            // What is only thrown away keeps no connection open.
            let is_done = |stream: &Stream| matches!(stream.state, State::Leaving);
            let done = self.streams.values().filter(|stream| is_done(stream)).map(|stream| stream.id);
            done.collect::<Vec<_>>().into_iter().for_each(|id| drop(self.take_out(id)));
            env.counters.h2_goaways.add(cause);
            self.engine.leave();
        }
    }

    /// Ends the connection with everything on it.
    pub(super) fn quit(&mut self, env: &Env, code: Code, cause: &'static str) {
        // In the greeting there are no frames to say it with.
        if self.phase == Phase::Open && !self.engine.is_greeting() {
            env.counters.h2_goaways.add(cause);
        }
        self.engine.quit(code);
    }

    /// Ends a connection that sends frames faster than it may; what came before the one too many is taken.
    pub(super) fn flooded(&mut self, env: &mut Env, io: &mut Io, flood: Flood, bytes: &[u8]) {
        self.pipe.feed(&bytes[..flood.at]);
        self.drive(env, io);
        if self.phase == Phase::Over {
            return;
        }
        self.note_fault(env, io, flood.kind.label());
        self.quit(env, Code::Calm, flood.kind.label());
        self.drive(env, io);
    }

    pub(super) fn note_over(&mut self, env: &mut Env, io: &mut Io, fault: Option<&'static str>) {
        let Some(fault) = fault else {
            return io.end(Ending::Finish, if env.is_draining() { DRAINED } else { "done" });
        };
        if self.phase == Phase::Open {
            env.counters.h2_goaways.add(fault);
        }
        self.note_fault(env, io, fault);
    }

    pub(super) fn note_fault(&self, env: &mut Env, io: &mut Io, fault: &'static str) {
        env.counters.protocol_errors.add(fault);
        if env.may_warn() {
            tracing::debug!(peer = ?io.peer, cause = fault, "HTTP/2 connection failed, closing");
        }
        io.end(Ending::Finish, "protocol_error");
    }

    /// Ends everything: the engine has written its last.
    pub(super) fn over(&mut self, env: &mut Env, io: &mut Io) {
        self.phase = Phase::Over;
        self.lose_all(env, io);
        self.woken.close();
    }
}
