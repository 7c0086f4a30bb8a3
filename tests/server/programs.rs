//! The small programs of `src/docs/examples`, each served to clients over sockets.
#![allow(unreachable_pub, reason = "the examples are programs and only modules here")]

use std::time::Duration;

use windlass::Server;

use crate::common::{Peer, Reply, connect, start};

#[path = "../../src/docs/examples/hello_world.rs"]
mod hello_world;
#[path = "../../src/docs/examples/key_value_store.rs"]
mod key_value_store;
#[cfg(feature = "stream")]
#[path = "../../src/docs/examples/ticks.rs"]
mod ticks;
#[cfg(feature = "json")]
#[path = "../../src/docs/examples/todos.rs"]
mod todos;
#[cfg(feature = "json")]
#[path = "../../src/docs/examples/users.rs"]
mod users;
#[cfg(feature = "ws")]
#[path = "../../src/docs/examples/websocket_chat.rs"]
mod websocket_chat;

/// Sends a request with a body of this type and reads its reply.
fn send(peer: &mut Peer, method: &str, path: &str, kind: &str, body: &str) -> Reply {
    let length = body.len();
    peer.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
    peer.reply_to(method)
}

/// Returns the status and the text of a GET request over HTTP/2.
#[cfg(feature = "http2")]
fn get_over_http2(server: &Server, path: &str) -> (u16, String) {
    let reply = crate::h2::client::Client::connect(server).get(path);
    (reply.status, reply.text().to_owned())
}

#[cfg(not(feature = "http2"))]
fn get_over_http2(server: &Server, path: &str) -> (u16, String) {
    let reply = connect(server).get(path);
    (reply.status, reply.text())
}

#[test]
fn hello_world_answers_with_html() {
    let server = start(hello_world::router());
    let reply = connect(&server).get("/");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(get_over_http2(&server, "/"), (200, reply.text()));
}

#[cfg(feature = "json")]
#[test]
fn users_are_created_from_json() {
    let server = start(users::router());
    let mut peer = connect(&server);
    let json = "application/json";
    let created = send(&mut peer, "POST", "/users", json, r#"{"name":"ann"}"#);
    assert_eq!((created.status, created.text().as_str()), (201, r#"{"id":1,"name":"ann"}"#));
    for (kind, body, status) in [("text/plain", "{}", 415), (json, "{", 400), (json, "{}", 422)] {
        assert_eq!(send(&mut peer, "POST", "/users", kind, body).status, status, "{kind} {body}");
    }
    assert_eq!(get_over_http2(&server, "/"), (200, "Hello!\n".to_owned()));
}

#[test]
fn the_store_keeps_values_and_guards_its_removal() {
    let server = start(key_value_store::router());
    let mut peer = connect(&server);
    assert_eq!(peer.get("/keys/a").status, 404);
    assert_eq!(peer.post("/keys/a", "one").status, 200);
    assert_eq!(peer.post("/keys/b", "two").status, 200);
    assert_eq!((peer.get("/keys/a").text().as_str(), peer.get("/keys").text().as_str()), ("one", "a\nb\n"));
    assert_eq!(get_over_http2(&server, "/keys/b"), (200, "two".to_owned()));
    assert_eq!(peer.post("/keys/c", vec![0; 64 * 1024 + 1]).status, 413);
    let mut peer = connect(&server);
    let mut delete = |fields: &str| {
        peer.send(format!("DELETE /admin/keys/a HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
        peer.reply().status
    };
    let credentials = "Authorization: Basic YWRtaW46c2VjcmV0\r\n";
    assert_eq!((delete(""), delete(credentials), delete(credentials)), (401, 204, 404));
    assert_eq!(connect(&server).get("/keys").text(), "b\n");
}

#[cfg(feature = "stream")]
#[test]
fn ticks_count_up() {
    let server = start(ticks::router(Duration::from_millis(5)));
    let mut peer = connect(&server);
    assert!(peer.get("/").text().contains("EventSource"));
    peer.request("GET", "/ticks");
    let head = String::from_utf8(peer.until(b"\r\n\r\n")).unwrap().to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
    for count in 1..4 {
        peer.until(format!("data: {count}\n\n").as_bytes());
    }
}

#[cfg(feature = "json")]
#[test]
fn todos_are_created_changed_paged_and_removed() {
    let server = start(todos::router());
    let mut peer = connect(&server);
    let json = "application/json";
    for (id, text) in [(1, "read"), (2, "write")] {
        let created = send(&mut peer, "POST", "/todos", json, &format!(r#"{{"text":"{text}"}}"#));
        assert_eq!(created.text(), format!(r#"{{"id":{id},"text":"{text}","done":false}}"#));
    }
    let changed = send(&mut peer, "PATCH", "/todos/2", json, r#"{"done":true}"#);
    assert_eq!((changed.status, changed.text().as_str()), (200, r#"{"id":2,"text":"write","done":true}"#));
    let second = r#"[{"id":2,"text":"write","done":true}]"#.to_owned();
    assert_eq!(get_over_http2(&server, "/todos?offset=1&limit=5"), (200, second.clone()));
    let statuses = [(); 2].map(|()| send(&mut peer, "DELETE", "/todos/1", json, "").status);
    assert_eq!((statuses, peer.get("/todos").text()), ([204, 404], second));
    let unmatched = peer.get("/nothing");
    assert_eq!((unmatched.status, unmatched.text().as_str()), (404, r#"{"error":"NotFound"}"#));
    assert_eq!(peer.get("/todos?limit=x").status, 400);
}

#[cfg(feature = "ws")]
#[test]
fn the_chat_delivers_messages_and_refuses_a_name_that_is_taken() {
    let client = windlass::TestClient::new(websocket_chat::router()).unwrap();
    let enter = |name: &str| {
        let mut socket = client.websocket("/chat");
        socket.send(name);
        socket
    };
    let text = |text: &str| Some(windlass::ws::Message::Text(text.to_owned()));
    let mut ann = enter("ann");
    assert_eq!(ann.recv(), text("ann joins"));
    let mut bob = enter("bob");
    assert_eq!((ann.recv(), bob.recv()), (text("bob joins"), text("bob joins")));
    bob.send("hello");
    assert_eq!((ann.recv(), bob.recv()), (text("bob: hello"), text("bob: hello")));
    let mut other = enter("bob");
    assert_eq!((other.recv(), other.recv()), (text("this name is taken"), None));
    drop(bob);
    assert_eq!(ann.recv(), text("bob leaves"));
    let mut again = enter("bob");
    assert_eq!((ann.recv(), again.recv()), (text("bob joins"), text("bob joins")));
}
