//! Receives request bodies.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    H2,
    incoming::{Ended, Received},
    stream::{Stage, Stream},
};
use crate::{
    conn::{env::Env, exchange::answers, io::Io},
    proto::{
        h2::{ErrorCode, Head, Key},
        semantics::{Fields, Reject},
    },
    routing::handler::Answer,
};

impl H2 {
    /// Handles a part of a request's body, or of a WebSocket's data. `ends`: it is the last part.
    pub(super) fn data(&mut self, env: &mut Env, io: &mut Io, key: Key, bytes: &[u8], ends: bool) {
        let Some(mut stream) = self.streams.take(key) else {
            // Its request was answered, and its user wants nothing of the rest.
            return self.core.release(key, bytes.len(), io.outbox.buffer());
        };
        #[cfg(feature = "ws")]
        if let Stage::Socket(..) = stream.stage {
            return self.socket_data(env, io, stream, bytes, ends);
        }
        let Some(incoming) = &mut stream.incoming else {
            self.core.release(key, bytes.len(), io.outbox.buffer());
            return self.put_back(env, stream);
        };
        if let Received::TooLarge = incoming.received(bytes, env.now) {
            return self.stop_body(env, io, stream, answers::too_large());
        }
        if ends {
            return self.end_body(env, io, stream, Ok(HeaderMap::new()));
        }
        self.advance_stream(env, io, stream);
    }

    /// Handles the trailers of a request's body, which are in `head`, and the end of the body with them.
    /// `refused` is the rule that they break.
    pub(super) fn trailers(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &Head,
        key: Key,
        refused: Option<Reject>,
    ) {
        if let Some(reject) = refused {
            env.counters.protocol_errors.add(reject.label());
        }
        let Some(stream) = self.streams.take(key) else { return };
        #[cfg(feature = "ws")]
        if let Stage::Socket(..) = stream.stage {
            return self.socket_data(env, io, stream, &[], true);
        }
        let trailers = refused.map_or_else(|| Ok(header_map(head.fields())), Err);
        self.end_body(env, io, stream, trailers);
    }

    /// Ends a body. Starts the request that waits for it, or answers it if the trailers broke a rule.
    fn end_body(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        trailers: Result<HeaderMap, Reject>,
    ) {
        let Some(incoming) = stream.incoming.take() else { return self.advance_stream(env, io, stream) };
        // Nothing more can come on the stream; the connection's credit for what came is due.
        self.release_body(env, io, stream.key, incoming.held());
        match (incoming.end(trailers), stream.stage) {
            (Ended::Whole(bytes), Stage::Collecting(exchange, request)) => {
                self.start(env, io, exchange, *request, bytes.into(), None);
            }
            (Ended::Refused(reject), Stage::Collecting(exchange, request)) => {
                let answer = answers::invalid(reject.status(), reject.text());
                self.answer_instead(env, io, exchange, *request, None, answer);
            }
            (_, stage) => {
                stream.stage = stage;
                self.advance_stream(env, io, stream);
            }
        }
    }

    /// Stops receiving a body that is too large. A request that waits for it is answered with `refusal`; a
    /// stream whose reply was sent is reset with NO_ERROR.
    fn stop_body(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>, refusal: Answer) {
        let key = stream.key;
        match stream.stage {
            Stage::Collecting(exchange, request) => {
                self.answer_instead(env, io, exchange, *request, None, refusal);
            }
            Stage::Discarding => self.core.reset(key, ErrorCode::NoError, io.outbox.buffer()),
            stage => {
                stream.stage = stage;
                stream.incoming = None;
                self.advance_stream(env, io, stream);
            }
        }
    }
}

/// Makes a map of fields that the core has checked. A field that is no valid header is left out.
fn header_map(fields: Fields<'_>) -> HeaderMap {
    let valid = |(name, value): (&[u8], &[u8])| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    fields.iter().filter_map(valid).collect()
}
