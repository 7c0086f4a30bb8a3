//! Messages made once for many connections.

use windlass::proto::ws::{
    Closed, Code, Limits, Outgoing, Prepared, Role, Scratch, Session,
    deflate::{Context, Direction, Params, Settings},
};

use crate::common::{client, fed_cut, key, noise, sent, server, text};

fn terms(context: Context, window_bits: u8) -> Params {
    Params { server: Direction { context, window_bits }, client: Direction { context, window_bits: 15 } }
}

fn with_deflate(role: Role, params: Params) -> Session {
    let settings = Settings { threshold_bytes: 0, ..Settings::default() };
    Session::new(role, Limits::default()).with_deflate(params, &settings)
}

#[test]
fn connections_share_the_bytes_of_the_form_that_suits_them() {
    let (mut scratch, words) = (Scratch::default(), "words ".repeat(500));
    let prepared = Prepared::new(Outgoing::Text(&words)).with_deflate(&Settings::default(), &mut scratch);
    assert_eq!(prepared.payload(), words.as_bytes());
    let plain = server().send_prepared(&prepared).unwrap();
    assert_eq!(plain.as_ptr(), server().send_prepared(&prepared).unwrap().as_ptr(), "no copy");
    let fresh = || with_deflate(Role::Server, terms(Context::Fresh, 15));
    let compressed = fresh().send_prepared(&prepared).unwrap();
    assert_eq!(compressed.as_ptr(), fresh().send_prepared(&prepared).unwrap().as_ptr(), "no copy");
    assert!(compressed.len() < plain.len() / 10);
    assert_eq!(prepared.len_bytes(), plain.len() + compressed.len());
    // A window of 512 bytes cannot take what was compressed with 32 KiB.
    let small = with_deflate(Role::Server, terms(Context::Fresh, 9)).send_prepared(&prepared).unwrap();
    assert_eq!(small.as_ptr(), plain.as_ptr());
    for (wire, mut peer) in [
        (&plain, client()),
        (&compressed, with_deflate(Role::Client { key }, terms(Context::Fresh, 15))),
        (&small, with_deflate(Role::Client { key }, terms(Context::Fresh, 9))),
    ] {
        assert_eq!(fed_cut(&mut peer, &mut scratch, wire, &[]), (vec![text(&words)], None));
    }
}

#[test]
fn a_kept_context_stays_true_across_messages_made_for_everybody() {
    let (mut scratch, params) = (Scratch::default(), terms(Context::Kept, 15));
    let (mut server, mut client) =
        (with_deflate(Role::Server, params), with_deflate(Role::Client { key }, params));
    let own: String = (0..300).map(|n| format!("{n} own, ")).collect();
    let shared: String = (0..400).map(|n| format!("{n} shared, ")).collect();
    let prepared = Prepared::new(Outgoing::Text(&shared)).with_deflate(&Settings::default(), &mut scratch);
    for _ in 0..3 {
        let wire = sent(&mut server, &mut scratch, Outgoing::Text(&own));
        assert_eq!(fed_cut(&mut client, &mut scratch, &wire, &[]), (vec![text(&own)], None));
        let wire = server.send_prepared(&prepared).unwrap();
        assert_eq!(wire[0], 0xc1);
        assert_eq!(fed_cut(&mut client, &mut scratch, &wire, &[]), (vec![text(&shared)], None));
    }
}

#[test]
fn what_is_short_or_gets_no_shorter_has_one_form() {
    let mut scratch = Scratch::default();
    let noise = noise(2000);
    for payload in [&noise[..], &[b'a'; 1023]] {
        let prepared =
            Prepared::new(Outgoing::Binary(payload)).with_deflate(&Settings::default(), &mut scratch);
        assert_eq!(prepared.len_bytes(), payload.len() + 4);
    }
}

#[test]
fn a_client_masks_its_copy_and_a_closing_connection_takes_none() {
    let prepared = Prepared::new(Outgoing::Text("hello"));
    let wire = client().send_prepared(&prepared).unwrap();
    assert_eq!(fed_cut(&mut server(), &mut Scratch::default(), &wire, &[]), (vec![text("hello")], None));
    let mut session = server();
    session.close(&mut Vec::new(), Code::NORMAL, "").unwrap();
    assert_eq!(session.send_prepared(&prepared), Err(Closed));
}
