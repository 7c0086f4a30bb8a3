//! Tests of accepting: its limits, failures and end.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::harness::*;
use crate::net::{EngineOptions, Wait};

for_each_engine! {
    at_the_connection_limit_new_connections_wait_until_one_closes,
    without_descriptors_accepting_backs_off_and_recovers,
    stopping_serves_the_backlog_and_then_refuses,
    stopping_an_unused_engine_does_not_wait,
    a_turn_opens_a_bounded_number_of_connections,
}

fn at_the_connection_limit_new_connections_wait_until_one_closes<E: TestEngine>() {
    for limit in [1, 4, 9] {
        let options = EngineOptions { max_connections: limit, ..EngineOptions::default() };
        let mut shard = Shard::<E>::new(Script::echo(), &options);
        let address = shard.listen();
        let mut peers: Vec<_> = (0..40).map(|_| connect(address)).collect();
        shard.until("the limit", |shard| shard.connections() == limit);
        let quiet = Instant::now() + Duration::from_millis(50);
        while Instant::now() < quiet {
            shard.turn(Wait::Until(quiet));
            assert_eq!(shard.connections(), limit);
            assert!(!shard.pending(), "the engine would spin");
        }
        // Connections are served in order. Each one that closes makes room for the next.
        while !peers.is_empty() {
            let mut peer = peers.remove(0);
            assert!(shard.serve(|| echoes(&mut peer, b"hello")));
            assert!(shard.connections() <= limit);
        }
        shard.until("all closed", |shard| shard.connections() == 0);
        assert_eq!(shard.handler.opened.len(), 40);
    }
}

fn without_descriptors_accepting_backs_off_and_recovers<E: TestEngine>() {
    if !alone::<E>("accepting", "without_descriptors_accepting_backs_off_and_recovers") {
        return;
    }
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    let mut peers: Vec<_> = (0..3).map(|_| connect(address)).collect();
    let room = open_fds() as u64 - 1;
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(room), maximum: before.maximum }).unwrap();
    shard.until("the failure", |shard| shard.handler.accept_errors.len() >= 2);
    assert!(shard.handler.accept_errors.iter().all(|&errno| errno == libc::EMFILE));

    // The pauses double from 10 ms. So there are at most 5 failures, and few turns, in the next 300 ms.
    let (failures, quiet) = (shard.handler.accept_errors.len(), Instant::now() + Duration::from_millis(300));
    let mut turns = 0;
    while Instant::now() < quiet {
        shard.turn(Wait::Until(quiet));
        turns += 1;
    }
    assert!(shard.handler.accept_errors.len() - failures <= 5);
    assert!(turns < 40, "{turns} turns in 300 ms: the engine spins");

    setrlimit(Resource::Nofile, before).unwrap();
    for peer in &mut peers {
        assert!(shard.serve(|| echoes(peer, b"at last")));
    }
}

fn stopping_serves_the_backlog_and_then_refuses<E: TestEngine>() {
    let mut shard =
        Shard::<E>::new(Script::echo(), &EngineOptions { accepts_per_turn: 3, ..EngineOptions::default() });
    let address = shard.listen();
    shard.turn(Wait::Poll);
    let mut peers: Vec<TcpStream> = (0..50).map(|_| connect(address)).collect();
    for peer in &mut peers {
        peer.write_all(b"before the stop").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
    }
    shard.engine.stop_accepting(&mut shard.handler);
    shard.until("idle", |shard| shard.is_idle());
    assert_eq!(shard.handler.opened.len(), 50);
    for peer in &mut peers {
        let mut back = String::new();
        peer.read_to_string(&mut back).unwrap();
        assert_eq!(back, "before the stop");
    }
    assert!(TcpStream::connect(address).is_err(), "the engine still listens");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(shard.engine.listen(listener.into()).is_err());
}

fn a_turn_opens_a_bounded_number_of_connections<E: TestEngine>() {
    let mut shard =
        Shard::<E>::new(Script::echo(), &EngineOptions { accepts_per_turn: 2, ..EngineOptions::default() });
    let address = shard.listen();
    let _peers: Vec<_> = (0..9).map(|_| connect(address)).collect();
    let mut before = 0;
    shard.until("all open", |shard| {
        let opened = shard.connections();
        assert!(opened - before <= 2);
        before = opened;
        opened == 9
    });
}

fn stopping_an_unused_engine_does_not_wait<E: TestEngine>() {
    for abort in [false, true] {
        let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
        let address = shard.listen();
        let peer = connect(address);
        shard.until("open", |shard| shard.connections() == 1);
        if abort {
            shard.engine.abort_all(&mut shard.handler);
        } else {
            drop(peer);
            shard.until("closed", |shard| shard.connections() == 0);
            shard.engine.stop_accepting(&mut shard.handler);
        }
        // Like a shard, the test checks after each turn whether the engine is idle.
        let start = Instant::now();
        loop {
            shard.turn(Wait::Until(start + PATIENCE));
            if shard.is_idle() {
                break;
            }
        }
        assert!(start.elapsed() < PATIENCE / 2, "the engine waited although it was idle");
    }
}
