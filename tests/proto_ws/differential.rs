//! The same bytes to Windlass and to tungstenite: the same messages, the same verdict.
//!
//! Where the two differ on purpose:
//!
//! - tungstenite takes lengths that are longer than they need (RFC 6455 §5.2 forbids them), so none are made here.
//! - It judges whole frames; Windlass refuses a frame as soon as its header or its text can only be wrong. Where the
//!   bytes end within a frame, tungstenite may still wait for more.
//! - A close code that must not be sent is for tungstenite a Close that it answers with 1002; for Windlass a fault that
//!   is answered with 1002.
//! - It refuses close code 1014, which the registry has gained since; see [`without_new_codes`].

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

use crate::common::{Said, close_payload, fed_cut, frame, key, sent, server};

const MESSAGE_BYTES: usize = 300;

/// Bytes that came, and where what is written goes.
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

/// How it ended: it waits for more, it was closed, or it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Waits,
    Refused(Code),
}

fn theirs(role: TheirRole, input: &[u8]) -> (Vec<Said>, Verdict) {
    let wire = Wire { input: io::Cursor::new(input.to_vec()), output: Vec::new() };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES))
        .read_buffer_size(4096);
    let mut socket = WebSocket::from_raw_socket(wire, role, Some(config));
    let mut said = Vec::new();
    loop {
        said.push(match socket.read() {
            Ok(Message::Text(text)) => Said::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Said::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Said::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Said::Pong(payload.to_vec()),
            Ok(Message::Close(Some(CloseFrame { reason, .. })))
                if reason.as_str() == "Protocol violation" =>
            {
                return (said, Verdict::Refused(Code::PROTOCOL));
            }
            Ok(Message::Close(close)) => {
                let (code, reason) = close.map_or((None, String::new()), |close| {
                    (Code::new(close.code.into()), close.reason.as_str().to_owned())
                });
                said.push(Said::Close(code, reason));
                return (said, Verdict::Waits);
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (said, Verdict::Waits);
            }
            Err(Error::Protocol(_)) => return (said, Verdict::Refused(Code::PROTOCOL)),
            Err(Error::Utf8(_)) => return (said, Verdict::Refused(Code::BAD_DATA)),
            Err(Error::Capacity(_)) => return (said, Verdict::Refused(Code::TOO_BIG)),
            Err(other) => panic!("{other}"),
        });
    }
}

fn ours(role: Role, input: &[u8], cuts: &[usize]) -> (Vec<Said>, Verdict) {
    let mut session = Session::new(role, Limits { message_bytes: MESSAGE_BYTES });
    let (said, fault) = fed_cut(&mut session, &mut Scratch::default(), input, cuts);
    without_new_codes(said, fault.map_or(Verdict::Waits, |fault| Verdict::Refused(fault.code())))
}

/// Judges a Close with code 1014 as tungstenite does.
fn without_new_codes(mut said: Vec<Said>, verdict: Verdict) -> (Vec<Said>, Verdict) {
    match said.last() {
        Some(Said::Close(Some(code), _)) if code.as_u16() == 1014 => {
            said.pop();
            (said, Verdict::Refused(Code::PROTOCOL))
        }
        _ => (said, verdict),
    }
}

/// Payloads near every border: none, ASCII, text beyond it, text cut within a character, no text, close payloads.
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

/// A frame of a client, mostly right.
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

/// Frames that make messages, with control frames between their fragments: nothing is wrong but perhaps the text.
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
                wire.extend(crate::common::built(header, payload));
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

/// Says whether a header of this stream has a length longer than it needs, which tungstenite takes.
fn has_long_length(mut input: &[u8]) -> bool {
    loop {
        match Header::parse(input) {
            Err(Fault::LengthNotMinimal) => return true,
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
    fn messages_in_fragments_are_judged_alike_to_the_code(input in messages(), at in vec(0_usize..4000, 0..6)) {
        prop_assert_eq!(ours(Role::Server, &input, &cuts(input.len(), &at)), theirs(TheirRole::Server, &input));
    }

    #[test]
    fn frames_at_random_are_taken_or_refused_alike(frames in vec(client_frame(), 0..8), at in vec(0_usize..4000, 0..6)) {
        let input = frames.concat();
        let (said, verdict) = ours(Role::Server, &input, &cuts(input.len(), &at));
        let (their_said, their_verdict) = theirs(TheirRole::Server, &input);
        prop_assert_eq!(said, their_said);
        prop_assert_eq!(verdict == Verdict::Waits, their_verdict == Verdict::Waits, "{:?} {:?}", verdict, their_verdict);
    }

    #[test]
    fn damaged_streams_say_the_same_up_to_the_damage(
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
        let (said, verdict) = ours(Role::Server, &input, &cuts(input.len(), &at));
        let (their_said, their_verdict) = theirs(TheirRole::Server, &input);
        prop_assert_eq!(said, their_said);
        // Windlass may refuse what tungstenite still waits for the rest of, never the other way around.
        prop_assert!(verdict != Verdict::Waits || their_verdict == Verdict::Waits, "{:?} is not refused", their_verdict);
    }

    #[test]
    fn what_we_write_tungstenite_reads(texts in vec("\\PC{0,80}", 0..5), code in 3000_u16..5000) {
        let (mut session, mut scratch) = (server(), Scratch::default());
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for text in &texts {
            wire.extend(sent(&mut session, &mut scratch, Outgoing::Text(text)));
            wire.extend(sent(&mut session, &mut scratch, Outgoing::Binary(text.as_bytes())));
            session.ping(&mut wire, &text.as_bytes()[..text.len().min(125)]).unwrap();
            let payload = text.as_bytes().to_vec();
            let ping = payload[..payload.len().min(125)].to_vec();
            expected.extend([Said::Text(text.clone()), Said::Binary(payload), Said::Ping(ping)]);
        }
        let code = Code::new(code).unwrap();
        session.close(&mut wire, code, "done").unwrap();
        expected.push(Said::Close(Some(code), "done".into()));
        prop_assert_eq!(theirs(TheirRole::Client, &wire), (expected, Verdict::Waits));
    }

    #[test]
    fn what_tungstenite_writes_we_read(texts in vec("\\PC{0,80}", 0..5)) {
        let wire = Wire { input: io::Cursor::default(), output: Vec::new() };
        let mut socket = WebSocket::from_raw_socket(wire, TheirRole::Client, None);
        let mut expected = Vec::new();
        for text in &texts {
            socket.send(Message::text(text.clone())).unwrap();
            socket.send(Message::binary(text.clone().into_bytes())).unwrap();
            socket.send(Message::Ping(text.as_bytes()[..text.len().min(125)].to_vec().into())).unwrap();
            let ping = text.as_bytes()[..text.len().min(125)].to_vec();
            expected.extend([Said::Text(text.clone()), Said::Binary(text.clone().into_bytes()), Said::Ping(ping)]);
        }
        socket.close(None).unwrap();
        expected.push(Said::Close(None, String::new()));
        let wire = std::mem::take(&mut socket.get_mut().output);
        let said = fed_cut(&mut server(), &mut Scratch::default(), &wire, &[]);
        prop_assert_eq!(said, (expected, None));
    }
}
