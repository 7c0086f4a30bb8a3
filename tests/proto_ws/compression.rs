//! permessage-deflate between a server and a client session, and against malicious input.

use windlass::proto::ws::{
    Fault, Limits, Outgoing, Role, Scratch, Session,
    deflate::{Context, Deflater, Direction, Params, Settings},
    frame::{Header, Opcode},
};

use crate::common::{
    OwnedEvent, binary, client, encode, feed_in_pieces, frame, key, masked_frame, noise, replies, text,
};

const ALL: Settings = Settings { server: Context::Kept, client: Context::Kept, threshold_bytes: 0, level: 6 };

fn terms(context: Context, window_bits: u8) -> Params {
    Params { server: Direction { context, window_bits }, client: Direction { context, window_bits } }
}

fn pair(params: Params) -> (Session, Session) {
    let server = Session::new(Role::Server, Limits::default()).with_deflate(params, &ALL);
    (server, Session::new(Role::Client { key }, Limits::default()).with_deflate(params, &ALL))
}

fn feed(session: &mut Session, scratch: &mut Scratch, input: &[u8]) -> (Vec<OwnedEvent>, Option<Fault>) {
    feed_in_pieces(session, scratch, input, &[])
}

/// Builds a client frame with a compressed message.
fn compressed(opcode: Opcode, data: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::new();
    assert!(Deflater::new(6, 15).deflate(data, &mut deflated));
    masked_frame(Header { rsv1: true, ..Header::new(opcode, 0) }, deflated)
}

/// Creates a server session with deflate and this message limit.
fn limited(message_bytes: usize) -> Session {
    Session::new(Role::Server, Limits { message_bytes }).with_deflate(terms(Context::Fresh, 15), &ALL)
}

#[test]
fn messages_pass_both_ways_with_every_context_and_window_on_one_scratch() {
    let mut scratch = Scratch::default();
    let words = "the same words again and again, ".repeat(200);
    for context in [Context::Fresh, Context::Kept] {
        for window_bits in 9..=15 {
            let (mut server, mut client) = pair(terms(context, window_bits));
            for _ in 0..3 {
                let up = encode(&mut client, &mut scratch, Outgoing::Text(&words));
                assert_eq!(feed(&mut server, &mut scratch, &up), (vec![text(&words)], None));
                let down = encode(&mut server, &mut scratch, Outgoing::Binary(words.as_bytes()));
                assert!(down.len() < 400 && down[0] == 0xc2);
                assert_eq!(feed(&mut client, &mut scratch, &down), (vec![binary(&words)], None));
            }
        }
    }
}

#[test]
fn a_kept_context_shortens_a_repeated_message_and_a_fresh_one_does_not() {
    let data = noise(2000);
    for (context, shortens) in [(Context::Kept, true), (Context::Fresh, false)] {
        let (mut server, mut scratch) = (pair(terms(context, 15)).0, Scratch::default());
        let first = encode(&mut server, &mut scratch, Outgoing::Binary(&data)).len();
        let second = encode(&mut server, &mut scratch, Outgoing::Binary(&data)).len();
        assert_eq!(second < first / 10, shortens, "{first} {second}");
    }
}

#[test]
fn short_and_incompressible_messages_are_sent_uncompressed() {
    let settings = Settings { threshold_bytes: 100, ..Settings::default() };
    let mut server =
        Session::new(Role::Server, Limits::default()).with_deflate(terms(Context::Fresh, 15), &settings);
    let mut scratch = Scratch::default();
    assert_eq!(encode(&mut server, &mut scratch, Outgoing::Binary(&[b'a'; 99]))[0], 0x82);
    assert_eq!(encode(&mut server, &mut scratch, Outgoing::Binary(&[b'a'; 100]))[0], 0xc2);
    let noise = noise(200);
    let wire = encode(&mut server, &mut scratch, Outgoing::Binary(&noise));
    assert_eq!((wire[0], wire.len()), (0x82, 204));
}

#[test]
fn a_shared_scratch_leaks_nothing_between_connections() {
    let mut scratch = Scratch::default();
    let secret = "a secret of the first connection, long enough to refer to";
    let (mut first, mut first_client) = pair(terms(Context::Fresh, 15));
    let up = encode(&mut first_client, &mut scratch, Outgoing::Text(secret));
    assert_eq!(feed(&mut first, &mut scratch, &up).0, [text(secret)]);
    // A message that refers to the first one must be refused on the second connection.
    let mut deflater = Deflater::new(6, 15);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    assert!(deflater.deflate(secret.as_bytes(), &mut one) && deflater.deflate(secret.as_bytes(), &mut two));
    assert!(two.len() < one.len());
    let wire = masked_frame(Header { rsv1: true, ..Header::new(Opcode::Text, 0) }, &two);
    let mut second = pair(terms(Context::Fresh, 15)).0;
    assert_eq!(feed(&mut second, &mut scratch, &wire), (vec![], Some(Fault::Deflate)));
    // The second connection's output must not depend on the first connection's data.
    let with = encode(&mut pair(terms(Context::Fresh, 15)).0, &mut scratch, Outgoing::Text(secret));
    let without =
        encode(&mut pair(terms(Context::Fresh, 15)).0, &mut Scratch::default(), Outgoing::Text(secret));
    assert_eq!(with, without);
}

#[test]
fn the_compressed_bit_is_allowed_on_the_first_frame_of_a_message_only() {
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        let wire = masked_frame(Header { rsv1: true, ..Header::new(opcode, 0) }, "");
        assert_eq!(
            feed(&mut limited(100), &mut Scratch::default(), &wire),
            (vec![], Some(Fault::ReservedBits))
        );
    }
    let whole = compressed(Opcode::Text, b"in fragments");
    let payload =
        |wire: &[u8]| wire[6..].iter().zip(key().iter().cycle()).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
    let deflated = payload(&whole);
    let (a, b) = deflated.split_at(5);
    let first = masked_frame(Header { fin: false, rsv1: true, ..Header::new(Opcode::Text, 0) }, a);
    let good = [first.clone(), frame(Opcode::Ping, "plain"), frame(Opcode::Continuation, b)].concat();
    let events = feed(&mut limited(100), &mut Scratch::default(), &good);
    assert_eq!(events, (vec![OwnedEvent::Ping(b"plain".into()), text("in fragments")], None));
    let bad =
        [first, masked_frame(Header { rsv1: true, ..Header::new(Opcode::Continuation, 0) }, b)].concat();
    assert_eq!(feed(&mut limited(100), &mut Scratch::default(), &bad), (vec![], Some(Fault::ReservedBits)));
    let without_deflate = feed(&mut crate::common::server(), &mut Scratch::default(), &whole);
    assert_eq!(without_deflate, (vec![], Some(Fault::ReservedBits)));
}

#[test]
fn plain_and_compressed_messages_may_alternate() {
    let wire =
        [compressed(Opcode::Text, b"one"), frame(Opcode::Text, "two"), compressed(Opcode::Binary, b"")]
            .concat();
    let events = feed(&mut limited(100), &mut Scratch::default(), &wire);
    assert_eq!(events, (vec![text("one"), text("two"), binary("")], None));
}

#[test]
fn the_message_limit_applies_to_the_inflated_size() {
    let fits = compressed(Opcode::Text, &[b'a'; 100_000]);
    assert_eq!(
        feed(&mut limited(100_000), &mut Scratch::default(), &fits),
        (vec![text(&"a".repeat(100_000))], None)
    );
    let (mut session, mut scratch) = (limited(99_999), Scratch::default());
    assert_eq!(feed(&mut session, &mut scratch, &fits), (vec![], Some(Fault::InflatedTooBig)));
    let code = &replies(&mut session)[0].1[..2];
    assert_eq!(code, 1009_u16.to_be_bytes());
    assert!(session.buffered_bytes() == 0 && scratch.free_bytes() <= 256 * 1024);
}

#[test]
fn highly_compressed_json_within_the_limit_is_accepted() {
    let json = r#"{"id":0,"ok":true},"#.repeat(50_000);
    let wire = compressed(Opcode::Text, json.as_bytes());
    assert!(json.len() / wire.len() > 75);
    assert_eq!(feed(&mut limited(1 << 20), &mut Scratch::default(), &wire), (vec![text(&json)], None));
}

#[test]
fn the_largest_message_is_accepted_even_if_deflate_lengthens_it() {
    let noise = noise(100_000);
    let stored: Vec<u8> = noise
        .chunks(500)
        .flat_map(|part| {
            let len = part.len() as u16;
            [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), part].concat()
        })
        .chain([0])
        .collect();
    assert!(stored.len() > noise.len() + 900);
    let wire = masked_frame(Header { rsv1: true, ..Header::new(Opcode::Binary, 0) }, &stored);
    assert_eq!(feed(&mut limited(100_000), &mut Scratch::default(), &wire), (vec![binary(&noise)], None));
    let endless = masked_frame(Header { rsv1: true, ..Header::new(Opcode::Binary, 0) }, vec![0; 112_600]);
    assert_eq!(feed(&mut limited(100_000), &mut Scratch::default(), &endless), (vec![], Some(Fault::TooBig)));
}

#[test]
fn invalid_deflate_data_and_invalid_utf_8_are_refused() {
    let nonsense = masked_frame(Header { rsv1: true, ..Header::new(Opcode::Text, 0) }, [0xff; 10]);
    let (mut session, mut scratch) = (limited(100), Scratch::default());
    assert_eq!(feed(&mut session, &mut scratch, &nonsense), (vec![], Some(Fault::Deflate)));
    assert_eq!(replies(&mut session)[0].1[..2], 1007_u16.to_be_bytes());
    let not_text = compressed(Opcode::Text, b"ab\xff");
    assert_eq!(feed(&mut limited(100), &mut scratch, &not_text), (vec![], Some(Fault::Text)));
    let half = compressed(Opcode::Text, b"ab\xe2\x82");
    assert_eq!(feed(&mut limited(100), &mut scratch, &half), (vec![], Some(Fault::Text)));
    // The inflater context that invalid data left in the scratch still serves the next connection.
    let fine = compressed(Opcode::Text, b"fine");
    assert_eq!(feed(&mut limited(100), &mut scratch, &fine), (vec![text("fine")], None));
}

#[test]
fn a_message_of_empty_final_blocks_inflates_to_nothing() {
    // "03 00" is an empty final block; the message holds half a million of them.
    let finals: Vec<u8> = [0x03, 0x00].repeat(500_000).into_iter().chain([0]).collect();
    let wire = masked_frame(Header { rsv1: true, ..Header::new(Opcode::Binary, 0) }, &finals);
    assert_eq!(feed(&mut limited(1 << 20), &mut Scratch::default(), &wire), (vec![binary("")], None));
}

#[test]
fn a_client_without_the_extension_refuses_compressed_messages() {
    let (mut server, mut scratch) = (pair(terms(Context::Fresh, 15)).0, Scratch::default());
    let wire = encode(&mut server, &mut scratch, Outgoing::Text(&"a".repeat(100)));
    assert_eq!(feed(&mut client(), &mut scratch, &wire), (vec![], Some(Fault::ReservedBits)));
}
