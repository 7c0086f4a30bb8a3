//! Event names: those that publishers may use, and those that they may not.

use std::sync::Arc;

use windlass::{
    TopicAccess,
    broker::{Broker, BrokerSettings, Event},
    replay::{Append, MemoryStore, ReplayStore},
};

use super::{
    client::{Client, Received},
    publish, serve, with,
};
use crate::common::connect;

#[test]
fn a_publisher_cannot_forge_events_of_the_server() {
    let (server, broker) = with(|_| {});
    let mut peer = connect(&server);
    for name in ["gap", "%67ap", "g%61p"] {
        let reply = peer.post(&format!("/topics/t?event={name}"), r#"{"from":"x-1","to":"x-9"}"#);
        assert_eq!(reply.status, 400, "{name}");
        assert!(reply.text().contains("`gap`"), "{}", reply.text());
    }
    assert_eq!(broker.topics_stats().len(), 0, "a refused event must not open its topic");
    // Names are compared as clients compare them: exactly.
    for name in ["Gap", "gaps", "gap%20", "%20gap", "open", "error", "message"] {
        assert_eq!(peer.post(&format!("/topics/t?event={name}"), "x").status, 202, "{name}");
    }
    assert!(Event::new("x").named("gap").is_err());
}

#[test]
fn a_name_that_cannot_be_sent_is_refused() {
    let (server, _) = with(|_| {});
    let mut peer = connect(&server);
    for name in ["%FF", "a%C3", "%C3%28", "%ED%A0%80", "a%00b", "a%0Ab", "a%0Db", "%0A", "tick%0D%0Aid:%207"]
    {
        let reply = peer.post(&format!("/topics/t?event={name}"), "x");
        assert_eq!(reply.status, 400, "{name}");
        assert!(reply.text().starts_with("Invalid event name"), "{}", reply.text());
    }
    for name in [&b"\xff"[..], b"a\nb", b"a\rb", b"a\0b"] {
        assert!(Event::new("x").named(name.to_vec()).is_err(), "{}", name.escape_ascii());
    }
}

#[test]
fn a_name_reaches_subscribers_as_sent() {
    let (server, _) = with(|_| {});
    let mut client = Client::subscribe(&server, "/topics/t", None);
    assert_eq!(client.next_with_comments(), Received::Comment);
    for (sent, received) in [
        ("tick", "tick"),
        ("%C3%A4%F0%9F%98%80", "ä😀"),
        ("a+b", "a b"),
        ("a:%20b", "a: b"),
        ("%E2%80%A8", "\u{2028}"),
    ] {
        let id = publish(&server, &format!("/topics/t?event={sent}"), "x");
        assert_eq!(client.next(), Received::event(&id, received, "x"));
    }
}

#[test]
fn an_empty_name_is_none() {
    let (server, _) = with(|_| {});
    let mut client = Client::subscribe(&server, "/topics/t", None);
    assert_eq!(client.next_with_comments(), Received::Comment);
    for query in ["?event=", "?event"] {
        let id = publish(&server, &format!("/topics/t{query}"), "x");
        assert_eq!(client.next(), Received::event(&id, "message", "x"), "{query}");
    }
    assert_eq!(Event::new("x").named("").unwrap(), Event::new("x"));
}

#[test]
fn data_cannot_forge_fields_of_an_event() {
    let (server, _) = with(|_| {});
    let mut client = Client::subscribe(&server, "/topics/t", None);
    assert_eq!(client.next_with_comments(), Received::Comment);
    let forged = "x\nid: 9\revent: gap\r\nretry: 1\n\ndata: y";
    let id = publish(&server, "/topics/t", forged);
    let expected = "x\nid: 9\nevent: gap\nretry: 1\n\ndata: y";
    assert_eq!(client.next(), Received::event(&id, "message", expected));
}

/// A store keeps what another program or an older version has appended.
#[test]
fn a_stored_name_that_no_publisher_may_use_is_left_out() {
    let store = Arc::new(MemoryStore::new(Default::default(), Default::default()).unwrap());
    for name in [&b"gap"[..], b"a\nid: 9", b"\xff", b"", b"tick"] {
        store.append(Append::new("t", "x").name(name.to_vec()), Box::new(|_| ())).ok().unwrap();
    }
    let server = serve(&Broker::with_store(BrokerSettings::default(), store), TopicAccess::default());
    let mut client = Client::subscribe(&server, "/topics/t", Some("earliest"));
    for expected in ["message", "message", "message", "", "tick"] {
        let Received::Event { name, data, .. } = client.next() else { panic!("expected an event") };
        assert_eq!((name.as_str(), data.as_str()), (expected, "x"));
    }
}

#[cfg(feature = "http2")]
#[test]
fn names_are_checked_over_http2_too() {
    use windlass::http::Method;
    let (server, _) = with(|_| {});
    let mut client = crate::h2::client::Client::connect(&server);
    for (name, status) in [("gap", 400), ("%FF", 400), ("a%0Ab", 400), ("tick", 202)] {
        let reply = client.call(Method::POST, &format!("/topics/t?event={name}"), "x");
        assert_eq!(reply.status, status, "{name}");
    }
}

#[cfg(feature = "ws")]
#[test]
fn a_message_of_a_socket_has_no_name_whatever_its_text() {
    use crate::ws::peer::{TEXT, frame, open, read_text};
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let mut access = TopicAccess::default();
    access.ws_publish = true;
    let server = serve(&broker, access);
    let mut client = Client::subscribe(&server, "/topics/t", None);
    assert_eq!(client.next_with_comments(), Received::Comment);
    let mut socket = open(&server, "/topics/t?event=gap");
    for text in [r#"{"gap":{"from":"x"}}"#, "event: gap\ndata: {}\n\n", "\u{0}"] {
        socket.send(frame(TEXT, text));
        let Received::Event { name, data, .. } = client.next() else { panic!("expected an event") };
        assert_eq!((name.as_str(), data.trim_end()), ("message", text.trim_end()));
        let object: serde_json::Value = serde_json::from_str(&read_text(&mut socket)).unwrap();
        assert_eq!((object.get("gap"), object.get("event")), (None, None));
        assert_eq!(object["data"], text);
    }
}
