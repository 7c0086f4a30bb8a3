//! Event streams on streams of one HTTP/2 connection.

use bytes::Bytes;
use windlass::http::Method;

use super::{publish, with};
use crate::{
    common::eventually,
    h2::client::{Client, request},
};

#[test]
fn many_streams_of_one_connection_get_each_event() {
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
    eventually("all subscribed", || broker.stats(&topic).is_some_and(|stats| stats.subscribers == STREAMS));
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
    // A stream that is reset leaves its topic, and so do those of a connection that is gone.
    streams.pop();
    eventually("one has left", || broker.stats(&topic).is_some_and(|stats| stats.subscribers == STREAMS - 1));
    drop((streams, client));
    eventually("all have left", || broker.stats(&topic).is_some_and(|stats| stats.subscribers == 0));
}
