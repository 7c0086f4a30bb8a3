//! Effects of one frame, from either implementation.

use std::collections::BTreeMap;

use windlass::proto::h2::Limits;

use crate::common::{
    frames::{ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, read_frames},
    server::fields,
};

pub(super) const BODY: &[u8] = b"ok";

/// Effects of one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// By stream: what was seen of its request, and what was sent on it.
    pub(super) streams: BTreeMap<u32, Stream>,
    /// Payloads of PINGs that were answered.
    pub(super) pongs: Vec<Vec<u8>>,
    /// SETTINGS that were acknowledged.
    pub(super) settings: usize,
    /// The code of the GOAWAY that ended the connection.
    pub(super) goaway: Option<u32>,
}

impl Step {
    pub(super) fn of(&mut self, stream: u32) -> &mut Stream {
        self.streams.entry(stream).or_default()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) request: Option<Request>,
    pub(super) body: Vec<u8>,
    pub(super) ends: bool,
    pub(super) trailers: Vec<(String, Vec<u8>)>,
    /// Whether its user was told of a reset.
    pub(super) gone: bool,
    pub(super) status: Option<u16>,
    pub(super) sent: usize,
    pub(super) sent_end: bool,
    pub(super) reset: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

/// Takes note of frames that were sent.
pub(super) fn note_sent(step: &mut Step, sent: &[u8]) {
    for frame in read_frames(sent) {
        match frame.kind {
            HEADERS => {
                step.of(frame.stream).status = fields(&frame)[0].1.parse().ok();
                step.of(frame.stream).sent_end |= frame.has(END_STREAM);
            }
            DATA => {
                step.of(frame.stream).sent += frame.payload.len();
                step.of(frame.stream).sent_end |= frame.has(END_STREAM);
            }
            RST_STREAM => step.of(frame.stream).reset = Some(frame.code()),
            PING if frame.has(ACK) => step.pongs.push(frame.payload),
            SETTINGS if frame.has(ACK) => step.settings += 1,
            GOAWAY => step.goaway = Some(frame.code()),
            _ => {}
        }
    }
}

pub(super) fn limits() -> Limits {
    Limits { streams: 4, stream_window_bytes: 65_535, connection_window_bytes: 65_535, ..Limits::default() }
}

pub(super) fn sorted<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> =
        fields.map(|(name, value)| (String::from_utf8(name.to_vec()).unwrap(), value.to_vec())).collect();
    fields.sort();
    fields
}
