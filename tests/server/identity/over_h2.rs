//! Identities over HTTP/2.

use bytes::Bytes;
use serde_json::json;
use windlass::http::{Method, header::AUTHORIZATION};

use super::{
    refused::table,
    serve_tokens,
    tokens::{ES256, claims, now, with},
};
use crate::{
    common::eventually,
    h2::client::{Client, Reply, request},
};

fn publish(client: &mut Client, topic: &str, token: &str) -> Reply {
    let mut post = request(Method::POST, &format!("/topics/{topic}"));
    post.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    client.request(post, Bytes::from_static(b"x"))
}

#[test]
fn tokens_are_accepted_and_refused_as_over_http1() {
    let served = serve_tokens();
    let mut client = Client::connect(&served.server);
    let token = ES256.sign(&claims());
    assert_eq!(publish(&mut client, "chat/alice", &token).status, 202);
    assert_eq!(publish(&mut client, "chat/bob", &token).status, 403);
    for (name, _, token) in table() {
        let reply = publish(&mut client, "chat/alice", &token);
        let challenge = Some(r#"Bearer error="invalid_token""#);
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, challenge), "{name}");
        assert_eq!(reply.text(), "Access denied: publishing to topics needs a token.\n", "{name}");
    }
}

#[test]
fn streams_end_with_their_token_and_the_connection_stays() {
    let served = serve_tokens();
    let mut client = Client::connect(&served.server);
    let mut open = |seconds: u64| {
        let mut claims = with("topics", json!({"subscribe": ["*"], "publish": ["*"]}));
        claims["exp"] = (now() + seconds).into();
        let token = ES256.sign(&claims);
        let (response, mut body) =
            client.open(request(Method::GET, &format!("/topics/t?access_token={token}")));
        body.send_data(Bytes::new(), true).unwrap();
        client.wait(response).unwrap().into_body()
    };
    let (mut short, mut long) = (open(2), open(600));
    let topic = "t".parse().unwrap();
    let subscribers = |number| {
        eventually("so many are subscribed", || {
            served.broker.stats(&topic).map_or(0, |stats| stats.subscribers) == number
        });
    };
    subscribers(2);
    while let Some(data) = client.wait(short.data()) {
        data.unwrap();
    }
    subscribers(1);
    served.subjects.disconnect("alice");
    while let Some(data) = client.wait(long.data()) {
        data.unwrap();
    }
    subscribers(0);
    assert_eq!(client.get("/healthz").status, 200);
}
