//! Differential tests: Windlass and tungstenite receive the same bytes and must report the same messages and
//! verdict.
//!
//! Known differences:
//!
//! - tungstenite accepts lengths in a longer form than needed. RFC 6455 §5.2 forbids them, so the tests
//!   generate none.
//! - tungstenite judges whole frames; Windlass refuses a frame as soon as its header or text is certainly
//!   invalid. If the input ends within a frame, tungstenite may still wait for more.
//! - For a close code that must not be sent, tungstenite reports a Close and answers with 1002. Windlass
//!   reports a fault and answers with 1002.
//! - tungstenite refuses close code 1014, which the registry has added since; see [`with_code_1014_refused`].

use std::io::{self, Read, Write};

use proptest::{collection::vec, prelude::*, sample::select};
use tungstenite::{
    Error, Message, WebSocket,
    protocol::{CloseFrame, Role as TheirRole, WebSocketConfig},
};
use windlass::proto::ws::{
    Code, Fault, Limits, Outgoing, Role, Scratch, Session,
    frame::{Header, Opcode},
};

use crate::common::{OwnedEvent, close_payload, encode, feed_in_pieces, frame, key, server};

const MESSAGE_BYTES: usize = 300;

/// In-memory stream: reads the prepared input, then reports `WouldBlock`; collects everything written.
struct Wire {
    input: io::Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// End of a run: the session waits for more input or was closed, or it refused the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Waits,
    Refused(Code),
}

fn theirs(role: TheirRole, input: &[u8]) -> (Vec<OwnedEvent>, Verdict) {
    let wire = Wire { input: io::Cursor::new(input.to_vec()), output: Vec::new() };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES))
        .read_buffer_size(4096);
    let mut socket = WebSocket::from_raw_socket(wire, role, Some(config));
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => OwnedEvent::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => OwnedEvent::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => OwnedEvent::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => OwnedEvent::Pong(payload.to_vec()),
            Ok(Message::Close(Some(CloseFrame { reason, .. })))
                if reason.as_str() == "Protocol violation" =>
            {
                return (events, Verdict::Refused(Code::PROTOCOL));
            }
            Ok(Message::Close(close)) => {
                let (code, reason) = close.map_or((None, String::new()), |close| {
                    (Code::new(close.code.into()), close.reason.as_str().to_owned())
                });
                events.push(OwnedEvent::Close(code, reason));
                return (events, Verdict::Waits);
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (events, Verdict::Waits);
            }
            Err(Error::Protocol(_)) => return (events, Verdict::Refused(Code::PROTOCOL)),
            Err(Error::Utf8(_)) => return (events, Verdict::Refused(Code::BAD_DATA)),
            Err(Error::Capacity(_)) => return (events, Verdict::Refused(Code::TOO_BIG)),
            Err(other) => panic!("{other}"),
        });
    }
}

fn ours(role: Role, input: &[u8], cuts: &[usize]) -> (Vec<OwnedEvent>, Verdict) {
    let mut session = Session::new(role, Limits { message_bytes: MESSAGE_BYTES });
    let (events, fault) = feed_in_pieces(&mut session, &mut Scratch::default(), input, cuts);
    with_code_1014_refused(events, fault.map_or(Verdict::Waits, |fault| Verdict::Refused(fault.code())))
}

/// Turns a received Close with code 1014 into a refusal, as tungstenite does.
fn with_code_1014_refused(mut events: Vec<OwnedEvent>, verdict: Verdict) -> (Vec<OwnedEvent>, Verdict) {
    match events.last() {
        Some(OwnedEvent::Close(Some(code), _)) if code.as_u16() == 1014 => {
            events.pop();
            (events, Verdict::Refused(Code::PROTOCOL))
        }
        _ => (events, verdict),
    }
}

/// Generates payloads around the edge cases: empty, ASCII, other text, text cut within a character, arbitrary
/// bytes, close payloads, and long ones.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        "[ -~]{1,40}".prop_map(String::into_bytes),
        "\\PC{1,20}".prop_map(String::into_bytes),
        ("\\PC{1,5}", 1_usize..4).prop_map(|(text, cut)| {
            let mut bytes = text.into_bytes();
            bytes.truncate(bytes.len().saturating_sub(cut));
            bytes
        }),
        vec(any::<u8>(), 1..8),
        (
            select(vec![1000_u16, 1001, 1003, 1005, 1006, 1011, 1014, 1015, 2000, 3000, 4999, 5000]),
            "\\PC{0,5}"
        )
            .prop_map(|(code, reason)| close_payload(code, &reason)),
        (100_usize..400).prop_map(|len| vec![b'x'; len]),
    ]
}

/// Generates a client frame that is valid in most cases.
fn client_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        6 => Just(1_u8), 4 => Just(2), 5 => Just(0), 2 => Just(9), 1 => Just(10), 1 => Just(8), 1 => 0_u8..16
    ];
    let odd = prop_oneof![30 => Just(0_u8), 1 => select(vec![0x40, 0x20, 0x10])];
    (opcode, prop::bool::weighted(0.7), odd, prop::bool::weighted(0.98), payload()).prop_map(
        |(opcode, fin, reserved, masked, payload)| {
            let key = masked.then(key);
            let mut wire = Vec::new();
            Header { key, ..Header::new(Opcode::Binary, payload.len()) }.append_frame(&mut wire, &payload);
            wire[0] = u8::from(fin) << 7 | reserved | opcode;
            wire
        },
    )
}

/// Generates valid fragmented messages with control frames between the fragments; only the text may be
/// invalid UTF-8.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let control = (select(vec![Opcode::Ping, Opcode::Pong]), vec(any::<u8>(), 0..126));
    let message = (any::<bool>(), vec((payload(), proptest::option::of(control)), 1..4));
    vec(message, 0..6).prop_map(|messages| {
        let mut wire = Vec::new();
        for (is_text, fragments) in messages {
            let last = fragments.len() - 1;
            for (index, (payload, control)) in fragments.into_iter().enumerate() {
                if let Some((opcode, payload)) = control {
                    wire.extend(frame(opcode, payload));
                }
                let first = if is_text { Opcode::Text } else { Opcode::Binary };
                let opcode = if index == 0 { first } else { Opcode::Continuation };
                let header = Header { fin: index == last, ..Header::new(opcode, 0) };
                wire.extend(crate::common::masked_frame(header, payload));
            }
        }
        wire
    })
}

fn cuts(len: usize, cuts: &[usize]) -> Vec<usize> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

/// Returns the length of a frame that encodes it in two or eight bytes.
fn extended_length(header: &[u8]) -> Option<u64> {
    match header {
        [_, second, rest @ ..] if second & 0x7f == 126 => {
            rest.first_chunk().map(|len| u64::from(u16::from_be_bytes(*len)))
        }
        [_, second, rest @ ..] if second & 0x7f == 127 => {
            rest.first_chunk().map(|len| u64::from_be_bytes(*len))
        }
        _ => None,
    }
}

/// Returns `true` if a header in this stream encodes its length in a longer form than needed. tungstenite
/// accepts such frames, including control frames.
fn has_long_length(mut input: &[u8]) -> bool {
    loop {
        match Header::parse(input) {
            Err(Fault::LengthNotMinimal) => return true,
            Err(Fault::ControlTooLong) => return extended_length(input).is_some_and(|len| len <= 125),
            Ok(Some((header, len))) if header.len <= (input.len() - len) as u64 => {
                input = &input[len + header.len as usize..];
            }
            _ => return false,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn fragmented_messages_have_the_same_events_and_verdict(
        input in messages(),
        at in vec(0_usize..4000, 0..6),
    ) {
        let outcome = ours(Role::Server, &input, &cuts(input.len(), &at));
        prop_assert_eq!(outcome, theirs(TheirRole::Server, &input));
    }

    #[test]
    fn random_frames_are_accepted_or_refused_by_both(
        frames in vec(client_frame(), 0..8), at in vec(0_usize..4000, 0..6)
    ) {
        let input = frames.concat();
        let (events, verdict) = ours(Role::Server, &input, &cuts(input.len(), &at));
        let (their_events, their_verdict) = theirs(TheirRole::Server, &input);
        prop_assert_eq!(events, their_events);
        prop_assert_eq!(
            verdict == Verdict::Waits,
            their_verdict == Verdict::Waits,
            "ours {:?}, theirs {:?}",
            verdict,
            their_verdict
        );
    }

    #[test]
    fn damaged_streams_have_the_same_events_up_to_the_damage(
        frames in vec(client_frame(), 1..8),
        damage in vec((0_usize..4000, any::<u8>()), 1..4),
        at in vec(0_usize..4000, 0..6),
    ) {
        let mut input = frames.concat();
        for (place, byte) in damage {
            let place = place % input.len();
            input[place] = byte;
        }
        prop_assume!(!has_long_length(&input));
        let (events, verdict) = ours(Role::Server, &input, &cuts(input.len(), &at));
        let (their_events, their_verdict) = theirs(TheirRole::Server, &input);
        prop_assert_eq!(events, their_events);
        // Windlass may refuse a frame whose rest tungstenite still waits for, but not the reverse.
        prop_assert!(
            verdict != Verdict::Waits || their_verdict == Verdict::Waits,
            "only tungstenite refused: {:?}",
            their_verdict
        );
    }

    #[test]
    fn tungstenite_reads_what_windlass_writes(texts in vec("\\PC{0,80}", 0..5), code in 3000_u16..5000) {
        let (mut session, mut scratch) = (server(), Scratch::default());
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for text in &texts {
            wire.extend(encode(&mut session, &mut scratch, Outgoing::Text(text)));
            wire.extend(encode(&mut session, &mut scratch, Outgoing::Binary(text.as_bytes())));
            session.ping(&mut wire, &text.as_bytes()[..text.len().min(125)]).unwrap();
            let payload = text.as_bytes().to_vec();
            let ping = payload[..payload.len().min(125)].to_vec();
            expected.push(OwnedEvent::Text(text.clone()));
            expected.extend([OwnedEvent::Binary(payload), OwnedEvent::Ping(ping)]);
        }
        let code = Code::new(code).unwrap();
        session.close(&mut wire, code, "done").unwrap();
        expected.push(OwnedEvent::Close(Some(code), "done".into()));
        prop_assert_eq!(theirs(TheirRole::Client, &wire), (expected, Verdict::Waits));
    }

    #[test]
    fn windlass_reads_what_tungstenite_writes(texts in vec("\\PC{0,80}", 0..5)) {
        let wire = Wire { input: io::Cursor::default(), output: Vec::new() };
        let mut socket = WebSocket::from_raw_socket(wire, TheirRole::Client, None);
        let mut expected = Vec::new();
        for text in &texts {
            socket.send(Message::text(text.clone())).unwrap();
            socket.send(Message::binary(text.clone().into_bytes())).unwrap();
            socket.send(Message::Ping(text.as_bytes()[..text.len().min(125)].to_vec().into())).unwrap();
            let ping = text.as_bytes()[..text.len().min(125)].to_vec();
            expected.push(OwnedEvent::Text(text.clone()));
            expected.extend([OwnedEvent::Binary(text.clone().into_bytes()), OwnedEvent::Ping(ping)]);
        }
        socket.close(None).unwrap();
        expected.push(OwnedEvent::Close(None, String::new()));
        let wire = std::mem::take(&mut socket.get_mut().output);
        let events = feed_in_pieces(&mut server(), &mut Scratch::default(), &wire, &[]);
        prop_assert_eq!(events, (expected, None));
    }
}
