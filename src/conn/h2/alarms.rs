//! Timers of streams: what was too slow, and the reaction.

use http::StatusCode;

use super::{
    H2,
    incoming::Incoming,
    stream::{Stage, Stream},
    wait::Late,
};
use crate::{
    conn::{
        env::Env,
        exchange::{answers, body_rate::TOO_SLOW},
        io::Io,
    },
    proto::h2::ErrorCode,
};

impl H2 {
    /// Schedules the timers of all streams again when the drain begins, which shortens them.
    pub(super) fn renew_alarms(&mut self, env: &Env) {
        for key in self.streams.keys(|_| true) {
            if let Some(stream) = self.streams.take(key) {
                self.put_back(env, stream);
            }
        }
    }

    /// Handles the timers of streams that have expired: answers, resets or fails the stream, depending on
    /// what is late.
    pub(super) fn check_alarms(&mut self, env: &mut Env, io: &mut Io) {
        while let Some(stream) = self.streams.take_due(env.now) {
            match stream.deadline(env) {
                Some((at, late)) if at <= env.now => self.late(env, io, stream, late),
                _ => self.put_back(env, stream),
            }
        }
    }

    fn late(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>, late: Late) {
        #[cfg(feature = "ws")]
        if late == Late::Socket {
            return self.socket_clock_due(env, io, stream);
        }
        if late == Late::Window && self.core.room(stream.key) > 0 {
            // It waits for the socket, which has a timer of its own.
            match &mut stream.stage {
                Stage::Streaming(_, streaming) => streaming.wait.restart(env.now),
                #[cfg(feature = "ws")]
                Stage::Socket(_, tunnel) => tunnel.wait.restart(env.now),
                _ => {}
            }
            return self.put_back(env, stream);
        }
        env.counters.timeouts.add(late.timer().name());
        match (late, stream.stage) {
            (Late::Body, Stage::Collecting(exchange, request)) => {
                let answer = answers::invalid(StatusCode::REQUEST_TIMEOUT, TOO_SLOW);
                self.answer_instead(env, io, exchange, *request, None, answer);
            }
            (Late::Job, Stage::Running(exchange, handler)) => {
                handler.expire();
                self.answer(env, io, exchange, stream.incoming, handler.late());
            }
            (Late::Body, Stage::Discarding) => self.finish_stream(io, stream.key),
            (Late::Body, stage) => {
                stream.stage = stage;
                if let Some(incoming) = stream.incoming.take() {
                    Incoming::fail_late(incoming);
                }
                self.put_back(env, stream);
            }
            (late, stage) => {
                stream.stage = stage;
                env.counters.h2_resets.add(late.timer().name());
                let code = if late == Late::Producer { ErrorCode::InternalError } else { ErrorCode::Cancel };
                self.give_up(env, io, *stream, code);
            }
        }
    }
}
