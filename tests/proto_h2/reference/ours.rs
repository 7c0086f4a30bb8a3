//! This implementation.

use windlass::proto::{
    h2::{
        Connection, Context, End, Event, Head, Limits,
        encode::{self, Exchange},
        hpack::encode::Strings,
    },
    semantics::Length,
};

use super::step::{BODY, Request, Step, limits, note_sent, sorted};

/// This implementation.
pub(super) struct Ours {
    connection: Connection,
    limits: Limits,
    now: std::time::Instant,
    head: Head,
    is_over: bool,
}

impl Ours {
    pub(super) fn new() -> Self {
        let (limits, now) = (limits(), std::time::Instant::now());
        let connection = Connection::new(&limits, now, &mut Vec::new());
        Self { connection, limits, now, head: Head::default(), is_over: false }
    }

    pub(super) fn step(&mut self, mut bytes: &[u8]) -> Step {
        let (mut step, mut out) = (Step::default(), Vec::new());
        loop {
            let mut cx = Context { limits: &self.limits, now: self.now, head: &mut self.head, out: &mut out };
            let Some(event) = self.connection.next(&mut bytes, &mut cx) else { break };
            match event {
                Event::Request { stream, ends } => {
                    step.of(stream.id()).request = Some(Request {
                        method: self.head.http_method().unwrap().to_string(),
                        path: String::from_utf8(self.head.path().to_vec()).unwrap(),
                        fields: sorted(self.head.fields().iter()),
                    });
                    step.of(stream.id()).ends = ends;
                    self.answer(stream, 200, &mut out);
                }
                Event::Refused { stream, reject, .. } => {
                    self.answer(stream, reject.status().as_u16(), &mut out)
                }
                Event::Data { stream, bytes, ends } => {
                    step.of(stream.id()).body.extend_from_slice(bytes);
                    step.of(stream.id()).ends |= ends;
                    self.connection.release(stream, bytes.len(), &mut out);
                }
                Event::Trailers { stream, .. } => {
                    step.of(stream.id()).trailers = sorted(self.head.fields().iter());
                    step.of(stream.id()).ends = true;
                }
                Event::Reset { stream, .. } => step.of(stream.id()).gone = true,
                Event::Malformed(_) => {}
                Event::Over(_) => self.is_over = true,
            }
        }
        note_sent(&mut step, &out);
        step
    }

    fn answer(&mut self, stream: windlass::proto::h2::Key, status: u16, out: &mut Vec<u8>) {
        let status = http::StatusCode::from_u16(status).unwrap();
        self.connection.headers_out(stream, End::Open, out, |out| {
            let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
            let length = Length::Known(BODY.len() as u64);
            encode::head(
                out,
                Exchange::default(),
                status,
                length,
                &http::HeaderMap::new(),
                date,
                Strings::Plain,
            );
        });
        self.connection.data_out(stream, BODY.len(), End::Stream, out);
        out.extend_from_slice(BODY);
    }
}
