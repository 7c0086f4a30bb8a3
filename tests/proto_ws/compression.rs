//! permessage-deflate between two sessions, and against a peer that lies.

use windlass::proto::ws::{
    Fault, Limits, Outgoing, Role, Scratch, Session,
    deflate::{Context, Deflater, Direction, Params, Settings},
    frame::{Header, Opcode},
};

use crate::common::{Said, binary, built, client, fed_cut, frame, key, noise, replies, sent, text};

const ALL: Settings = Settings { server: Context::Kept, client: Context::Kept, threshold_bytes: 0, level: 6 };

fn terms(context: Context, window_bits: u8) -> Params {
    Params { server: Direction { context, window_bits }, client: Direction { context, window_bits } }
}

fn pair(params: Params) -> (Session, Session) {
    let server = Session::new(Role::Server, Limits::default()).with_deflate(params, &ALL);
    (server, Session::new(Role::Client { key }, Limits::default()).with_deflate(params, &ALL))
}

fn fed(session: &mut Session, scratch: &mut Scratch, input: &[u8]) -> (Vec<Said>, Option<Fault>) {
    fed_cut(session, scratch, input, &[])
}

/// A client's frame of a compressed message.
fn compressed(opcode: Opcode, data: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::new();
    assert!(Deflater::new(6, 15).message(data, &mut deflated));
    built(Header { rsv1: true, ..Header::new(opcode, 0) }, deflated)
}

/// A server with a small limit.
fn limited(message_bytes: usize) -> Session {
    Session::new(Role::Server, Limits { message_bytes }).with_deflate(terms(Context::Fresh, 15), &ALL)
}

#[test]
fn messages_go_both_ways_with_every_context_and_window_on_one_scratch() {
    let mut scratch = Scratch::default();
    let words = "the same words again and again, ".repeat(200);
    for context in [Context::Fresh, Context::Kept] {
        for window_bits in 9..=15 {
            let (mut server, mut client) = pair(terms(context, window_bits));
            for _ in 0..3 {
                let up = sent(&mut client, &mut scratch, Outgoing::Text(&words));
                assert_eq!(fed(&mut server, &mut scratch, &up), (vec![text(&words)], None));
                let down = sent(&mut server, &mut scratch, Outgoing::Binary(words.as_bytes()));
                assert!(down.len() < 400 && down[0] == 0xc2);
                assert_eq!(fed(&mut client, &mut scratch, &down), (vec![binary(&words)], None));
            }
        }
    }
}

#[test]
fn a_kept_context_shortens_what_was_said_before_and_a_fresh_one_does_not() {
    let data = noise(2000);
    for (context, shortens) in [(Context::Kept, true), (Context::Fresh, false)] {
        let (mut server, mut scratch) = (pair(terms(context, 15)).0, Scratch::default());
        let first = sent(&mut server, &mut scratch, Outgoing::Binary(&data)).len();
        let second = sent(&mut server, &mut scratch, Outgoing::Binary(&data)).len();
        assert_eq!(second < first / 10, shortens, "{first} {second}");
    }
}

#[test]
fn short_messages_and_those_that_get_no_shorter_go_as_they_are() {
    let settings = Settings { threshold_bytes: 100, ..Settings::default() };
    let mut server =
        Session::new(Role::Server, Limits::default()).with_deflate(terms(Context::Fresh, 15), &settings);
    let mut scratch = Scratch::default();
    assert_eq!(sent(&mut server, &mut scratch, Outgoing::Binary(&[b'a'; 99]))[0], 0x82);
    assert_eq!(sent(&mut server, &mut scratch, Outgoing::Binary(&[b'a'; 100]))[0], 0xc2);
    let noise = noise(200);
    let wire = sent(&mut server, &mut scratch, Outgoing::Binary(&noise));
    assert_eq!((wire[0], wire.len()), (0x82, 204));
}

#[test]
fn one_connection_never_reads_or_reaches_what_another_sent() {
    let mut scratch = Scratch::default();
    let secret = "a secret of the first connection, long enough to refer to";
    let (mut first, mut first_client) = pair(terms(Context::Fresh, 15));
    let up = sent(&mut first_client, &mut scratch, Outgoing::Text(secret));
    assert_eq!(fed(&mut first, &mut scratch, &up).0, [text(secret)]);
    // What refers to the first message must be refused on the second connection.
    let mut deflater = Deflater::new(6, 15);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    assert!(deflater.message(secret.as_bytes(), &mut one) && deflater.message(secret.as_bytes(), &mut two));
    assert!(two.len() < one.len());
    let wire = built(Header { rsv1: true, ..Header::new(Opcode::Text, 0) }, &two);
    let mut second = pair(terms(Context::Fresh, 15)).0;
    assert_eq!(fed(&mut second, &mut scratch, &wire), (vec![], Some(Fault::Deflate)));
    // And what the second is sent must say nothing about it.
    let with = sent(&mut pair(terms(Context::Fresh, 15)).0, &mut scratch, Outgoing::Text(secret));
    let without =
        sent(&mut pair(terms(Context::Fresh, 15)).0, &mut Scratch::default(), Outgoing::Text(secret));
    assert_eq!(with, without);
}

#[test]
fn the_first_bit_stands_on_first_frames_of_messages_only() {
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        let wire = built(Header { rsv1: true, ..Header::new(opcode, 0) }, "");
        assert_eq!(
            fed(&mut limited(100), &mut Scratch::default(), &wire),
            (vec![], Some(Fault::ReservedBits))
        );
    }
    let whole = compressed(Opcode::Text, b"in fragments");
    let payload =
        |wire: &[u8]| wire[6..].iter().zip(key().iter().cycle()).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
    let deflated = payload(&whole);
    let (a, b) = deflated.split_at(5);
    let first = built(Header { fin: false, rsv1: true, ..Header::new(Opcode::Text, 0) }, a);
    let good = [first.clone(), frame(Opcode::Ping, "plain"), frame(Opcode::Continuation, b)].concat();
    let said = fed(&mut limited(100), &mut Scratch::default(), &good);
    assert_eq!(said, (vec![Said::Ping(b"plain".into()), text("in fragments")], None));
    let bad = [first, built(Header { rsv1: true, ..Header::new(Opcode::Continuation, 0) }, b)].concat();
    assert_eq!(fed(&mut limited(100), &mut Scratch::default(), &bad), (vec![], Some(Fault::ReservedBits)));
    let nobody_agreed = fed(&mut crate::common::server(), &mut Scratch::default(), &whole);
    assert_eq!(nobody_agreed, (vec![], Some(Fault::ReservedBits)));
}

#[test]
fn plain_messages_are_fine_among_compressed_ones() {
    let wire =
        [compressed(Opcode::Text, b"one"), frame(Opcode::Text, "two"), compressed(Opcode::Binary, b"")]
            .concat();
    let said = fed(&mut limited(100), &mut Scratch::default(), &wire);
    assert_eq!(said, (vec![text("one"), text("two"), binary("")], None));
}

#[test]
fn the_size_after_inflation_is_what_counts() {
    let fits = compressed(Opcode::Text, &[b'a'; 100_000]);
    assert_eq!(
        fed(&mut limited(100_000), &mut Scratch::default(), &fits),
        (vec![text(&"a".repeat(100_000))], None)
    );
    let (mut session, mut scratch) = (limited(99_999), Scratch::default());
    assert_eq!(fed(&mut session, &mut scratch, &fits), (vec![], Some(Fault::InflatedTooBig)));
    let code = &replies(&mut session)[0].1[..2];
    assert_eq!(code, 1009_u16.to_be_bytes());
    assert!(session.held_bytes() == 0 && scratch.spare_bytes() <= 256 * 1024);
}

#[test]
fn honest_json_of_any_ratio_is_taken() {
    let json = r#"{"id":0,"ok":true},"#.repeat(50_000);
    let wire = compressed(Opcode::Text, json.as_bytes());
    assert!(json.len() / wire.len() > 75);
    assert_eq!(fed(&mut limited(1 << 20), &mut Scratch::default(), &wire), (vec![text(&json)], None));
}

#[test]
fn incompressible_messages_of_the_largest_size_are_taken_though_deflate_lengthens_them() {
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
    let wire = built(Header { rsv1: true, ..Header::new(Opcode::Binary, 0) }, &stored);
    assert_eq!(fed(&mut limited(100_000), &mut Scratch::default(), &wire), (vec![binary(&noise)], None));
    let endless = built(Header { rsv1: true, ..Header::new(Opcode::Binary, 0) }, vec![0; 112_600]);
    assert_eq!(fed(&mut limited(100_000), &mut Scratch::default(), &endless), (vec![], Some(Fault::TooBig)));
}

#[test]
fn compressed_nonsense_and_text_that_is_not_utf_8_are_refused() {
    let nonsense = built(Header { rsv1: true, ..Header::new(Opcode::Text, 0) }, [0xff; 10]);
    let (mut session, mut scratch) = (limited(100), Scratch::default());
    assert_eq!(fed(&mut session, &mut scratch, &nonsense), (vec![], Some(Fault::Deflate)));
    assert_eq!(replies(&mut session)[0].1[..2], 1007_u16.to_be_bytes());
    let not_text = compressed(Opcode::Text, b"ab\xff");
    assert_eq!(fed(&mut limited(100), &mut scratch, &not_text), (vec![], Some(Fault::Text)));
    let half = compressed(Opcode::Text, b"ab\xe2\x82");
    assert_eq!(fed(&mut limited(100), &mut scratch, &half), (vec![], Some(Fault::Text)));
    // The context that nonsense left behind serves the next connection.
    let fine = compressed(Opcode::Text, b"fine");
    assert_eq!(fed(&mut limited(100), &mut scratch, &fine), (vec![text("fine")], None));
}

#[test]
fn final_blocks_cost_no_more_than_their_bytes() {
    // "03 00" is a final block with nothing in it: half a million of them in one message.
    let finals: Vec<u8> = [0x03, 0x00].repeat(500_000).into_iter().chain([0]).collect();
    let wire = built(Header { rsv1: true, ..Header::new(Opcode::Binary, 0) }, &finals);
    assert_eq!(fed(&mut limited(1 << 20), &mut Scratch::default(), &wire), (vec![binary("")], None));
}

#[test]
fn a_client_without_the_extension_refuses_compressed_messages() {
    let (mut server, mut scratch) = (pair(terms(Context::Fresh, 15)).0, Scratch::default());
    let wire = sent(&mut server, &mut scratch, Outgoing::Text(&"a".repeat(100)));
    assert_eq!(fed(&mut client(), &mut scratch, &wire), (vec![], Some(Fault::ReservedBits)));
}
