//! Counts allocations per event that reaches idle streams of an HTTP/2 connection: no more with more streams.
//!
//! This is a separate test binary because it replaces the global allocator.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used)]

mod counting;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use windlass::{
    Router, Server, Timeouts, TopicAccess,
    actors::Cores,
    broker::{Broker, BrokerSettings, Event, TopicName},
    topic_routes,
};

const EVENTS: u64 = 200;
const TIMEOUT: Duration = Duration::from_secs(10);

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// Subscribes on this many streams of one connection, with the largest windows.
fn subscribe(server: &Server, streams: u32) -> TcpStream {
    let mut socket = TcpStream::connect(server.tcp_address().unwrap()).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, 4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    frame(&mut bytes, 8, 0, 0, &[0x7f, 0xff, 0, 0]);
    for stream in 0..streams {
        let block = b"\x82\x86\x04\x09/topics/t\x01\x01t";
        frame(&mut bytes, 1, 5, 2 * stream + 1, block);
    }
    socket.write_all(&bytes).unwrap();
    socket
}

/// Reads until this many events have come. Allocates nothing.
fn read_events(socket: &mut TcpStream, mut events: u64) {
    let (mut buffer, mut end) = ([0; 4096], 0);
    while events > 0 {
        end += socket.read(&mut buffer[end..]).unwrap();
        // Each event ends with `data: x`; the end of the buffer may hold a part of it.
        events -= buffer[..end].windows(9).filter(|part| *part == b"data: x\n\n").count() as u64;
        let kept = end.min(8);
        let ends_with_event = buffer[..end].ends_with(b"data: x\n\n");
        buffer.copy_within(end - kept..end, 0);
        end = if ends_with_event { 0 } else { kept };
    }
}

/// Counts the allocations of `EVENTS` events to this many streams, after a warm-up.
fn allocations(server: &Server, broker: &Broker, streams: u32) -> u64 {
    let topic: TopicName = "t".parse().unwrap();
    let mut socket = subscribe(server, streams);
    let until = Instant::now() + TIMEOUT;
    while broker.stats(&topic).is_none_or(|stats| stats.subscribers != streams as usize) {
        assert!(Instant::now() < until, "the streams did not subscribe in time");
        std::thread::yield_now();
    }
    let mut publish = || {
        pollster::block_on(broker.publish(&topic, Event::new("x"))).unwrap();
        read_events(&mut socket, u64::from(streams));
    };
    (0..50).for_each(|_| publish());
    let direct = broker.stats(&topic).unwrap().direct;
    let before = counting::allocations();
    (0..EVENTS).for_each(|_| publish());
    let allocations = counting::allocations() - before;
    let direct = broker.stats(&topic).unwrap().direct - direct;
    assert!(direct * 10 > EVENTS * u64::from(streams) * 9, "{direct} of the events went directly");
    drop(socket);
    while broker.stats(&topic).is_some_and(|stats| stats.subscribers > 0) {
        std::thread::yield_now();
    }
    allocations
}

#[test]
fn allocations_per_event_do_not_grow_with_streams() {
    let mut settings = BrokerSettings::default();
    settings.heartbeat = None;
    let broker = Broker::new(settings).unwrap();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    let builder = Server::builder().listen("127.0.0.1:0").cores(Cores::Unpinned(1));
    // A busy machine must not have streams refused.
    let mut timeouts = Timeouts::default();
    (timeouts.shed_async, timeouts.shed_all) = (None, None);
    let server = builder.timeouts(timeouts).router(router).broker(&broker).start().unwrap();
    let [few, many] = [10, 90].map(|streams| allocations(&server, &broker, streams));
    // The store, the shared encoding, the event around it and the message to the relay.
    assert!(few <= EVENTS * 12 && many <= few + EVENTS, "{few} for 10 streams, {many} for 90 streams");
}
