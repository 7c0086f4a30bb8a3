//! Messages prepared once and sent on many connections.

use windlass::proto::ws::{
    Closed, Code, Limits, Outgoing, Prepared, Role, Scratch, Session,
    deflate::{Context, Direction, Params, Settings},
};

use crate::common::{client, encode, feed_in_pieces, key, noise, server, text};

fn terms(context: Context, window_bits: u8) -> Params {
    Params { server: Direction { context, window_bits }, client: Direction { context, window_bits: 15 } }
}

fn with_deflate(role: Role, params: Params) -> Session {
    let settings = Settings { threshold_bytes: 0, ..Settings::default() };
    Session::new(role, Limits::default()).with_deflate(params, &settings)
}

#[test]
fn connections_with_the_same_terms_share_the_prepared_bytes() {
    let (mut scratch, words) = (Scratch::default(), "words ".repeat(500));
    let prepared = Prepared::new(Outgoing::Text(&words)).with_deflate(&Settings::default(), &mut scratch);
    assert_eq!(prepared.payload(), words.as_bytes());
    let plain = server().send_prepared(&prepared).unwrap();
    assert_eq!(
        plain.as_ptr(),
        server().send_prepared(&prepared).unwrap().as_ptr(),
        "prepared bytes must be shared, not copied"
    );
    let fresh = || with_deflate(Role::Server, terms(Context::Fresh, 15));
    let compressed = fresh().send_prepared(&prepared).unwrap();
    assert_eq!(
        compressed.as_ptr(),
        fresh().send_prepared(&prepared).unwrap().as_ptr(),
        "prepared bytes must be shared, not copied"
    );
    assert!(compressed.len() < plain.len() / 10);
    assert_eq!(prepared.len_bytes(), plain.len() + compressed.len());
    // A client with a window of 512 bytes cannot inflate data that was compressed with a 32 KiB window.
    let small = with_deflate(Role::Server, terms(Context::Fresh, 9)).send_prepared(&prepared).unwrap();
    assert_eq!(small.as_ptr(), plain.as_ptr());
    for (wire, mut peer) in [
        (&plain, client()),
        (&compressed, with_deflate(Role::Client { key }, terms(Context::Fresh, 15))),
        (&small, with_deflate(Role::Client { key }, terms(Context::Fresh, 9))),
    ] {
        assert_eq!(feed_in_pieces(&mut peer, &mut scratch, wire, &[]), (vec![text(&words)], None));
    }
}

#[test]
fn prepared_messages_do_not_disturb_a_kept_context() {
    let (mut scratch, params) = (Scratch::default(), terms(Context::Kept, 15));
    let (mut server, mut client) =
        (with_deflate(Role::Server, params), with_deflate(Role::Client { key }, params));
    let own: String = (0..300).map(|n| format!("{n} own, ")).collect();
    let shared: String = (0..400).map(|n| format!("{n} shared, ")).collect();
    let prepared = Prepared::new(Outgoing::Text(&shared)).with_deflate(&Settings::default(), &mut scratch);
    for _ in 0..3 {
        let wire = encode(&mut server, &mut scratch, Outgoing::Text(&own));
        assert_eq!(feed_in_pieces(&mut client, &mut scratch, &wire, &[]), (vec![text(&own)], None));
        let wire = server.send_prepared(&prepared).unwrap();
        assert_eq!(wire[0], 0xc1);
        assert_eq!(feed_in_pieces(&mut client, &mut scratch, &wire, &[]), (vec![text(&shared)], None));
    }
}

#[test]
fn short_and_incompressible_messages_have_no_compressed_form() {
    let mut scratch = Scratch::default();
    let noise = noise(2000);
    for payload in [&noise[..], &[b'a'; 1023]] {
        let prepared =
            Prepared::new(Outgoing::Binary(payload)).with_deflate(&Settings::default(), &mut scratch);
        assert_eq!(prepared.len_bytes(), payload.len() + 4);
    }
}

#[test]
fn a_client_masks_prepared_messages_and_a_closed_session_refuses_them() {
    let prepared = Prepared::new(Outgoing::Text("hello"));
    let wire = client().send_prepared(&prepared).unwrap();
    assert_eq!(
        feed_in_pieces(&mut server(), &mut Scratch::default(), &wire, &[]),
        (vec![text("hello")], None)
    );
    let mut session = server();
    session.close(&mut Vec::new(), Code::NORMAL, "").unwrap();
    assert_eq!(session.send_prepared(&prepared), Err(Closed));
}
