//! Event streams over HTTP/2.

use bytes::Bytes;
use windlass::http::Method;

use super::{publish, with};
use crate::{
    common::eventually,
    h2::client::{Client, request},
};

#[cfg(feature = "ws")]
#[test]
fn a_page_that_asks_for_a_subprotocol_gets_one() {
    let (server, _) = with(|_| {});
    let mut client = Client::connect(&server);
    eventually("the server's settings have arrived", || client.send.is_extended_connect_protocol_enabled());
    for (offers, selected) in [(None, None), (Some("feed.v2, feed.v1"), Some("feed.v2"))] {
        let mut connect = request(Method::CONNECT, "/topics/t");
        connect.extensions_mut().insert(::h2::ext::Protocol::from_static("websocket"));
        connect.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
        if let Some(offers) = offers {
            connect.headers_mut().insert("sec-websocket-protocol", offers.parse().unwrap());
        }
        let (response, _stream) = client.open(connect);
        let response = client.wait(response).unwrap();
        assert_eq!(response.status(), 200);
        let chosen = response.headers().get("sec-websocket-protocol").map(|name| name.to_str().unwrap());
        assert_eq!(chosen, selected);
    }
}

#[test]
fn many_streams_of_one_connection_receive_each_event() {
    const STREAMS: usize = 20;
    let (server, broker) = with(|_| {});
    let missed = publish(&server, "/topics/t", "missed");
    let mut client = Client::connect(&server);
    let mut streams: Vec<_> = (0..STREAMS)
        .map(|_| {
            let mut get = request(Method::GET, "/topics/t");
            get.headers_mut().insert("last-event-id", "earliest".parse().unwrap());
            let (response, mut body) = client.open(get);
            body.send_data(Bytes::new(), true).unwrap();
            let response = client.wait(response).unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"] == "text/event-stream"),
                (200, true)
            );
            response.into_body()
        })
        .collect();
    let topic = "t".parse().unwrap();
    eventually("all streams are subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == STREAMS)
    });
    let live = publish(&server, "/topics/t", "live");
    for stream in &mut streams {
        let mut text = Vec::new();
        while !text.ends_with(b"live\n\n") {
            let data = client.wait(stream.data()).unwrap().unwrap();
            stream.flow_control().release_capacity(data.len()).unwrap();
            text.extend_from_slice(&data);
        }
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, format!("id: {missed}\ndata: missed\n\nid: {live}\ndata: live\n\n"));
    }
    // A reset stream ends its subscription, and a closed connection ends all of its subscriptions.
    streams.pop();
    eventually("one subscription has ended", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == STREAMS - 1)
    });
    drop((streams, client));
    eventually("all subscriptions have ended", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 0)
    });
}
