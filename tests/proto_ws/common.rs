//! Builds client frames and feeds them to a WebSocket session, whole or in pieces.

use windlass::proto::ws::{
    Code, Event, Fault, Limits, Outgoing, Role, Scratch, Session,
    frame::{Header, Opcode},
};

/// An owned copy of [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedEvent {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<Code>, String),
}

impl From<Event<'_>> for OwnedEvent {
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

pub(crate) fn text(text: &str) -> OwnedEvent {
    OwnedEvent::Text(text.to_owned())
}

pub(crate) fn binary(bytes: impl AsRef<[u8]>) -> OwnedEvent {
    OwnedEvent::Binary(bytes.as_ref().to_vec())
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

/// Builds a masked client frame that ends its message.
pub(crate) fn frame(opcode: Opcode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    masked_frame(Header::new(opcode, 0), payload)
}

/// Builds a masked client frame that more fragments follow.
pub(crate) fn part(opcode: Opcode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    masked_frame(Header { fin: false, ..Header::new(opcode, 0) }, payload)
}

/// Builds a client frame with this header, masked with [`key`]; the length is set from the payload.
pub(crate) fn masked_frame(header: Header, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut wire = Vec::new();
    Header { len: payload.len() as u64, key: Some(key()), ..header }.append_frame(&mut wire, payload);
    wire
}

/// Feeds the input in pieces that end at `cuts`. Returns the events, and the fault that stopped the session.
pub(crate) fn feed_in_pieces(
    session: &mut Session,
    scratch: &mut Scratch,
    input: &[u8],
    cuts: &[usize],
) -> (Vec<OwnedEvent>, Option<Fault>) {
    let mut events = Vec::new();
    let mut at = 0;
    for &end in cuts.iter().chain([&input.len()]) {
        let mut rest = &input[at..end];
        at = end;
        loop {
            match session.receive(&mut rest, scratch) {
                Ok(Some(event)) => events.push(event.into()),
                Ok(None) => break,
                Err(fault) => return (events, Some(fault)),
            }
        }
        assert!(rest.is_empty(), "the session must consume all input before it waits for more");
    }
    (events, None)
}

/// Feeds the input in one piece.
pub(crate) fn feed(session: &mut Session, input: &[u8]) -> (Vec<OwnedEvent>, Option<Fault>) {
    feed_in_pieces(session, &mut Scratch::default(), input, &[])
}

/// Returns the events of a new server session. Asserts that they are the same for the input in one piece and
/// byte by byte.
pub(crate) fn events(input: &[u8]) -> (Vec<OwnedEvent>, Option<Fault>) {
    let whole = feed(&mut server(), input);
    let bytes: Vec<usize> = (0..input.len()).collect();
    let (mut session, mut scratch) = (server(), Scratch::default());
    assert_eq!(feed_in_pieces(&mut session, &mut scratch, input, &bytes), whole);
    whole
}

/// Returns the frames that the session owes the client, as opcode and payload.
pub(crate) fn replies(session: &mut Session) -> Vec<(Opcode, Vec<u8>)> {
    let mut out = Vec::new();
    session.reply(&mut out);
    frames(&out)
}

/// Parses unmasked server frames into opcode and payload.
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

/// Builds the payload of a Close frame.
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Sends one message and returns the encoded bytes.
pub(crate) fn encode(session: &mut Session, scratch: &mut Scratch, message: Outgoing<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    session.send(&mut out, message, scratch).unwrap();
    out
}

/// Returns incompressible bytes from a fixed seed.
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
