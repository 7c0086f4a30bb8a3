//! Tests of catching up: before a peer is judged, the engine reads what the kernel holds.

use std::{
    io::{Read, Write},
    net::{Shutdown as Half, TcpStream},
    sync::mpsc,
};

use super::harness::*;
use crate::net::{ConnId, EngineOptions, Wait};

for_each_engine! {
    catching_up_reads_what_no_event_has_announced,
    catching_up_reads_bytes_that_a_pause_left_in_the_kernel,
    catching_up_sends_what_the_peer_has_room_for,
    catching_up_at_any_time_keeps_the_order_of_the_bytes,
}

/// Opens connections, and waits until the engine has nothing to do for them.
fn open<E: TestEngine>(shard: &mut Shard<E>, count: usize) -> (Vec<TcpStream>, Vec<ConnId>) {
    let address = shard.listen();
    let mut peers = Vec::new();
    while peers.len() < count {
        peers.push(connect(address));
        shard.until("the connection is open", |shard| shard.connections() == peers.len());
    }
    (0..20).for_each(|_| shard.turn(Wait::Poll));
    (peers, shard.handler.opened.clone())
}

fn received<E: TestEngine>(shard: &mut Shard<E>, id: ConnId) -> usize {
    let mut received = 0;
    assert!(shard.visit(id, |conn| received = conn.received));
    received
}

fn catching_up_reads_what_no_event_has_announced<E: TestEngine>() {
    // More than the kernel completes at once, and more than a turn handles.
    const PEERS: usize = 200;
    let options = EngineOptions { batch: 16, ..EngineOptions::default() };
    let mut shard = Shard::<E>::new(Script::default(), &options);
    let (mut peers, ids) = open(&mut shard, PEERS);
    for peer in &mut peers {
        peer.write_all(b"in time").unwrap();
        peer.shutdown(Half::Write).unwrap();
    }
    for &id in ids.iter().rev() {
        assert!(shard.engine.catch_up(&mut shard.handler, id).unwrap());
        assert_eq!(received(&mut shard, id), 7);
    }
    for &id in &ids {
        shard.engine.catch_up(&mut shard.handler, id).unwrap();
    }
    assert_eq!((shard.handler.received, shard.handler.ended), (PEERS * 7, PEERS), "each byte and FIN once");
}

fn catching_up_reads_bytes_that_a_pause_left_in_the_kernel<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::default(), &EngineOptions::default());
    let (mut peers, ids) = open(&mut shard, 1);
    let id = ids[0];
    shard.visit(id, |conn| conn.paused = true);
    for _ in 0..3 {
        peers[0].write_all(b"ten bytes.").unwrap();
        (0..20).for_each(|_| shard.turn(Wait::Poll));
    }
    assert!(shard.engine.catch_up(&mut shard.handler, id).unwrap());
    assert!(received(&mut shard, id) < 30, "the connection does not want to read");
    shard.visit(id, |conn| conn.paused = false);
    assert!(shard.engine.catch_up(&mut shard.handler, id).unwrap());
    assert_eq!(received(&mut shard, id), 30);
}

fn catching_up_sends_what_the_peer_has_room_for<E: TestEngine>() {
    let script = Script { greet_bytes: 4 << 20, ..Script::default() };
    let mut shard = Shard::<E>::new(script, &EngineOptions::default());
    let address = shard.listen_on(narrow_listener(4096));
    let mut peer = connect_narrow(address, 4096);
    shard.until("a first send", |shard| shard.handler.sends > 0);
    let id = shard.handler.opened[0];
    shard.until("the send is stuck", |shard| {
        let sent = shard.handler.sent;
        (0..50).for_each(|_| shard.turn(Wait::Poll));
        shard.handler.sent == sent
    });
    let before = shard.handler.sent;
    // All that was sent, so that the window opens.
    peer.read_exact(&mut vec![0; before]).unwrap();
    let mut rounds = 0;
    while shard.handler.sent == before && rounds < 1000 {
        // The peer's window update takes a moment, even on loopback.
        std::thread::yield_now();
        assert!(shard.engine.catch_up(&mut shard.handler, id).unwrap());
        rounds += 1;
    }
    assert!(shard.handler.sent > before, "the engine did not notice that the peer has read");
}

fn catching_up_at_any_time_keeps_the_order_of_the_bytes<E: TestEngine>() {
    for incremental_buffers in [false, true] {
        // Few buffers, so that some connections have no receive in the kernel.
        let options = EngineOptions {
            buffers: 2,
            buffer_bytes: 700,
            incremental_buffers,
            batch: 8,
            ..EngineOptions::default()
        };
        let mut shard = Shard::<E>::new(Script::echo(), &options);
        let address = shard.listen();
        let (done, is_done) = mpsc::channel();
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let done = done.clone();
                scope.spawn(move || {
                    assert!(echoes(&mut connect(address), &pattern(100_000 + worker * 1013)));
                    done.send(()).unwrap();
                });
            }
            drop(done);
            let mut left = 8;
            shard.until("the clients", |shard| {
                for id in shard.handler.opened.clone() {
                    shard.engine.catch_up(&mut shard.handler, id).unwrap();
                }
                left -= is_done.try_iter().count();
                left == 0
            });
        });
    }
}
