//! Tests of peers that always have more to send than the engine can take.

use std::{
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use super::harness::*;
use crate::net::{ConnId, EngineOptions, Wait};

for_each_engine! {
    peers_that_never_stop_sending_get_equal_shares,
    a_newcomer_gets_its_turn_among_peers_that_never_stop_sending,
    catching_up_reads_a_connection_that_waits_for_a_buffer,
}

const PEERS: usize = 40;

/// Few buffers of either kind. The second kind falls back to the first where the kernel lacks it.
fn few_buffers() -> [EngineOptions; 2] {
    [false, true].map(|incremental_buffers| EngineOptions {
        buffers: 4,
        incremental_buffers,
        batch: 32,
        ..EngineOptions::default()
    })
}

/// Listens with receive buffers of a fixed size, so that the kernel always holds more than one receive takes.
fn listen<E: TestEngine>(shard: &mut Shard<E>) -> SocketAddr {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(1 << 20).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(64).unwrap();
    shard.listen_on(listener)
}

/// Peers that never stop sending: before each turn all their sockets are full.
struct Crowd {
    peers: Vec<TcpStream>,
    chunk: Vec<u8>,
}

impl Crowd {
    fn new<E: TestEngine>(shard: &mut Shard<E>, address: SocketAddr) -> Self {
        let mut peers = Vec::new();
        while peers.len() < PEERS {
            let peer = connect(address);
            peer.set_nonblocking(true).unwrap();
            peers.push(peer);
            shard.until("the connection is open", |shard| shard.connections() == peers.len());
        }
        Self { peers, chunk: pattern(64 * 1024) }
    }

    fn fill(&mut self) {
        for peer in &mut self.peers {
            loop {
                match peer.write(&self.chunk) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn turns<E: TestEngine>(&mut self, shard: &mut Shard<E>, turns: usize) {
        for _ in 0..turns {
            self.fill();
            shard.turn(Wait::Poll);
        }
    }
}

fn received<E: TestEngine>(shard: &mut Shard<E>) -> Vec<usize> {
    let opened = shard.handler.opened.clone();
    let count = |id: ConnId| {
        let mut received = 0;
        assert!(shard.visit(id, |conn| received = conn.received));
        received
    };
    opened.into_iter().map(count).collect()
}

fn peers_that_never_stop_sending_get_equal_shares<E: TestEngine>() {
    for options in few_buffers() {
        let mut shard = Shard::<E>::new(Script::default(), &options);
        let address = listen(&mut shard);
        let mut crowd = Crowd::new(&mut shard, address);
        // The receives from the time before anybody starved take what they can.
        crowd.turns(&mut shard, PEERS);
        let before = received(&mut shard);
        crowd.turns(&mut shard, 20 * PEERS);
        let shares: Vec<_> = received(&mut shard).iter().zip(before).map(|(now, then)| now - then).collect();
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(*least * 10 >= *most * 8, "{options:?}: between {least} and {most} bytes each");
    }
}

fn a_newcomer_gets_its_turn_among_peers_that_never_stop_sending<E: TestEngine>() {
    for options in few_buffers() {
        let mut shard = Shard::<E>::new(Script::default(), &options);
        let address = listen(&mut shard);
        let mut crowd = Crowd::new(&mut shard, address);
        crowd.turns(&mut shard, PEERS);
        for _ in 0..3 {
            let count = shard.connections();
            let mut newcomer = connect(address);
            newcomer.write_all(b"hello").unwrap();
            let mut turns = 0;
            loop {
                crowd.turns(&mut shard, 1);
                turns += 1;
                if shard.connections() > count && received(&mut shard)[count] == 5 {
                    break;
                }
                assert!(turns < 3 * PEERS, "{options:?}: no byte after {turns} turns");
            }
            newcomer.set_nonblocking(true).unwrap();
            crowd.peers.push(newcomer);
        }
    }
}

fn catching_up_reads_a_connection_that_waits_for_a_buffer<E: TestEngine>() {
    for options in few_buffers() {
        let mut shard = Shard::<E>::new(Script::default(), &options);
        let address = listen(&mut shard);
        let mut crowd = Crowd::new(&mut shard, address);
        crowd.turns(&mut shard, PEERS);
        for index in 0..PEERS {
            crowd.fill();
            let id = shard.handler.opened[index];
            let before = received(&mut shard)[index];
            assert!(shard.engine.catch_up(&mut shard.handler, id).unwrap());
            assert!(received(&mut shard)[index] > before, "the kernel holds bytes of connection {index}");
        }
    }
}

#[cfg(feature = "io-uring")]
#[test]
fn the_wait_for_a_buffer_is_reported_until_it_is_over() {
    use crate::net::{Engine, ring::Ring};
    for options in few_buffers() {
        let mut shard = Shard::<Ring<TestConn>>::new(Script::default(), &options);
        let address = listen(&mut shard);
        let mut crowd = Crowd::new(&mut shard, address);
        let waits = |shard: &Shard<Ring<TestConn>>| Engine::<TestCarrier>::starved_for(&shard.engine);
        assert!(waits(&shard).is_zero());
        crowd.turns(&mut shard, PEERS);
        assert!(!waits(&shard).is_zero(), "{options:?}");
        shard.until("everything is read", |shard| waits(shard).is_zero());
    }
}
