//! Identities of clients: JSON Web Tokens, the topics that they grant, and the end of streams.

#[cfg(feature = "http2")]
mod over_h2;
mod refused;
mod streams;
mod tokens;

use std::sync::Arc;

use serde_json::json;
use windlass::{
    Operations, Request, Router, Server, TopicAccess, TopicAction, TopicCheck, admin_routes,
    broker::{Broker, BrokerSettings},
    identity::{
        Authorizer, Identity, Refusal, Subjects, TopicPatterns,
        jwt::{Key, Settings, TokenSource, Verifier},
    },
    topic_routes,
};

use crate::{
    common::{Peer, Reply, builder, connect, eventually, metric},
    topics::client::{Client, Received},
};
use tokens::{EDDSA, ES256, HS256, RS256, SECRET, claims, with};

/// A server with topics, and what a test changes while it runs.
struct Served {
    server: Server,
    broker: Broker,
    subjects: Subjects,
}

fn serve(access: TopicAccess) -> Served {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let subjects = access.subjects.clone();
    let router = topic_routes(Router::new(), &broker, access);
    let server = builder(router).operations(Operations::usual()).broker(&broker).start().unwrap();
    Served { server, broker, subjects }
}

/// Returns the settings of the tests: an issuer and an audience.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.issuers = vec!["https://id.example".to_owned()];
    settings.audiences = vec!["feed".to_owned(), "other".to_owned()];
    settings
}

/// Returns one key of each kind. Only that for EdDSA has an id.
fn keys() -> Vec<Key> {
    let pem = |pem: &str| Key::pem(pem.as_bytes()).unwrap();
    vec![
        pem(&ES256.public_pem),
        Key::secret(SECRET).unwrap(),
        pem(&RS256.public_pem),
        pem(&EDDSA.public_pem).with_id("ed"),
    ]
}

fn with_verifier(verifier: Verifier) -> TopicAccess {
    let mut access = TopicAccess::default();
    access.authorizer = Some(Arc::new(verifier));
    access
}

fn serve_tokens() -> Served {
    serve(with_verifier(Verifier::new(settings(), keys()).unwrap()))
}

/// Sends a GET with this header line.
fn get(peer: &mut Peer, path: &str, line: &str) -> Reply {
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{line}\r\n"));
    peer.reply()
}

/// Publishes with this token.
fn publish(peer: &mut Peer, topic: &str, token: &str) -> Reply {
    peer.send(format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 1\r\n\r\nx"
    ));
    peer.reply()
}

#[test]
fn a_token_of_each_algorithm_grants_its_topics_only() {
    let served = serve_tokens();
    let mut peer = connect(&served.server);
    for issuer in [&*ES256, &*HS256, &*RS256, &*EDDSA] {
        let token = issuer.sign(&claims());
        assert_eq!(publish(&mut peer, "chat/alice", &token).status, 202, "{:?}", issuer.algorithm);
        let denied = publish(&mut peer, "chat/bob", &token);
        let challenge = Some(r#"Bearer error="insufficient_scope""#);
        assert_eq!((denied.status, denied.header("www-authenticate")), (403, challenge));
        assert_eq!(publish(&mut peer, "news", &token).status, 403, "it grants subscribing only");
        assert_eq!(get(&mut peer, "/topics", &format!("Authorization: Bearer {token}\r\n")).status, 403);
    }
    let all = ES256.sign(&with("topics", json!({"subscribe": ["*"]})));
    assert_eq!(get(&mut peer, "/topics", &format!("Authorization: Bearer {all}\r\n")).status, 200);
    assert_eq!(metric(&served.server, r#"windlass_auth_refused_total{cause="topic"}"#), 12.0);
}

#[test]
fn requests_without_a_token_may_subscribe_where_the_settings_say() {
    let mut public = settings();
    public.anonymous = vec!["news/*".to_owned()];
    let served = serve(with_verifier(Verifier::new(public, keys()).unwrap()));
    let mut peer = connect(&served.server);
    assert_eq!(peer.post("/topics/news/a", "x").status, 403);
    assert_eq!(peer.get("/topics/chat/a").status, 403);
    peer.request("GET", "/topics/news/a");
    assert!(peer.until(b"\r\n").starts_with(b"HTTP/1.1 200"));
    let closed = serve_tokens();
    let reply = connect(&closed.server).get("/topics/news/a");
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")));
}

#[test]
fn a_token_may_be_in_the_header_the_query_or_a_cookie() {
    let mut all = settings();
    all.sources = vec![TokenSource::Header, "query:jwt".parse().unwrap(), "cookie:session".parse().unwrap()];
    let served = serve(with_verifier(Verifier::new(all, keys()).unwrap()));
    let token = ES256.sign(&with("topics", json!({"subscribe": ["*"]})));
    let mut peer = connect(&served.server);
    for (path, line, status) in [
        ("/topics", format!("Authorization: bearer  {token}\r\n"), 200),
        (&*format!("/topics?jwt={token}"), String::new(), 200),
        ("/topics", format!("Cookie: a=b; session={token}; c\r\n"), 200),
        ("/topics", format!("Cookie: a=b\r\ncookie: session=\"{token}\"\r\n"), 200),
        (&*format!("/topics?access_token={token}"), String::new(), 401),
        ("/topics", format!("Authorization: Basic {token}\r\n"), 401),
        ("/topics", format!("Cookie: xsession={token}\r\n"), 401),
    ] {
        assert_eq!(get(&mut peer, path, &line).status, status, "{path} {line}");
    }
    for invalid in ["", "body", "query:", "cookie:", "header:x"] {
        assert!(invalid.parse::<TokenSource>().is_err(), "{invalid}");
    }
}

#[test]
fn static_tokens_work_beside_identities() {
    let mut access = with_verifier(Verifier::new(settings(), keys()).unwrap());
    access.publish_token = Some("p-secret".to_owned());
    let served = serve(access);
    let mut peer = connect(&served.server);
    assert_eq!(publish(&mut peer, "anything", "p-secret").status, 202);
    assert_eq!(publish(&mut peer, "anything", "p-secretx").status, 401);
    assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign(&claims())).status, 202);
}

#[test]
fn a_token_is_verified_once_for_a_kept_alive_publisher() {
    let served = serve_tokens();
    let token = ES256.sign(&claims());
    let mut peer = connect(&served.server);
    (0..10).for_each(|_| assert_eq!(publish(&mut peer, "chat/alice", &token).status, 202));
    let tokens =
        |result: &str| metric(&served.server, &format!("windlass_auth_tokens_total{{result=\"{result}\"}}"));
    assert_eq!((tokens("verified"), tokens("cached")), (1.0, 9.0));
}

#[test]
fn replaced_keys_refuse_tokens_that_were_cached() {
    let verifier = Arc::new(Verifier::new(settings(), keys()).unwrap());
    let mut access = TopicAccess::default();
    access.authorizer = Some(verifier.clone());
    let served = serve(access);
    let (old, new) = (ES256.sign(&claims()), EDDSA.sign(&claims()));
    let mut peer = connect(&served.server);
    assert_eq!(publish(&mut peer, "chat/alice", &old).status, 202);
    verifier.replace_keys(vec![Key::pem(EDDSA.public_pem.as_bytes()).unwrap()]).unwrap();
    assert_eq!(publish(&mut peer, "chat/alice", &old).status, 401);
    assert_eq!(publish(&mut peer, "chat/alice", &new).status, 202);
    assert!(verifier.replace_keys(Vec::new()).is_err());
    assert_eq!(publish(&mut peer, "chat/alice", &new).status, 202, "the keys stay in use");
}

#[test]
fn a_key_is_found_by_its_id_also_in_a_jwks() {
    let jwk = |issuer: &tokens::Issuer, id: &str| {
        let key = jsonwebtoken::DecodingKey::from_ec_pem(issuer.public_pem.as_bytes()).unwrap();
        let jwk = jsonwebtoken::jwk::Jwk::from_decoding_key(&key, Some(issuer.algorithm)).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = id.into();
        jwk
    };
    let other = json!({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"});
    let unknown = json!({"kty": "XYZ", "kid": "new"});
    let set = json!({"keys": [other, unknown, jwk(&ES256, "es")]});
    let keys = Key::jwks(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1);
    let served = serve(with_verifier(Verifier::new(settings(), keys).unwrap()));
    let mut peer = connect(&served.server);
    for (id, status) in [(Some("es"), 202), (None, 202), (Some("other"), 401)] {
        assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign_as(id, &claims())).status, status, "{id:?}");
    }
    for (invalid, word) in [("", "no JWKS"), ("{}", "no JWKS"), (r#"{"keys": []}"#, "no public key")] {
        assert!(Key::jwks(invalid.as_bytes()).unwrap_err().to_string().contains(word), "{invalid}");
    }
}

#[test]
fn a_program_may_bring_its_own_authorizer_and_checks_see_the_identity() {
    #[derive(Debug)]
    struct ByHeader;
    impl Authorizer for ByHeader {
        fn identify(&self, request: &Request) -> Result<Option<Identity>, Refusal> {
            let Some(user) = request.header("x-user") else { return Ok(None) };
            let own = TopicPatterns::parse_for(Some(user), ["{sub}/*"]).map_err(|_| Refusal::Subject)?;
            Ok(Some(Identity::new(user).may_subscribe(own.clone()).may_publish(own)))
        }
    }
    let mut access = TopicAccess::default();
    access.authorizer = Some(Arc::new(ByHeader));
    access.check = Some(TopicCheck::new(|request, action| {
        let subject = request.extensions().get::<Identity>().and_then(Identity::subject);
        !matches!(action, TopicAction::Publish(_)) || subject == Some("alice")
    }));
    let served = serve(access);
    let mut peer = connect(&served.server);
    let mut post = |user: &str, topic: &str| {
        peer.send(format!(
            "POST /topics/{topic} HTTP/1.1\r\nHost: t\r\nX-User: {user}\r\nContent-Length: 1\r\n\r\nx"
        ));
        peer.reply().status
    };
    assert_eq!(post("alice", "alice/a"), 202);
    assert_eq!(post("alice", "bob/a"), 403);
    assert_eq!(post("bob", "bob/a"), 403, "the check denies it");
    assert_eq!(post("a/b", "a/b/c"), 401);
}

#[test]
fn operators_disconnect_a_subject_over_http() {
    let access = with_verifier(Verifier::new(settings(), keys()).unwrap());
    let (broker, subjects) = (Broker::new(BrokerSettings::default()).unwrap(), access.subjects.clone());
    let router = admin_routes(topic_routes(Router::new(), &broker, access), &subjects, "admin-secret");
    let server = builder(router).operations(Operations::usual()).broker(&broker).start().unwrap();
    let token = ES256.sign(&claims());
    let mut stream = Client::subscribe(&server, &format!("/topics/chat/a?access_token={token}"), None);
    let mut peer = connect(&server);
    let mut disconnect = |token: &str| {
        peer.send(format!(
            "POST /admin/disconnect HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 19\r\n\r\n{{\"subject\":\"alice\"}}"
        ));
        peer.reply()
    };
    assert_eq!(disconnect("admin-secretx").status, 401);
    assert_eq!(disconnect(&token).status, 401);
    eventually("the stream is open", || subjects.streams("alice") == 1);
    assert_eq!(disconnect("admin-secret").text(), "{\"subject\":\"alice\",\"streams\":1}\n");
    assert_eq!(stream.next(), Received::End);
    assert_eq!(metric(&server, r#"windlass_auth_disconnects_total{result="done"}"#), 1.0);
}

#[test]
fn a_subscription_to_a_pattern_needs_a_token_that_contains_it() {
    let served = serve_tokens();
    let mut peer = connect(&served.server);
    let line = format!("Authorization: Bearer {}\r\n", ES256.sign(&claims()));
    for (path, status) in [
        ("/topics/*", 403),
        ("/topics/news/*", 403),
        ("/events?topic=news&topic=other", 403),
        ("/events?topic=chat/a&topic=*", 403),
        // The token contains them, but they are in no common log.
        ("/topics/chat/*", 400),
        ("/topics/chat/a/*", 400),
        ("/events?topic=news&topic=chat/a", 400),
    ] {
        assert_eq!(get(&mut peer, path, &line).status, status, "{path}");
        assert_eq!(get(&mut peer, path, "").status, 401, "{path}");
    }
}
