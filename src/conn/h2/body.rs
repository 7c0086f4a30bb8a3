//! Reads request bodies.

use std::task::Context;

use super::{
    H2,
    incoming::Taken,
    stream::{State, Stream},
};
use crate::{
    conn::{env::Env, exchange::answers, io::Io, message::Outcome},
    response::plain,
};

impl H2 {
    /// Takes what came of a stream's body. Returns the stream if it goes on; else it was answered or given
    /// up.
    pub(super) fn take_body(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        cx: &mut Context<'_>,
    ) -> Option<Box<Stream>> {
        let Some(incoming) = &mut stream.incoming else { return Some(stream) };
        match incoming.take(env, cx) {
            Taken::Part => return Some(stream),
            Taken::Passed => {}
            Taken::Whole(bytes) => {
                if let State::Collecting(exchange, pending) = stream.state {
                    self.start(env, io, exchange, *pending, bytes.into(), None);
                }
                return None;
            }
            Taken::TooLarge => return self.stop_body(env, io, stream, answers::too_large()),
            Taken::Refused(reject) => {
                env.counters.protocol_errors.add(reject.label());
                return self.stop_body(env, io, stream, plain(reject.status(), reject.text()).into());
            }
            Taken::Gone => {
                self.lost(env, io, stream);
                return None;
            }
        }
        stream.incoming = None;
        Some(stream)
    }

    /// Takes no more of a body; who waits for it is refused.
    fn stop_body(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        refusal: Outcome,
    ) -> Option<Box<Stream>> {
        match stream.state {
            State::Collecting(exchange, _) => {
                self.answer(env, io, exchange, None, refusal);
                None
            }
            // Of what is only thrown away it is enough.
            State::Leaving => None,
            state => {
                stream.state = state;
                stream.incoming = None;
                Some(stream)
            }
        }
    }
}
