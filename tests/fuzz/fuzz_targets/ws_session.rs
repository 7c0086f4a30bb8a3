//! Receives arbitrary bytes in one piece and in two, with and without compression; events, fault and replies
//! must be equal.
//!
//! The first byte selects the compression, the second the cut. Frames are masked here, so that the fuzzer
//! controls the plain payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windlass::proto::ws::{
    Event, Fault, Limits, Outgoing, Role, Scratch, Session,
    deflate::{Context, Direction, Params, Settings},
    frame::Header,
};

/// A limit that short inputs can reach.
const MESSAGE_BYTES: usize = 512;

#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<String>,
    fault: Option<Fault>,
    replies: Vec<u8>,
}

fn session(role: Role, mode: u8) -> Session {
    let context = if mode & 1 == 0 { Context::Fresh } else { Context::Kept };
    let direction = Direction { context, window_bits: 9 + mode / 4 % 7 };
    let settings = Settings { threshold_bytes: usize::from(mode) / 2, ..Settings::default() };
    let session = Session::new(role, Limits { message_bytes: MESSAGE_BYTES });
    if mode & 2 == 0 {
        session
    } else {
        session.with_deflate(Params { server: direction, client: direction }, &settings)
    }
}

fn run(input: &[u8], cut: usize, mode: u8) -> Outcome {
    let (mut session, mut scratch) = (session(Role::Server, mode), Scratch::default());
    let mut outcome = Outcome { events: Vec::new(), fault: None, replies: Vec::new() };
    for mut piece in [&input[..cut], &input[cut..]] {
        while outcome.fault.is_none() {
            match session.receive(&mut piece, &mut scratch) {
                Ok(Some(event)) => {
                    check(&event, mode, &mut Scratch::default());
                    outcome.events.push(format!("{event:?}"));
                }
                Ok(None) => break,
                Err(fault) => outcome.fault = Some(fault),
            }
        }
        assert!(outcome.fault.is_some() || piece.is_empty());
        assert!(session.buffered_bytes() <= MESSAGE_BYTES + MESSAGE_BYTES / 8 + 64);
    }
    session.reply(&mut outcome.replies);
    let mut replies = &outcome.replies[..];
    while let Some((header, len)) = Header::parse(replies).expect("encoded frames must parse") {
        replies = &replies[len + header.len as usize..];
    }
    outcome
}

/// Sends a received message on to a client session, which must read it back.
fn check(event: &Event<'_>, mode: u8, scratch: &mut Scratch) {
    let (message, len) = match event {
        Event::Text(text) => (Outgoing::Text(text), text.len()),
        Event::Binary(bytes) => (Outgoing::Binary(bytes), bytes.len()),
        _ => return,
    };
    assert!(len <= MESSAGE_BYTES);
    let (mut wire, mut client) = (Vec::new(), session(Role::Client { key: || [0; 4] }, mode));
    session(Role::Server, mode).send(&mut wire, message, scratch).expect("the session is open");
    let mut rest = &wire[..];
    let back = client.receive(&mut rest, scratch).expect("encoded frames must parse");
    assert_eq!(back.as_ref(), Some(event));
}

/// Sets the mask bit of every frame and inserts a zero key after its header.
fn masked(mut input: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    loop {
        match Header::parse(input) {
            Ok(Some((header, len))) if header.key.is_none() => {
                let payload = &input[len..];
                let payload =
                    &payload[..payload.len().min(usize::try_from(header.len).unwrap_or(usize::MAX))];
                Header { key: Some([0; 4]), ..header }.append_to(&mut wire);
                wire.extend_from_slice(payload);
                input = &input[len + payload.len()..];
            }
            _ => {
                wire.extend_from_slice(input);
                return wire;
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [mode, cut, input @ ..] = data else { return };
    let input = if mode & 0x80 == 0 { masked(input) } else { input.to_vec() };
    let cut = usize::from(*cut) % (input.len() + 1);
    assert_eq!(run(&input, input.len(), *mode), run(&input, cut, *mode));
});
