//! How streams, and the connection, come to their end before their time.

use super::{
    H2, Phase,
    engine::Code,
    stream::{State, Stream},
};
use crate::{
    conn::{DRAINED, Env, Io, account::ENDED_FIRST},
    net::Ending,
    proto::h2::meter::Flood,
};

impl H2 {
    /// Ends a stream that nobody waits for any more.
    pub(super) fn lost(&mut self, env: &Env, io: &Io, stream: Box<Stream>) {
        if !matches!(stream.state, State::Leaving) {
            env.cells.h2_resets.add("peer");
        }
        self.forget(env, io, *stream, Code::Cancel);
    }

    pub(super) fn lose(&mut self, env: &Env, io: &Io, id: u32) {
        if let Some(stream) = self.take_out(id) {
            self.lost(env, io, stream);
        }
    }

    pub(super) fn forget(&mut self, env: &Env, io: &Io, stream: Stream, code: Code) {
        let (account, status, written) = match stream.state {
            State::Collecting(exchange, _) => {
                exchange.reply.reset(code);
                (exchange.account, None, 0)
            }
            State::Waiting(exchange, task) => {
                task.cancel();
                exchange.reply.reset(code);
                (exchange.account, None, 0)
            }
            State::Streaming(account, streaming) => {
                let (status, written) = (streaming.status, streaming.written);
                streaming.reset(code);
                (account, Some(status), written)
            }
            State::Leaving => return,
        };
        account.finish(env, io, status, Some(ENDED_FIRST), written);
    }

    /// Gives up the replies that wait for a window: nothing opens it behind the peer's FIN.
    pub(super) fn lose_stuck(&mut self, env: &Env, io: &Io) {
        if self.blocked {
            // Windows may be open: it is the socket that takes nothing.
            return;
        }
        let stuck = |stream: &Stream| matches!(&stream.state, State::Streaming(_, reply) if reply.is_stuck());
        let stuck: Vec<u32> = self.streams.values().filter(|stream| stuck(stream)).map(|stream| stream.id).collect();
        stuck.into_iter().for_each(|id| self.lose(env, io, id));
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
            env.cells.h2_goaways.add(cause);
            self.engine.leave();
        }
    }

    /// Ends the connection with everything on it.
    pub(super) fn quit(&mut self, env: &Env, code: Code, cause: &'static str) {
        if self.phase == Phase::Open {
            env.cells.h2_goaways.add(cause);
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
            env.cells.h2_goaways.add(fault);
        }
        self.note_fault(env, io, fault);
    }

    pub(super) fn note_fault(&self, env: &mut Env, io: &mut Io, fault: &'static str) {
        env.cells.protocol_errors.add(fault);
        if env.may_warn() {
            tracing::debug!(peer = ?io.peer, cause = fault, "an HTTP/2 connection ends");
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
