//! The timers of streams: what took too long, and what then happens.

use http::StatusCode;

use super::{
    H2,
    engine::Code,
    incoming::Incoming,
    stream::{State, Stream},
    wait::Late,
};
use crate::{
    conn::{
        env::Env,
        exchange::{answers, body_rate::TOO_SLOW},
        io::Io,
        timers::Timer,
    },
    response::plain,
};

impl H2 {
    pub(super) fn look_at_alarms(&mut self, env: &mut Env, io: &mut Io) {
        while self.alarms.first().is_some_and(|(at, _)| *at <= env.now) {
            let Some(stream) = self.alarms.pop_first().and_then(|(_, id)| self.take_out(id)) else {
                continue;
            };
            match stream.due(&env.timeouts) {
                Some((due, late)) if due <= env.now => self.late(env, io, stream, late),
                _ => self.put_back(env, stream),
            }
        }
    }

    /// Ends what took too long.
    fn late(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>, late: Late) {
        #[cfg(feature = "ws")]
        if let (Late::Socket, State::Socket(_, tunnel)) = (late, &mut stream.state) {
            tunnel.look_at_clock(env);
            return self.advance_stream(env, io, stream);
        }
        env.counters.timeouts.add(timer_name(late));
        match (late, stream.state) {
            (Late::Body, State::Collecting(exchange, _)) => {
                let response = plain(StatusCode::REQUEST_TIMEOUT, TOO_SLOW);
                self.answer(env, io, exchange, None, response.into());
            }
            (Late::Job, State::Waiting(exchange, task)) => {
                task.cancel();
                self.answer(env, io, exchange, None, answers::late());
            }
            // The client had its time: the stream is let go.
            (Late::Body, State::Leaving) => {}
            (Late::Body, state) => {
                stream.state = state;
                if let Some(incoming) = stream.incoming.take() {
                    Incoming::fail_late(incoming);
                }
                self.put_back(env, stream);
            }
            (late, state) => {
                stream.state = state;
                env.counters.h2_resets.add(timer_name(late));
                let code = if late == Late::Producer { Code::Internal } else { Code::Cancel };
                self.forget(env, io, *stream, code);
            }
        }
    }
}

fn timer_name(late: Late) -> &'static str {
    match late {
        Late::Body => Timer::Body.name(),
        Late::Job => Timer::Job.name(),
        Late::Window => Timer::Write.name(),
        Late::Producer => Timer::Stream.name(),
        #[cfg(feature = "ws")]
        Late::Socket => Timer::Own.name(),
    }
}
