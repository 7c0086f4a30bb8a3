//! Tests of the ways in which connections and engines end.

use std::{
    io::{ErrorKind, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::harness::*;
use crate::net::{Closed, Connection, Ending, EngineOptions, Wait};

for_each_engine! {
    an_abort_during_a_send_frees_the_slot_and_resets_the_peer,
    a_reset_during_a_send_is_reported_as_a_failure,
    a_peer_that_is_still_sending_can_read_the_reply_of_a_finished_connection,
    a_peer_that_sends_more_than_the_linger_limit_is_closed,
    a_closing_connection_sends_its_outbox_and_does_not_wait_for_the_peer,
    a_close_delivers_the_last_bytes_even_if_received_ones_are_unread,
    aborting_all_closes_everything_and_leaves_the_engine_idle,
    dropping_an_engine_with_open_connections_closes_every_descriptor,
    a_panic_of_the_handler_does_not_harm_the_engine,
    a_panic_that_drops_the_engine_closes_its_sockets,
}

fn an_abort_during_a_send_frees_the_slot_and_resets_the_peer<E: TestEngine>() {
    let script = Script { greet_bytes: 16 << 20, ..Script::default() };
    let mut shard = Shard::<E>::new(script, &EngineOptions::default());
    let address = shard.listen_on(narrow_listener(4096));
    let mut stream = connect_narrow(address, 4096);
    shard.until("a first send", |shard| shard.handler.sends > 0);
    let id = shard.handler.opened[0];
    assert!(shard.engine.sends(id), "no send is in flight: nothing is tested");
    assert!(shard.visit(id, |conn| conn.ending = Ending::Abort));
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed[&id], Closed::Aborted));
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn a_reset_during_a_send_is_reported_as_a_failure<E: TestEngine>() {
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

fn a_peer_that_is_still_sending_can_read_the_reply_of_a_finished_connection<E: TestEngine>() {
    let script = Script { end_on_bytes: Ending::Finish, echo: true, ..Script::default() };
    let mut shard = Shard::<E>::new(script, &EngineOptions::default());
    let address = shard.listen();
    let back = shard.serve(|| {
        let mut stream = connect(address);
        stream.write_all(b"first").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        // The server has shut down its side. Below the linger limit it does not reset the connection.
        stream.write_all(&pattern(200_000)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        back
    });
    assert_eq!(&back, b"first");
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed.values().next(), Some(Closed::Finished)));
    assert_eq!(shard.handler.received, 5, "the handler received bytes after the finish");
}

fn a_peer_that_sends_more_than_the_linger_limit_is_closed<E: TestEngine>() {
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

fn a_closing_connection_sends_its_outbox_and_does_not_wait_for_the_peer<E: TestEngine>() {
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
    assert!(all == pattern(BYTES), "received {} bytes, or wrong bytes", all.len());
    // The peer has not closed its side.
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed.values().next(), Some(Closed::Finished)));
    drop(stream);
}

fn a_close_delivers_the_last_bytes_even_if_received_ones_are_unread<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::default(), &EngineOptions::default());
    let address = shard.listen();
    let mut stream = connect(address);
    shard.until("open", |shard| shard.connections() == 1);
    let id = shard.handler.opened[0];
    shard.visit(id, |conn| conn.paused = true);
    // An engine may still read the first bytes. The second ones stay in the kernel.
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
    assert!(std::net::TcpStream::connect(address).is_err(), "the engine still listens");
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
    // These connections are not accepted yet.
    let late: Vec<_> = (0..10).map(|_| connect_narrow(address, 4096)).collect();
    drop(shard);
    for mut peer in peers.into_iter().chain(late) {
        let error = peer.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(open_fds(), base);
}

fn a_panic_of_the_handler_does_not_harm_the_engine<E: TestEngine>() {
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

fn a_panic_that_drops_the_engine_closes_its_sockets<E: TestEngine>() {
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
    // Both a FIN and a reset are acceptable.
    let end = stream.read_to_end(&mut rest);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(shard.join().is_err());
}
