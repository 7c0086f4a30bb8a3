//! Tokens that are refused: the answer is the same for each, and the log has the reason.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use windlass::{
    Server,
    identity::jwt::{Key, Settings, Verifier},
};

use super::{
    get, keys, publish, serve, serve_tokens, settings,
    tokens::{EDDSA, ES256, HS256, RS256, SECRET, claims, forged, hmac, now, with},
    with_verifier,
};
use crate::common::{connect, eventually, logs, metric};

/// Returns tokens that must be refused, with the cause of each.
pub(super) fn table() -> Vec<(&'static str, &'static str, String)> {
    let good = ES256.sign(&claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let other = ES256.sign(&with("sub", "bob"));
    let other_payload = other.split('.').nth(1).unwrap();
    let flipped = match signature.strip_prefix('A') {
        Some(rest) => format!("{message}.B{rest}"),
        None => format!("{message}.A{}", &signature[1..]),
    };
    let body = claims().to_string();
    let none = r#"{"alg":"none","typ":"JWT"}"#;
    let critical = r#"{"alg":"ES256","crit":["exp"],"exp":1}"#;
    let hs256 = r#"{"alg":"HS256"}"#;
    let own_key = format!(r#"{{"alg":"ES256","jwk":{{"kty":"oct","k":"{payload}"}}}}"#);
    let confused = hmac(Algorithm::HS256, RS256.public_pem.as_bytes());
    let confused_ec = hmac(Algorithm::HS256, ES256.public_pem.as_bytes());
    let es256 = |claims: Value| ES256.sign(&claims);
    vec![
        ("a changed payload", "signature", format!("{header}.{other_payload}.{signature}")),
        ("a changed signature", "signature", flipped),
        ("an empty signature", "signature", format!("{message}.")),
        ("an RSA key as the secret", "signature", confused.sign(&claims())),
        ("a P-256 key as the secret", "signature", confused_ec.sign(&claims())),
        ("another secret", "signature", hmac(Algorithm::HS256, &[7; 32]).sign(&claims())),
        ("no signature", "malformed", forged(none, &body, b"")),
        ("alg none in capitals", "malformed", forged(r#"{"alg":"NONE"}"#, &body, b"")),
        ("no alg", "malformed", forged("{}", &body, b"x")),
        ("a key of its own", "signature", forged(&own_key, &body, &[1; 64])),
        ("a critical extension", "malformed", forged(critical, &body, &[1; 64])),
        ("an algorithm that is not permitted", "algorithm", hmac(Algorithm::HS512, SECRET).sign(&claims())),
        ("HMAC for the key of EdDSA", "algorithm", HS256.sign_as(Some("ed"), &claims())),
        ("a forged HMAC", "signature", forged(hs256, &body, &[0; 32])),
        ("no parts", "malformed", "abc".to_owned()),
        ("two parts", "malformed", message.to_owned()),
        ("four parts", "malformed", format!("{good}.x")),
        ("no base64", "malformed", format!("!{good}")),
        ("no JSON", "malformed", forged("{", &body, b"x")),
        ("an array as header", "malformed", forged("[]", &body, b"x")),
        ("claims that are no object", "malformed", es256(json!([1]))),
        ("expired", "expired", es256(with("exp", now() - 31))),
        ("long expired", "expired", es256(with("exp", 1))),
        ("not valid yet", "not_yet_valid", es256(with("nbf", now() + 60))),
        ("without exp", "malformed", es256(with("exp", Value::Null))),
        ("exp as a text", "malformed", es256(with("exp", "2100"))),
        ("a negative exp", "missing_claim", es256(with("exp", -1))),
        ("an enormous exp", "missing_claim", es256(with("exp", 1e300))),
        ("nbf as a text", "malformed", es256(with("nbf", "2000"))),
        ("without sub", "malformed", es256(with("sub", Value::Null))),
        ("sub as a number", "malformed", es256(with("sub", 7))),
        ("another audience", "audience", es256(with("aud", "elsewhere"))),
        ("other audiences", "audience", es256(with("aud", json!(["a", "b"])))),
        ("without aud", "missing_claim", es256(with("aud", Value::Null))),
        ("another issuer", "issuer", es256(with("iss", "https://id.example.evil"))),
        ("without iss", "missing_claim", es256(with("iss", Value::Null))),
        ("too large", "oversize", es256(with("padding", "x".repeat(8192)))),
        ("an invalid pattern", "pattern", es256(with("topics", json!({"subscribe": ["a*b"]})))),
        ("topics as a text", "malformed", es256(with("topics", "*"))),
        ("a subject that would widen a pattern", "subject", es256(with("sub", "*"))),
        ("a subject with a slash", "subject", es256(with("sub", "a/b"))),
    ]
}

#[test]
fn every_bad_token_is_answered_alike_and_only_the_log_has_the_reason() {
    logs::record();
    let served = serve_tokens();
    let mut peer = connect(&served.server);
    let count = |server: &Server, cause: &str| {
        metric(server, &format!("windlass_auth_refused_total{{cause=\"{cause}\"}}"))
    };
    let mut wrong = Vec::new();
    for (name, cause, token) in table() {
        // A cause that never occurred may have no sample.
        let has_sample =
            connect(&served.server).get("/metrics").text().contains(&format!("cause=\"{cause}\""));
        let before = if has_sample { count(&served.server, cause) } else { 0.0 };
        let reply = publish(&mut peer, "chat/alice", &token);
        let challenge = Some(r#"Bearer error="invalid_token""#);
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, challenge), "{name}");
        assert_eq!(reply.text(), "Access denied: publishing to topics needs a token.\n", "{name}");
        let reply = get(&mut peer, "/topics/news", &format!("Authorization: Bearer {token}\r\n"));
        assert_eq!(reply.text(), "Access denied: subscribing to topics needs a token.\n", "{name}");
        let page = connect(&served.server).get("/metrics").text();
        if !page.contains(&format!("cause=\"{cause}\"")) || count(&served.server, cause) != before + 2.0 {
            wrong.push(format!("{name}: not {cause}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Refusals of other tests count towards the limit on lines too.
    let (_, _, changed) = table().swap_remove(0);
    eventually("the log has the reason", || {
        assert_eq!(publish(&mut peer, "chat/alice", &changed).status, 401);
        !logs::lines(&["credentials refused", "the signature is wrong"]).is_empty()
    });
    assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign(&claims())).status, 202);
}

#[test]
fn the_leeway_permits_clocks_that_differ() {
    let served = serve_tokens();
    let mut peer = connect(&served.server);
    for claims in [with("exp", now() - 20), with("nbf", now() + 20)] {
        assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign(&claims)).status, 202, "{claims}");
    }
}

#[test]
fn a_token_that_is_valid_for_too_long_is_refused() {
    let mut short = settings();
    short.max_lifetime = Some(std::time::Duration::from_secs(300));
    let served = serve(with_verifier(Verifier::new(short, keys()).unwrap()));
    let mut peer = connect(&served.server);
    assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign(&claims())).status, 401);
    assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign(&with("exp", now() + 299))).status, 202);
}

#[test]
fn a_token_for_any_audience_is_refused_without_an_audience_in_the_settings() {
    let served = serve(with_verifier(Verifier::new(Settings::default(), keys()).unwrap()));
    let mut peer = connect(&served.server);
    assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign(&claims())).status, 401);
    assert_eq!(publish(&mut peer, "chat/alice", &ES256.sign(&with("aud", Value::Null))).status, 202);
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let refused = |key: Result<Key, windlass::identity::jwt::KeyError>, word: &str| {
        let error = key.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(Key::secret(b"short"), "at least 32 bytes");
    refused(Key::pem(b"nonsense"), "no public key");
    refused(Key::pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "a private key");
    let mut only = settings();
    only.algorithms = vec!["ES256".parse().unwrap()];
    let error = Verifier::new(only, vec![Key::pem(EDDSA.public_pem.as_bytes()).unwrap()]).unwrap_err();
    assert!(error.to_string().contains("EdDSA"), "{error}");
    assert!(Verifier::new(settings(), Vec::new()).is_err());
    assert!("none".parse::<windlass::identity::jwt::Algorithm>().is_err());
    let mut wrong = settings();
    wrong.subscribe = vec!["a*".to_owned()];
    assert!(Verifier::new(wrong, keys()).unwrap_err().to_string().contains("subscribe"));
}
