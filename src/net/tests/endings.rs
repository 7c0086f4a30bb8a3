//! Finish, abort, linger, drop, panic.

use std::{
    io::{ErrorKind, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::harness::*;
use crate::net::{Closed, Connection, Ending, EngineOptions, Wait};

for_each_engine! {
    an_abort_in_the_middle_of_a_send_frees_the_slot_and_resets_the_peer,
    a_peer_that_resets_while_we_send_is_reported_as_failed,
    a_finished_connection_lets_a_peer_that_still_writes_read_the_answer,
    a_peer_that_writes_beyond_the_linger_limit_is_closed,
    a_closed_connection_sends_all_it_has_and_waits_for_nobody,
    a_close_delivers_its_last_bytes_though_others_were_not_read,
    aborting_all_closes_everything_and_leaves_the_engine_idle,
    dropping_an_engine_with_open_connections_closes_every_descriptor,
    a_panicking_carrier_costs_the_call_not_the_engine,
    an_engine_dropped_by_a_panic_closes_its_sockets,
}

fn an_abort_in_the_middle_of_a_send_frees_the_slot_and_resets_the_peer<E: TestEngine>() {
    let script = Script { greet_bytes: 16 << 20, ..Script::default() };
    let mut shard = Shard::<E>::new(script, &EngineOptions::default());
    let address = shard.listen_on(narrow_listener(4096));
    let mut stream = connect_narrow(address, 4096);
    shard.until("a first send", |shard| shard.handler.sends > 0);
    let id = shard.handler.opened[0];
    assert!(shard.engine.sends(id), "nothing is in flight: nothing is tested");
    assert!(shard.visit(id, |conn| conn.ending = Ending::Abort));
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed[&id], Closed::Aborted));
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn a_peer_that_resets_while_we_send_is_reported_as_failed<E: TestEngine>() {
    let script = Script { greet_bytes: 16 << 20, ..Script::default() };
    let mut shard = Shard::<E>::new(script, &EngineOptions::default());
    let address = shard.listen_on(narrow_listener(4096));
    let stream = connect_narrow(address, 4096);
    shard.until("a first send", |shard| shard.handler.sends > 0);
    reset_on_close(&stream);
    drop(stream);
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed.values().next(), Some(Closed::Failed(_))));
}

fn a_finished_connection_lets_a_peer_that_still_writes_read_the_answer<E: TestEngine>() {
    let script = Script { end_on_bytes: Ending::Finish, echo: true, ..Script::default() };
    let mut shard = Shard::<E>::new(script, &EngineOptions::default());
    let address = shard.listen();
    let back = shard.serve(|| {
        let mut stream = connect(address);
        stream.write_all(b"first").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        // It is shut on the other side; below the linger limit that is no reset.
        stream.write_all(&pattern(200_000)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        back
    });
    assert_eq!(&back, b"first");
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed.values().next(), Some(Closed::Finished)));
    assert_eq!(shard.handler.received, 5, "bytes after the finish went to the handler");
}

fn a_peer_that_writes_beyond_the_linger_limit_is_closed<E: TestEngine>() {
    let script = Script { end_on_bytes: Ending::Finish, ..Script::default() };
    let mut shard =
        Shard::<E>::new(script, &EngineOptions { linger_bytes: 10_000, ..EngineOptions::default() });
    let address = shard.listen();
    shard.serve(|| {
        let mut stream = connect(address);
        let bytes = pattern(64 * 1024);
        while stream.write_all(&bytes).is_ok() {}
    });
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed.values().next(), Some(Closed::Lingered)));
}

fn a_closed_connection_sends_all_it_has_and_waits_for_nobody<E: TestEngine>() {
    const BYTES: usize = 4 << 20;
    let script = Script { greet_bytes: BYTES, end_on_bytes: Ending::Close, ..Script::default() };
    let mut shard = Shard::<E>::new(script, &EngineOptions::default());
    let address = shard.listen_on(narrow_listener(4096));
    let mut stream = connect_narrow(address, 4096);
    shard.until("a first send", |shard| shard.handler.sends > 0);
    let all = shard.serve(|| {
        stream.write_all(b"x").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    assert!(all == pattern(BYTES), "{} bytes, or wrong ones", all.len());
    // The peer's own side is still open.
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed.values().next(), Some(Closed::Finished)));
    drop(stream);
}

fn a_close_delivers_its_last_bytes_though_others_were_not_read<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::default(), &EngineOptions::default());
    let address = shard.listen();
    let mut stream = connect(address);
    shard.until("open", |shard| shard.connections() == 1);
    let id = shard.handler.opened[0];
    shard.visit(id, |conn| conn.paused = true);
    // An engine may still take what comes first; what comes second stays in the kernel.
    for _ in 0..2 {
        stream.write_all(b"unwanted").unwrap();
        (0..20).for_each(|_| shard.turn(Wait::Poll));
    }
    shard.visit(id, |conn| {
        conn.outbox().buffer().extend_from_slice(b"answer");
        conn.ending = Ending::Close;
    });
    shard.until("closed", |shard| shard.connections() == 0);
    let mut back = [0; 6];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"answer");
}

fn aborting_all_closes_everything_and_leaves_the_engine_idle<E: TestEngine>() {
    let mut shard =
        Shard::<E>::new(Script { greet_bytes: 8 << 20, ..Script::echo() }, &EngineOptions::default());
    let address = shard.listen_on(narrow_listener(4096));
    let peers: Vec<_> = (0..20).map(|_| connect_narrow(address, 4096)).collect();
    shard.until("all open", |shard| shard.connections() == 20);
    shard.engine.abort_all(&mut shard.handler);
    shard.until("idle", |shard| shard.is_idle());
    assert_eq!(shard.handler.closed.len(), 20);
    assert!(shard.handler.closed.values().all(|why| matches!(why, Closed::Aborted)));
    assert!(std::net::TcpStream::connect(address).is_err(), "it still listens");
    drop(peers);
}

fn dropping_an_engine_with_open_connections_closes_every_descriptor<E: TestEngine>() {
    if !alone::<E>("endings", "dropping_an_engine_with_open_connections_closes_every_descriptor") {
        return;
    }
    let base = open_fds();
    let mut shard =
        Shard::<E>::new(Script { greet_bytes: 8 << 20, ..Script::echo() }, &EngineOptions::default());
    let address = shard.listen_on(narrow_listener(4096));
    let peers: Vec<_> = (0..30).map(|_| connect_narrow(address, 4096)).collect();
    shard.until("all open and sending", |shard| shard.connections() == 30 && shard.handler.sends >= 30);
    // Accepted by nobody yet.
    let late: Vec<_> = (0..10).map(|_| connect_narrow(address, 4096)).collect();
    drop(shard);
    for mut peer in peers.into_iter().chain(late) {
        let error = peer.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(open_fds(), base);
}

fn a_panicking_carrier_costs_the_call_not_the_engine<E: TestEngine>() {
    let mut shard =
        Shard::<E>::new(Script { panic_on_bytes: true, ..Script::echo() }, &EngineOptions::default());
    let address = shard.listen();
    let mut stream = connect(address);
    stream.write_all(b"boom").unwrap();
    shard.until("open", |shard| shard.connections() == 1);
    let caught = catch_unwind(AssertUnwindSafe(|| shard.until("the panic", |_| false)));
    assert!(caught.is_err());
    shard.handler.script.panic_on_bytes = false;
    assert!(shard.serve(|| echoes(&mut stream, &pattern(10_000))));
    assert!(shard.serve(|| echoes(&mut connect(address), &pattern(10_000))));
}

fn an_engine_dropped_by_a_panic_closes_its_sockets<E: TestEngine>() {
    let (address, announced) = std::sync::mpsc::channel();
    let shard = std::thread::spawn(move || {
        let mut shard =
            Shard::<E>::new(Script { panic_on_bytes: true, ..Script::echo() }, &EngineOptions::default());
        address.send(shard.listen()).unwrap();
        shard.until("the panic", |_| false);
    });
    let mut stream = connect(announced.recv().unwrap());
    stream.write_all(b"boom").unwrap();
    let mut rest = Vec::new();
    // A FIN or a reset, but an end.
    let end = stream.read_to_end(&mut rest);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(shard.join().is_err());
}
