//! The end of streams: with the expiry of the token, and with a disconnect of the subject.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Served, publish, serve_tokens,
    tokens::{ES256, claims, now, with},
};
use crate::{
    common::{connect, eventually, metric},
    topics::client::{Client, Received},
};

/// Returns the token of a subject that may use all topics for so long.
fn token(subject: &str, seconds: u64) -> String {
    let mut claims = with("exp", now() + seconds);
    claims["sub"] = subject.into();
    claims["topics"] = json!({"subscribe": ["*"], "publish": ["*"]});
    ES256.sign(&claims)
}

fn subscribe(served: &Served, token: &str) -> Client {
    Client::subscribe(&served.server, &format!("/topics/t?access_token={token}"), None)
}

fn is_subscribed(served: &Served, subscribers: usize) {
    let topic = "t".parse().unwrap();
    eventually("the clients are subscribed", || {
        served.broker.stats(&topic).map_or(0, |stats| stats.subscribers) == subscribers
    });
}

fn ends(served: &Served, cause: &str) -> f64 {
    metric(&served.server, &format!("windlass_auth_stream_ends_total{{cause=\"{cause}\"}}"))
}

#[test]
fn an_event_stream_ends_with_its_token() {
    let served = serve_tokens();
    let began = Instant::now();
    let mut short = subscribe(&served, &token("alice", 2));
    let mut long = subscribe(&served, &token("alice", 600));
    is_subscribed(&served, 2);
    let mut peer = connect(&served.server);
    assert_eq!(publish(&mut peer, "t", &token("bob", 600)).status, 202);
    assert!(matches!(short.next(), Received::Event { .. }));
    assert_eq!(short.next(), Received::End);
    // The token has whole seconds.
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(ends(&served, "expired"), 1.0);
    is_subscribed(&served, 1);
    assert!(matches!(long.next(), Received::Event { .. }));
    assert_eq!(publish(&mut peer, "t", &token("bob", 600)).status, 202);
    assert!(matches!(long.next(), Received::Event { .. }));
}

#[test]
fn a_stream_that_receives_events_all_the_time_ends_with_its_token_too() {
    let served = serve_tokens();
    let mut stream = subscribe(&served, &token("alice", 2));
    let (mut peer, bob) = (connect(&served.server), token("bob", 600));
    let until = Instant::now() + Duration::from_secs(20);
    while ends(&served, "expired") == 0.0 {
        assert_eq!(publish(&mut peer, "t", &bob).status, 202);
        assert!(Instant::now() < until, "the stream does not end");
    }
    while stream.next() != Received::End {}
}

#[test]
fn a_disconnect_ends_the_streams_of_the_subject_and_refuses_its_tokens() {
    let served = serve_tokens();
    let (alice, bob) = (token("alice", 600), token("bob", 600));
    let mut streams = [subscribe(&served, &alice), subscribe(&served, &alice)];
    let mut other = subscribe(&served, &bob);
    is_subscribed(&served, 3);
    assert_eq!(served.subjects.streams("alice"), 2);
    let mut peer = connect(&served.server);
    assert_eq!(publish(&mut peer, "t", &alice).status, 202, "the token is in the cache");
    streams.iter_mut().for_each(|stream| assert!(matches!(stream.next(), Received::Event { .. })));
    assert_eq!(served.subjects.disconnect("alice").streams, 2);
    streams.iter_mut().for_each(|stream| assert_eq!(stream.next(), Received::End));
    assert_eq!(publish(&mut peer, "t", &alice).status, 401);
    assert_eq!(metric(&served.server, r#"windlass_auth_refused_total{cause="disconnected"}"#), 1.0);
    assert_eq!(ends(&served, "disconnected"), 2.0);
    assert_eq!(publish(&mut peer, "t", &bob).status, 202);
    assert!(matches!(other.next(), Received::Event { .. }));
    assert!(matches!(other.next(), Received::Event { .. }));
    eventually("the streams are forgotten", || served.subjects.streams("alice") == 0);
    let mut later = claims();
    later["iat"] = (now() + 2).into();
    assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign(&later)).status, 202, "issued later");
}

#[cfg(feature = "ws")]
mod sockets {
    use super::*;
    use crate::{
        common::address,
        ws::peer::{CLOSE, TEXT, frame, open_at, read, read_text},
    };
    use windlass::identity::jwt::Verifier;

    fn open(served: &Served, token: &str) -> crate::common::Peer {
        let path = format!("/topics/t?access_token={token}");
        let peer = open_at(address(&served.server), &path, "");
        is_subscribed(served, 1);
        peer
    }

    /// Reads the frames until a Close, and returns its code and reason.
    fn read_close(peer: &mut crate::common::Peer) -> (u16, String) {
        loop {
            let (first, payload) = read(peer);
            if first == CLOSE {
                let code = u16::from_be_bytes(payload[..2].try_into().unwrap());
                return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
            }
        }
    }

    #[test]
    fn a_socket_closes_with_its_token() {
        let served = serve_tokens();
        let mut socket = open(&served, &token("alice", 2));
        let mut peer = connect(&served.server);
        assert_eq!(publish(&mut peer, "t", &token("bob", 600)).status, 202);
        assert!(read_text(&mut socket).contains(r#""data":"x""#));
        assert_eq!(read_close(&mut socket), (1008, "the token has expired".to_owned()));
    }

    #[test]
    fn a_disconnect_closes_the_socket() {
        let served = serve_tokens();
        let mut socket = open(&served, &token("alice", 600));
        served.subjects.disconnect("alice");
        assert_eq!(read_close(&mut socket), (1008, "disconnected by the server".to_owned()));
    }

    #[test]
    fn messages_of_a_socket_are_published_if_the_token_grants_it() {
        let mut access = super::super::with_verifier(
            Verifier::new(super::super::settings(), super::super::keys()).unwrap(),
        );
        access.ws_publish = true;
        let served = super::super::serve(access);
        let mut socket = open(&served, &token("alice", 600));
        socket.send(frame(TEXT, "hello"));
        assert!(read_text(&mut socket).contains(r#""data":"hello""#));
        drop(socket);
        is_subscribed(&served, 0);
        let mut reader = with("topics", json!({"subscribe": ["*"]}));
        reader["sub"] = "carol".into();
        let mut socket = open(&served, &ES256.sign(&reader));
        socket.send(frame(TEXT, "hello"));
        assert_eq!(read_close(&mut socket).0, 1008);
    }
}
