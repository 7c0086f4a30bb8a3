//! Topics over WebSockets: each event is a text message, and a permitted client may publish by sending
//! messages.

use windlass::{
    Origins, TopicAccess,
    actors::fanout::Overflow,
    broker::{Broker, BrokerSettings, Event},
};

use super::{publish, seq, serve, slow, with};
use crate::{
    common::{Peer, address, connect, eventually},
    ws::peer::{
        CLOSE, TEXT, assert_opened, close, frame, open, open_at, opening, read, read_close, read_text,
    },
};

fn event(id: &str, data: &str) -> String {
    format!(r#"{{"id":"{id}","data":"{data}"}}"#)
}

#[test]
fn each_event_is_a_text_message_with_its_id() {
    let (server, broker) = with(|_| {});
    let mut socket = open(&server, "/topics/t");
    let topic = "t".parse().unwrap();
    eventually("the socket is subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 1)
    });
    let one = publish(&server, "/topics/t", "one");
    assert_eq!(read_text(&mut socket), event(&one, "one"));
    let two = publish(&server, "/topics/t?event=tick", "a\"b\nc");
    assert_eq!(read_text(&mut socket), format!(r#"{{"id":"{two}","event":"tick","data":"a\"b\nc"}}"#));
    socket.send(close(1000));
    assert_eq!(read_close(&mut socket), 1000);
    eventually("the subscription has ended", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 0)
    });
}

#[test]
fn missed_events_come_first_and_expired_ones_are_a_gap() {
    let (server, _) = with(|settings| settings.retention.events = 5);
    let ids: Vec<_> = (0..9).map(|n| publish(&server, "/topics/t", n.to_string())).collect();
    let mut socket = open(&server, &format!("/topics/t?last_event_id={}", ids[5]));
    for (n, id) in ids.iter().enumerate().skip(6) {
        assert_eq!(read_text(&mut socket), event(id, &n.to_string()));
    }
    let live = publish(&server, "/topics/t", "live");
    assert_eq!(read_text(&mut socket), event(&live, "live"));
    let mut late = open(&server, &format!("/topics/t?last_event_id={}", ids[1]));
    let (from, to) = (&ids[2], &ids[4]);
    assert_eq!(read_text(&mut late), format!(r#"{{"id":"{to}","gap":{{"from":"{from}","to":"{to}"}}}}"#));
    assert_eq!(read_text(&mut late), event(&ids[5], "5"));
    let mut lost = open(&server, "/topics/t?last_event_id=nonsense");
    assert_eq!(read_text(&mut lost), r#"{"id":null,"gap":{"reset":"unknown_id"}}"#);
}

#[test]
fn messages_of_a_permitted_client_are_published() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let mut access = TopicAccess::default();
    access.ws_publish = true;
    access.publish_token = Some("secret".to_owned());
    let server = serve(&broker, access);
    let mut publisher = open(&server, "/topics/t?publish_token=secret");
    let mut subscriber = open(&server, "/topics/t");
    publisher.send(frame(TEXT, "hello"));
    let received = read_text(&mut publisher);
    assert!(received.ends_with(r#""data":"hello"}"#), "{received}");
    assert_eq!(read_text(&mut subscriber), received);
    let by_header = "Authorization: Bearer secret\r\n";
    open_at(address(&server), "/topics/t", by_header).send(frame(TEXT, "too"));
    assert!(read_text(&mut subscriber).contains("too"));
    // A client without a token may only receive.
    subscriber.send(frame(TEXT, "me too"));
    assert_eq!(read_close(&mut subscriber), 1008);
    publisher.send(frame(crate::ws::peer::BINARY, [0xff]));
    loop {
        match read(&mut publisher) {
            (CLOSE, payload) => break assert_eq!(payload[..2], 1003_u16.to_be_bytes()),
            (first, _) => assert_eq!(first, TEXT),
        }
    }
}

#[test]
fn publishing_over_a_socket_is_off_by_default() {
    let (server, broker) = with(|_| {});
    let mut socket = open(&server, "/topics/t");
    socket.send(frame(TEXT, "hello"));
    assert_eq!(read_close(&mut socket), 1008);
    assert_eq!(broker.stats(&"t".parse().unwrap()).unwrap().published, 0);
}

#[test]
fn tokens_topic_names_and_origins_are_checked_as_for_event_streams() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let mut access = TopicAccess::default();
    access.subscribe_token = Some("s-secret".to_owned());
    access.origins = Origins::SameOr(vec!["https://app.example".to_owned()]);
    let server = serve(&broker, access);
    let status_of = |path: &str, more: &str| {
        let mut peer = connect(&server);
        peer.send(opening(path, more));
        peer.reply().status
    };
    assert_eq!(status_of("/topics/t", ""), 401);
    assert_eq!(status_of("/topics/a//b?access_token=s-secret", ""), 400);
    assert_eq!(status_of("/topics/t?access_token=s-secret", "Origin: https://evil.example\r\n"), 403);
    for origin in ["https://app.example", "http://test"] {
        assert_eq!(
            status_of("/topics/t?access_token=s-secret", &format!("Origin: {origin}\r\n")),
            101,
            "{origin}"
        );
    }
}

#[test]
fn a_page_that_asks_for_a_subprotocol_gets_one() {
    let (server, _) = with(|_| {});
    for (offers, selected) in [
        ("", None),
        ("Sec-WebSocket-Protocol: feed.v2, feed.v1\r\n", Some("feed.v2")),
        ("Sec-WebSocket-Protocol: feed.v1\r\nSec-WebSocket-Protocol: feed.v2\r\n", Some("feed.v1")),
        ("Sec-WebSocket-Protocol: no token, ,feed\r\n", Some("feed")),
        ("Sec-WebSocket-Protocol: \r\n", None),
    ] {
        let mut peer = connect(&server);
        peer.send(opening("/topics/t", offers));
        let reply = peer.reply();
        assert_opened(&reply);
        assert_eq!(reply.header("sec-websocket-protocol"), selected, "{offers}");
    }
    let mut access = TopicAccess::default();
    access.ws_subprotocols = vec!["feed.v2".to_owned(), "feed.v1".to_owned()];
    let server = serve(&Broker::new(BrokerSettings::default()).unwrap(), access);
    for (offer, selected) in [("feed.v1, feed.v2", Some("feed.v2")), ("feed.v3", None)] {
        let mut peer = connect(&server);
        peer.send(opening("/topics/t", &format!("Sec-WebSocket-Protocol: {offer}\r\n")));
        let reply = peer.reply();
        assert_opened(&reply);
        assert_eq!(reply.header("sec-websocket-protocol"), selected, "{offer}");
    }
}

/// Opens a socket whose client does not read.
fn open_without_reading(server: &windlass::Server, broker: &Broker) -> Peer {
    let mut peer = connect(server);
    peer.set_receive_buffer(8 * 1024);
    peer.send(opening("/topics/t", ""));
    assert_opened(&peer.reply());
    let topic = "t".parse().unwrap();
    eventually("the socket is subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 1)
    });
    peer
}

#[test]
fn a_slow_socket_follows_the_topics_policy_and_receives_gaps() {
    let (server, broker, topic) = slow::serve(Overflow::Drop);
    let mut socket = open_without_reading(&server, &broker);
    let published = slow::publish_beyond(&broker, &topic, |stats| stats.dropped > 100);
    let stats = broker.stats(&topic).unwrap();
    assert_eq!(stats.delivered + stats.dropped, published);
    // The client reads again. Each number must occur once, as an event or in a gap.
    let (mut received, mut missed, mut last, mut published_last) = (0, 0, 0, false);
    loop {
        let text = read_text(&mut socket);
        let numbers: Vec<u64> =
            text.split('"').filter(|part| part.len() < 40 && part.contains('-')).map(seq).collect();
        if text.contains(r#""gap":{"from":"#) {
            assert_eq!(numbers, [numbers[0], last + 1, numbers[0]], "{text}");
            missed += numbers[0] - last;
        } else {
            assert_eq!(numbers[0], last + 1, "{text}");
            received += 1;
        }
        last = numbers[0];
        if text.contains("after") {
            break;
        }
        if received == stats.delivered && !published_last {
            published_last = true;
            pollster::block_on(broker.publish(&topic, Event::new("after"))).unwrap();
        }
    }
    let now = broker.stats(&topic).unwrap();
    assert_eq!(
        (received, missed),
        (now.delivered, now.dropped),
        "received and missed must match delivered and dropped"
    );

    let (server, broker, topic) = slow::serve(Overflow::Close);
    let mut socket = open_without_reading(&server, &broker);
    slow::publish_beyond(&broker, &topic, |stats| stats.closed > 0);
    let code = loop {
        if let (CLOSE, payload) = read(&mut socket) {
            break u16::from_be_bytes(payload[..2].try_into().unwrap());
        }
    };
    assert_eq!((code, broker.stats(&topic).unwrap().subscribers), (1013, 0));
}
