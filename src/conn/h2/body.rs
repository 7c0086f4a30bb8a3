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
    /// Handles a part of a request's body.
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

    /// Handles the trailers of a request's body, which are in the head.
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

    /// Ends a body, and starts the request that waits for it.
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

    /// Stops receiving a body. A request that waits for it is answered with `refusal`.
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

/// Makes a map of fields that the core has judged.
fn header_map(fields: Fields<'_>) -> HeaderMap {
    let valid = |(name, value): (&[u8], &[u8])| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    fields.iter().filter_map(valid).collect()
}
