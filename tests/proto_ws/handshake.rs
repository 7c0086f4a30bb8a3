//! The WebSocket opening handshake over HTTP/1.1 and HTTP/2.

use http::{Method, StatusCode, Version, header};
use windlass::proto::ws::{
    Accepted, Opening, Origins, Policy, Refusal, Subprotocols, accept, deflate::Settings,
    handshake::accept_key,
};

/// Header fields of a browser's HTTP/1.1 request.
const FIELDS: &[(&str, &str)] = &[
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "keep-alive, Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Origin", "http://server.example.com"),
    ("Sec-WebSocket-Version", "13"),
];

const GET: Opening<'_> = Opening {
    method: &Method::GET,
    version: Version::HTTP_11,
    authority: Some(b"server.example.com"),
    protocol: None,
};

const CONNECT: Opening<'_> = Opening {
    method: &Method::CONNECT,
    version: Version::HTTP_2,
    authority: Some(b"server.example.com"),
    protocol: Some(b"websocket"),
};

/// Header fields of a browser's HTTP/2 request.
const FIELDS_H2: &[(&str, &str)] =
    &[("origin", "https://server.example.com"), ("sec-websocket-version", "13")];

fn negotiate(opening: Opening<'_>, fields: &[(&str, &str)], policy: &Policy) -> Result<Accepted, Refusal> {
    accept(&opening, fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), policy)
}

/// Replaces fields of [`FIELDS`] by name; an empty value removes the field.
fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept =
        FIELDS.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| name.eq_ignore_ascii_case(other)));
    kept.chain(changes).copied().filter(|(_, value)| !value.is_empty()).collect()
}

#[track_caller]
fn refused(changes: &[(&str, &str)], refusal: Refusal, status: u16) {
    assert_eq!(negotiate(GET, &with(changes), &Policy::default()).err(), Some(refusal));
    assert_eq!(refusal.status(), status);
}

fn value(accepted: &Accepted, name: header::HeaderName) -> &str {
    accepted.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let accepted = negotiate(GET, FIELDS, &Policy::default()).unwrap();
    assert_eq!(accepted.status, StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(value(&accepted, header::UPGRADE), "websocket");
    assert_eq!(value(&accepted, header::CONNECTION), "Upgrade");
    assert_eq!(value(&accepted, header::SEC_WEBSOCKET_ACCEPT), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(accepted.headers.len(), 3);
    assert!(accepted.protocol.is_none() && accepted.deflate.is_none());
}

#[test]
fn an_extended_connect_needs_no_key_and_no_upgrade() {
    let accepted = negotiate(CONNECT, FIELDS_H2, &Policy::default()).unwrap();
    assert_eq!((accepted.status, accepted.headers.len()), (StatusCode::OK, 0));
    let refused = |opening| negotiate(opening, FIELDS_H2, &Policy::default()).err();
    assert_eq!(refused(Opening { protocol: None, ..CONNECT }), Some(Refusal::Protocol));
    assert_eq!(refused(Opening { protocol: Some(b"connect-udp"), ..CONNECT }), Some(Refusal::Protocol));
    assert_eq!(refused(Opening { method: &Method::GET, ..CONNECT }), Some(Refusal::Method));
    assert_eq!(negotiate(CONNECT, &FIELDS_H2[..1], &Policy::default()).err(), Some(Refusal::Version));
    assert_eq!(
        negotiate(CONNECT, &[("origin", "https://b"), FIELDS_H2[1]], &Policy::default()).err(),
        Some(Refusal::Origin)
    );
    let policy = Policy {
        subprotocols: Subprotocols::Supported(vec!["chat".into()]),
        deflate: Some(Settings::default()),
        ..Policy::default()
    };
    let more = [
        FIELDS_H2[1],
        ("sec-websocket-protocol", "chat"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ];
    let accepted = negotiate(CONNECT, &more, &policy).unwrap();
    assert_eq!((accepted.headers.len(), accepted.protocol.as_deref()), (2, Some("chat")));
    assert!(accepted.deflate.is_some());
}

#[test]
fn the_upgrade_needs_get_and_http_1_1() {
    let refused = |opening| negotiate(opening, FIELDS, &Policy::default()).err();
    assert_eq!(refused(Opening { method: &Method::POST, ..GET }), Some(Refusal::Method));
    assert_eq!(refused(Opening { version: Version::HTTP_10, ..GET }), Some(Refusal::HttpVersion));
    assert_eq!(Refusal::Method.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(Refusal::Method.headers(Version::HTTP_11)[header::ALLOW], "GET");
    assert_eq!(Refusal::Method.headers(Version::HTTP_2)[header::ALLOW], "CONNECT");
}

#[test]
fn upgrade_and_connection_are_lists_of_tokens_in_any_case() {
    for changes in [
        [("Upgrade", "WebSocket"), ("Connection", "upgrade")],
        [("upgrade", "h2c, websocket"), ("connection", "Keep-Alive , UPGRADE")],
    ] {
        assert!(negotiate(GET, &with(&changes), &Policy::default()).is_ok());
    }
    refused(&[("Upgrade", "")], Refusal::NotAnUpgrade, 426);
    refused(&[("Upgrade", "websockets")], Refusal::NotAnUpgrade, 426);
    refused(&[("Connection", "")], Refusal::Connection, 400);
    refused(&[("Connection", "close")], Refusal::Connection, 400);
}

#[test]
fn a_refused_version_is_answered_with_the_supported_one() {
    for version in ["", "8", "14", "13, 8", "013"] {
        refused(&[("Sec-WebSocket-Version", version)], Refusal::Version, 426);
    }
    refused(&[("Sec-WebSocket-Version", "13"), ("sec-websocket-version", "13")], Refusal::Version, 426);
    let headers = Refusal::Version.headers(Version::HTTP_11);
    assert_eq!(headers[header::SEC_WEBSOCKET_VERSION], "13");
    assert_eq!(
        (&headers[header::UPGRADE], &headers[header::CONNECTION]),
        (&"websocket".parse().unwrap(), &"Upgrade".parse().unwrap())
    );
    assert_eq!(Refusal::Version.headers(Version::HTTP_2).len(), 1);
}

#[test]
fn the_key_must_encode_exactly_sixteen_bytes() {
    // The second key is an example of the RFC itself; its last unused bits are not zero.
    for key in ["AAAAAAAAAAAAAAAAAAAAAA==", "AQIDBAUGBwgJCgsMDQ4PEC=="] {
        assert!(negotiate(GET, &with(&[("Sec-WebSocket-Key", key)]), &Policy::default()).is_ok());
    }
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25jZWVl",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZ!==",
        "@",
    ] {
        refused(&[("Sec-WebSocket-Key", key)], Refusal::Key, 400);
        assert_eq!(accept_key(key.as_bytes()), None);
    }
    let twice = [("Sec-WebSocket-Key", FIELDS[3].1), ("sec-websocket-key", FIELDS[3].1)];
    refused(&twice, Refusal::Key, 400);
}

#[test]
fn pages_of_other_origins_are_refused_by_default() {
    refused(&[("Origin", "http://evil.example.com")], Refusal::Origin, 403);
    refused(&[("Origin", "http://server.example.com:81")], Refusal::Origin, 403);
    refused(&[("Origin", "null")], Refusal::Origin, 403);
    let own = "http://server.example.com";
    refused(&[("Origin", own), ("origin", own)], Refusal::Origin, 403);
    assert!(
        negotiate(GET, &with(&[("Origin", "")]), &Policy::default()).is_ok(),
        "a request without Origin does not come from a page"
    );
    assert!(negotiate(GET, &with(&[("Origin", "https://SERVER.example.com")]), &Policy::default()).is_ok());
    assert_eq!(
        negotiate(Opening { authority: None, ..GET }, FIELDS, &Policy::default()).err(),
        Some(Refusal::Origin)
    );
}

#[test]
fn other_origins_are_accepted_if_listed_or_if_any_is_allowed() {
    let evil = with(&[("Origin", "http://evil.example.com")]);
    let listed = Origins::SameOr(vec!["http://evil.example.com".into()]);
    assert!(negotiate(GET, &evil, &Policy { origins: listed.clone(), ..Policy::default() }).is_ok());
    assert!(negotiate(GET, FIELDS, &Policy { origins: listed, ..Policy::default() }).is_ok());
    assert!(negotiate(GET, &evil, &Policy { origins: Origins::Any, ..Policy::default() }).is_ok());
}

#[test]
fn the_servers_order_selects_the_subprotocol() {
    let policy = Policy {
        subprotocols: Subprotocols::Supported(vec!["v2.chat".into(), "v1.chat".into(), "no token".into()]),
        ..Policy::default()
    };
    let agreed = |offers: &[(&str, &str)]| negotiate(GET, &with(offers), &policy).unwrap();
    let name = "Sec-WebSocket-Protocol";
    let both = agreed(&[(name, "v1.chat, v2.chat")]);
    assert_eq!(both.protocol.as_deref(), Some("v2.chat"));
    assert_eq!(value(&both, header::SEC_WEBSOCKET_PROTOCOL), "v2.chat");
    assert_eq!(
        agreed(&[(name, "other"), ("sec-websocket-protocol", "v1.chat")]).protocol.as_deref(),
        Some("v1.chat")
    );
    for offer in ["V2.chat", "v3.chat", "v2", "no token"] {
        let none = agreed(&[(name, offer)]);
        assert!(none.protocol.is_none() && !none.headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL));
    }
}

#[test]
fn a_server_without_a_preference_selects_the_first_offered_subprotocol() {
    let policy = Policy { subprotocols: Subprotocols::FirstOffered, ..Policy::default() };
    let name = "Sec-WebSocket-Protocol";
    for (offers, selected) in [
        (&[][..], None),
        (&[(name, "v1.chat, v2.chat")], Some("v1.chat")),
        (&[(name, "V1.Chat"), (name, "v2.chat")], Some("V1.Chat")),
        (&[(name, " , no token, v3")], Some("v3")),
        (&[(name, "")], None),
        (&[(name, "a\u{e9}")], None),
    ] {
        let accepted = negotiate(GET, &with(offers), &policy).unwrap();
        assert_eq!(accepted.protocol.as_deref(), selected);
        let sent = accepted.headers.get(header::SEC_WEBSOCKET_PROTOCOL);
        assert_eq!(sent.map(|value| value.to_str().unwrap()), selected);
    }
}

#[test]
fn compression_is_negotiated_only_if_configured() {
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")];
    assert!(negotiate(GET, &with(&offer), &Policy::default()).unwrap().deflate.is_none());
    let policy = Policy { deflate: Some(Settings::default()), ..Policy::default() };
    let accepted = negotiate(GET, &with(&offer), &policy).unwrap();
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(value(&accepted, header::SEC_WEBSOCKET_EXTENSIONS), expected);
    assert!(accepted.deflate.is_some());
    let unknown = negotiate(GET, &with(&[("Sec-WebSocket-Extensions", "x-unknown")]), &policy).unwrap();
    assert!(unknown.deflate.is_none() && unknown.headers.len() == 3);
    let broken = negotiate(GET, &with(&[("Sec-WebSocket-Extensions", "permessage-deflate; =")]), &policy);
    assert_eq!(broken.err(), Some(Refusal::Extensions));
}

#[test]
fn every_refusal_is_listed_at_its_number_with_a_unique_label() {
    for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
        assert_eq!(refusal as usize, index);
        assert_eq!(Refusal::ALL.iter().filter(|other| other.label() == refusal.label()).count(), 1);
        assert!(refusal.status().is_client_error() || refusal == Refusal::Protocol);
    }
}
