//! Properties of the WebSocket session for arbitrary bytes: splitting the input changes no result, garbage
//! causes no panic and no growth, and encoded messages are read back.

use proptest::{collection::vec, prelude::*, sample::select};
use windlass::proto::ws::{
    Fault, Limits, Mask, Opening, Outgoing, Policy, Role, Scratch, Session, accept,
    deflate::{Context, Direction, Inflater, Params, Settings},
    frame::{Header, Opcode},
};

use crate::common::{OwnedEvent, encode, feed_in_pieces, key, masked_frame};

const LIMIT: usize = 200;

fn params(context: Context) -> Params {
    let direction = Direction { context, window_bits: 15 };
    Params { server: direction, client: direction }
}

fn session(role: Role, context: Context, message_bytes: usize) -> Session {
    let settings = Settings { threshold_bytes: 0, ..Settings::default() };
    Session::new(role, Limits { message_bytes }).with_deflate(params(context), &settings)
}

fn context() -> impl Strategy<Value = Context> {
    select(vec![Context::Fresh, Context::Kept])
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(0_usize..2000, 0..8), Just((0..2000).collect())]
}

fn ends(input: &[u8], cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    ends.sort_unstable();
    ends
}

/// Generates frames whose bits are mostly valid.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![8 => select(vec![0_u8, 1, 2]), 3 => select(vec![8, 9, 10]), 1 => 0_u8..16];
    let high =
        prop_oneof![10 => select(vec![0x80_u8, 0x00]), 4 => Just(0xc0), 1 => select(vec![0x40, 0xa0, 0x90])];
    let payload = prop_oneof![
        "\\PC{0,30}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..20),
        Just(vec![0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        Just(vec![0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        (0_usize..300).prop_map(|len| vec![b'x'; len]),
    ];
    let one = (opcode, high, payload).prop_map(|(opcode, high, payload)| {
        let mut wire = masked_frame(Header::new(Opcode::Text, 0), payload);
        wire[0] = high | opcode;
        wire
    });
    vec(one, 0..8).prop_map(|frames| frames.concat())
}

/// Feeds the input and returns the events, the fault, and the bytes of the session's reply.
fn result(session: &mut Session, input: &[u8], cuts: &[usize]) -> (Vec<OwnedEvent>, Option<Fault>, Vec<u8>) {
    let (events, fault) = feed_in_pieces(session, &mut Scratch::default(), input, cuts);
    let mut out = Vec::new();
    session.reply(&mut out);
    (events, fault, out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn cuts_change_nothing(
        input in prop_oneof![4 => frames(), 1 => vec(any::<u8>(), 0..200)],
        at in cuts(),
        context in context(),
    ) {
        let whole = result(&mut session(Role::Server, context, LIMIT), &input, &[]);
        let pieces = result(&mut session(Role::Server, context, LIMIT), &input, &ends(&input, &at));
        prop_assert_eq!(&whole, &pieces);
        for events in &whole.0 {
            if let OwnedEvent::Text(text) = events {
                prop_assert!(text.len() <= LIMIT);
            }
            if let OwnedEvent::Binary(bytes) = events {
                prop_assert!(bytes.len() <= LIMIT);
            }
        }
        prop_assert!(whole.2.len() <= 2 * 127);
    }

    #[test]
    fn buffered_bytes_are_bounded_by_the_limit(input in frames(), at in cuts()) {
        let (mut session, mut scratch) = (session(Role::Server, Context::Fresh, LIMIT), Scratch::default());
        let mut start = 0;
        for end in ends(&input, &at) {
            let mut rest = &input[start..end];
            while let Ok(Some(_)) = session.receive(&mut rest, &mut scratch) {}
            prop_assert!(session.buffered_bytes() <= LIMIT + LIMIT / 8 + 64);
            start = end;
        }
    }

    #[test]
    fn sent_messages_are_received_unchanged(
        messages in vec((any::<bool>(), "\\PC{0,60}"), 0..8),
        at in cuts(),
        context in context(),
        compressed in any::<bool>(),
    ) {
        let client = Role::Client { key };
        let (mut from, mut to) = match compressed {
            true => (session(client, context, 1000), session(Role::Server, context, 1000)),
            false => (Session::new(client, Limits::default()), Session::new(Role::Server, Limits::default())),
        };
        let (mut wire, mut expected, mut scratch) = (Vec::new(), Vec::new(), Scratch::default());
        for (is_text, text) in &messages {
            let message = if *is_text { Outgoing::Text(text) } else { Outgoing::Binary(text.as_bytes()) };
            wire.extend(encode(&mut from, &mut scratch, message));
            expected.push(match is_text {
                true => OwnedEvent::Text(text.clone()),
                false => OwnedEvent::Binary(text.as_bytes().to_vec()),
            });
        }
        let at = ends(&wire, &at);
        prop_assert_eq!(feed_in_pieces(&mut to, &mut scratch, &wire, &at), (expected, None));
    }

    #[test]
    fn masking_twice_restores_the_bytes_at_any_cut(
        bytes in vec(any::<u8>(), 0..100), key in any::<[u8; 4]>(), at in 0_usize..100
    ) {
        let (first, second) = bytes.split_at(at % (bytes.len() + 1));
        let (mut once, mut mask) = (Vec::new(), Mask::new(key));
        mask.append(&mut once, first);
        mask.append(&mut once, second);
        let naive: Vec<u8> = bytes.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect();
        prop_assert_eq!(&once, &naive);
        Mask::new(key).apply(&mut once);
        prop_assert_eq!(once, bytes);
    }

    #[test]
    fn encoded_headers_are_read_back(
        fin in any::<bool>(), rsv1 in any::<bool>(), key in any::<Option<[u8; 4]>>(),
        len in 0_u64..1 << 63, opcode in 0_usize..3
    ) {
        let opcode = [Opcode::Continuation, Opcode::Text, Opcode::Binary][opcode];
        let header = Header { fin, rsv1, opcode, key, len };
        let mut wire = Vec::new();
        header.append_to(&mut wire);
        prop_assert_eq!(Header::parse(&wire), Ok(Some((header, wire.len()))));
        prop_assert_eq!(Header::parse(&wire[..wire.len() - 1]), Ok(None));
    }

    #[test]
    fn inflating_garbage_stops_at_the_limit(bytes in vec(any::<u8>(), 0..400)) {
        let mut total = 0;
        let _ = Inflater::new().inflate(&bytes, &mut Vec::new(), |piece| {
            total += piece.len();
            if total > LIMIT { Err(Fault::InflatedTooBig) } else { Ok(()) }
        });
        prop_assert!(total <= LIMIT + 16 * 1024);
    }

    #[test]
    fn handshakes_of_any_bytes_do_not_panic(fields in vec((
        select(vec!["upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "origin",
            "sec-websocket-protocol", "sec-websocket-extensions"]),
        prop_oneof![
            vec(any::<u8>(), 0..30),
            "(permessage-deflate|client_max_window_bits|websocket|upgrade|[;,=\"\\\\ 0-9a-z]){0,12}"
                .prop_map(String::into_bytes),
        ],
    ), 0..8)) {
        let opening = Opening {
            method: &http::Method::GET,
            version: http::Version::HTTP_11,
            authority: Some(b"a"),
            protocol: None,
        };
        let policy = Policy { deflate: Some(Settings::default()), ..Policy::default() };
        let always = [
            ("upgrade", &b"websocket"[..]),
            ("connection", b"upgrade"),
            ("sec-websocket-version", b"13"),
            ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let own = fields.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
        let fields = always.iter().map(|(name, value)| (name.as_bytes(), *value)).chain(own);
        let _ = accept(&opening, fields, &policy);
    }
}
