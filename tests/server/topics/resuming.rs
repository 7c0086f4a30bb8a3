//! The point at which a client resumes: its last event id, in the header or in the query.

use windlass::{
    Request, Router, Server,
    broker::{Broker, BrokerSettings, Event},
    get, replay,
    sse::{Client as Handle, Replay, Settings, respond},
    topic_routes,
};

use super::{
    client::{Client, Received},
    publish, with,
};
use crate::common::{builder, connect};

/// Spellings of the query key that clients use.
const KEYS: [&str; 8] = [
    "last_event_id",
    "lastEventId",
    "lastEventID",
    "last-event-id",
    "Last-Event-ID",
    "LastEventId",
    "LAST_EVENT_ID",
    "last%5Fevent%2Did",
];

fn reset() -> Received {
    Received::event("", "gap", r#"{"reset":"unknown_id"}"#)
}

/// Subscribes with these request fields and returns the first event.
fn first_event(server: &Server, path: &str, fields: impl AsRef<[u8]>) -> Received {
    let mut peer = connect(server);
    peer.send([format!("GET {path} HTTP/1.1\r\nHost: t\r\n").as_bytes(), fields.as_ref(), b"\r\n"].concat());
    peer.until(b"\r\n\r\n");
    Client::reading(peer).next()
}

#[test]
fn every_spelling_of_the_query_key_resumes() {
    let (server, _) = with(|_| {});
    let one = publish(&server, "/topics/t", "one");
    let two = publish(&server, "/topics/t", "two");
    for key in KEYS {
        let event = first_event(&server, &format!("/topics/t?a=b&{key}={one}"), "");
        assert_eq!(event, Received::event(&two, "message", "two"), "{key}");
        let event = first_event(&server, &format!("/topics/t?{key}=earliest"), "");
        assert_eq!(event, Received::event(&one, "message", "one"), "{key}");
    }
}

#[test]
fn an_empty_id_is_none() {
    let (server, _) = with(|_| {});
    let one = publish(&server, "/topics/t", "one");
    let two = publish(&server, "/topics/t", "two");
    for (query, fields) in [
        ("", "Last-Event-ID:\r\n"),
        ("", "last-event-id:  \t \r\n"),
        ("?last_event_id=", ""),
        ("?lastEventId", ""),
    ] {
        let mut peer = connect(&server);
        peer.send(format!("GET /topics/t{query} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
        peer.until(b"\r\n\r\n");
        let mut client = Client::reading(peer);
        assert_eq!(client.next_with_comments(), Received::Comment);
        let live = publish(&server, "/topics/t", "live");
        assert_eq!(client.next(), Received::event(&live, "message", "live"), "{query} {fields}");
    }
    // An empty id does not hide one in another place.
    let expected = Received::event(&two, "message", "two");
    let empty = "Last-Event-ID:\r\n";
    assert_eq!(first_event(&server, &format!("/topics/t?last_event_id={one}"), empty), expected);
    assert_eq!(first_event(&server, &format!("/topics/t?last_event_id=&lastEventId={one}"), ""), expected);
    assert_eq!(first_event(&server, "/topics/t", format!("{empty}Last-Event-ID: {one}\r\n")), expected);
}

#[test]
fn the_header_wins_over_the_query() {
    let (server, _) = with(|_| {});
    let one = publish(&server, "/topics/t", "one");
    let two = publish(&server, "/topics/t", "two");
    let event = first_event(&server, "/topics/t?last_event_id=earliest", format!("Last-Event-ID: {one}\r\n"));
    assert_eq!(event, Received::event(&two, "message", "two"));
}

#[test]
fn an_id_that_is_no_position_is_reported_as_unknown() {
    let (server, _) = with(|_| {});
    publish(&server, "/topics/t", "one");
    for id in [&b"\xff\xfe"[..], b"caf\xe9", b"nonsense", b"1", b"earliest\xff", "\u{fffd}".as_bytes()] {
        let fields = [b"Last-Event-ID: ", id, b"\r\n"].concat();
        assert_eq!(first_event(&server, "/topics/t", fields), reset(), "{}", id.escape_ascii());
    }
    for id in ["%FF%FE", "caf%E9", "nonsense", "%00", "%20", "earliest%FF", "%EF%BF%BD", "a%0Ab"] {
        assert_eq!(first_event(&server, &format!("/topics/t?last_event_id={id}"), ""), reset(), "{id}");
    }
}

#[test]
fn handlers_streams_with_replay_resume_by_the_same_rules() {
    let store: std::sync::Arc<dyn replay::ReplayStore> =
        std::sync::Arc::new(replay::MemoryStore::new(Default::default(), Default::default()).unwrap());
    let handler = move |request: Request| {
        let settings = Settings::new().replay(Replay::new(store.clone(), |_: &Request| "h"));
        respond(&request, &settings, |client: Handle| async move {
            let _ = client.send(Event::new("live")).await;
        })
    };
    let server = builder(Router::new().route(get("/own", handler))).start().unwrap();
    let Received::Event { id: first, .. } = first_event(&server, "/own", "") else { panic!("no event") };
    for (query, fields) in [
        ("?lastEventId=earliest", &b""[..]),
        ("?last-event-id=earliest", b""),
        ("?lastEventID=earliest", b"Last-Event-ID:\r\n"),
    ] {
        let event = first_event(&server, &format!("/own{query}"), fields);
        assert_eq!(event, Received::event(&first, "message", "live"), "{query}");
    }
    assert_eq!(first_event(&server, "/own", b"Last-Event-ID: \xff\r\n"), reset());
    let fresh = first_event(&server, "/own?last_event_id=", "Last-Event-ID:\r\n");
    assert!(matches!(&fresh, Received::Event { id, .. } if *id != first), "{fresh:?}");
}

#[cfg(feature = "ws")]
#[test]
fn sockets_resume_by_the_same_rules() {
    use crate::ws::peer::{assert_opened, opening, read_text};
    let (server, _) = with(|_| {});
    let one = publish(&server, "/topics/t", "one");
    let event = |id: &str, data: &str| format!(r#"{{"id":"{id}","data":"{data}"}}"#);
    let first = |query: &str, fields: &[u8]| {
        let mut peer = connect(&server);
        let request = opening(&format!("/topics/t{query}"), "");
        let request = request.strip_suffix("\r\n").unwrap();
        peer.send([request.as_bytes(), fields, b"\r\n"].concat());
        assert_opened(&peer.reply());
        read_text(&mut peer)
    };
    for key in KEYS {
        assert_eq!(first(&format!("?{key}=earliest"), b""), event(&one, "one"), "{key}");
    }
    let reset = r#"{"id":null,"gap":{"reset":"unknown_id"}}"#;
    assert_eq!(first("", b"Last-Event-ID: \xff\r\n"), reset);
    assert_eq!(first("?last_event_id=%FF", b""), reset);
    assert_eq!(first("?lastEventId=earliest", b"Last-Event-ID:\r\n"), event(&one, "one"));
}

#[cfg(feature = "http2")]
#[test]
fn streams_over_http2_resume_by_the_same_rules() {
    use crate::h2::client::{Client, request};
    use windlass::http::{HeaderValue, Method};

    let (server, _) = with(|_| {});
    let one = publish(&server, "/topics/t", "one");
    let reset = "event: gap\ndata: {\"reset\":\"unknown_id\"}\n\n".to_owned();
    let event = format!("id: {one}\ndata: one\n\n");
    let mut client = Client::connect(&server);
    let cases: [(&str, &[u8], &String); 4] = [
        ("", b"\xff", &reset),
        ("?lastEventID=%FF", b"", &reset),
        ("?lastEventID=earliest", b"", &event),
        ("?last_event_id=", b"earliest", &event),
    ];
    for (query, header, expected) in cases {
        let mut get = request(Method::GET, &format!("/topics/t{query}"));
        get.headers_mut().insert("last-event-id", HeaderValue::from_bytes(header).unwrap());
        let (response, mut body) = client.open(get);
        body.send_data(bytes::Bytes::new(), true).unwrap();
        let mut response = client.wait(response).unwrap();
        let mut text = Vec::new();
        while !text.ends_with(expected.as_bytes()) {
            let data = client.wait(response.body_mut().data()).unwrap().unwrap();
            text.extend_from_slice(&data);
            assert!(text.len() < 200, "{}", text.escape_ascii());
        }
    }
}

#[test]
fn an_empty_position_of_a_program_is_none() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let feed = broker.clone();
    let handler = move |_: Request| feed.stream(&"t".parse().unwrap(), Some(b""));
    let router = topic_routes(Router::new().route(get("/own", handler)), &broker, Default::default());
    let server = builder(router).broker(&broker).start().unwrap();
    publish(&server, "/topics/t", "one");
    let mut client = Client::subscribe(&server, "/own", None);
    assert_eq!(client.next_with_comments(), Received::Comment);
    let live = publish(&server, "/topics/t", "live");
    assert_eq!(client.next(), Received::event(&live, "message", "live"));
}
