//! A server's session fed with a client's bytes, cut as a test likes.

use windlass::proto::ws::{
    Code, Event, Fault, Limits, Outgoing, Role, Scratch, Session,
    frame::{Header, Opcode},
};

/// What a session said, to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<Code>, String),
}

impl From<Event<'_>> for Said {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.clone()),
            Event::Binary(bytes) => Self::Binary(bytes.clone()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close(close) => Self::Close(close.code, close.reason.to_owned()),
        }
    }
}

pub(crate) fn text(text: &str) -> Said {
    Said::Text(text.to_owned())
}

pub(crate) fn binary(bytes: impl AsRef<[u8]>) -> Said {
    Said::Binary(bytes.as_ref().to_vec())
}

pub(crate) fn key() -> [u8; 4] {
    [0x12, 0x00, 0xfe, 0x80]
}

pub(crate) fn server() -> Session {
    Session::new(Role::Server, Limits::default())
}

pub(crate) fn client() -> Session {
    Session::new(Role::Client { key }, Limits::default())
}

/// A final frame of a client.
pub(crate) fn frame(opcode: Opcode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    built(Header::new(opcode, 0), payload)
}

/// A frame that more fragments follow.
pub(crate) fn part(opcode: Opcode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    built(Header { fin: false, ..Header::new(opcode, 0) }, payload)
}

/// A client's frame with this header, masked.
pub(crate) fn built(header: Header, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut wire = Vec::new();
    Header { len: payload.len() as u64, key: Some(key()), ..header }.append_frame(&mut wire, payload);
    wire
}

/// Feeds bytes cut at these places; returns what was said, and the fault that ended it.
pub(crate) fn fed_cut(
    session: &mut Session,
    scratch: &mut Scratch,
    input: &[u8],
    cuts: &[usize],
) -> (Vec<Said>, Option<Fault>) {
    let mut said = Vec::new();
    let mut at = 0;
    for &end in cuts.iter().chain([&input.len()]) {
        let mut rest = &input[at..end];
        at = end;
        loop {
            match session.receive(&mut rest, scratch) {
                Ok(Some(event)) => said.push(event.into()),
                Ok(None) => break,
                Err(fault) => return (said, Some(fault)),
            }
        }
        assert!(rest.is_empty(), "input is left without an event");
    }
    (said, None)
}

/// Feeds bytes whole.
pub(crate) fn fed(session: &mut Session, input: &[u8]) -> (Vec<Said>, Option<Fault>) {
    fed_cut(session, &mut Scratch::default(), input, &[])
}

/// What a fresh server says to these bytes, whole and byte by byte, which must be the same.
pub(crate) fn said(input: &[u8]) -> (Vec<Said>, Option<Fault>) {
    let whole = fed(&mut server(), input);
    let bytes: Vec<usize> = (0..input.len()).collect();
    let (mut session, mut scratch) = (server(), Scratch::default());
    assert_eq!(fed_cut(&mut session, &mut scratch, input, &bytes), whole);
    whole
}

/// What the session owes, as the frames a client reads: opcode and payload.
pub(crate) fn replies(session: &mut Session) -> Vec<(Opcode, Vec<u8>)> {
    let mut out = Vec::new();
    session.reply(&mut out);
    frames(&out)
}

/// The frames of a server in these bytes.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(Opcode, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, len)) = Header::parse(bytes).unwrap() {
        assert!(header.key.is_none() && header.fin && !header.rsv1);
        let end = len + header.len as usize;
        frames.push((header.opcode, bytes[len..end].to_vec()));
        bytes = &bytes[end..];
    }
    assert!(bytes.is_empty());
    frames
}

/// The payload of a Close.
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Sends one message; returns its bytes.
pub(crate) fn sent(session: &mut Session, scratch: &mut Scratch, message: Outgoing<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    session.send(&mut out, message, scratch).unwrap();
    out
}

/// Bytes that do not compress, always the same.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
