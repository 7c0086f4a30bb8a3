//! Tests of the epoll engine alone: edges that are reported once, the shared buffer, partial sends.

use std::{
    io::{Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};

use super::Epoll;
use crate::net::{
    Closed, ConnId, Connection, Ending, EngineOptions, Wait,
    tests::harness::{self, Script, TestConn, TestEngine, connect, echoes, pattern, reset_on_close},
};

impl TestEngine for Epoll<TestConn> {
    const MODULE: &'static str = "on_epoll";

    fn reads(&mut self, id: ConnId) -> bool {
        self.sockets.get_mut(id).unwrap().wants_bytes()
    }

    fn sends(&mut self, id: ConnId) -> bool {
        !self.sockets.get_mut(id).unwrap().io.writable
    }

    fn holds_a_buffer(&mut self, id: ConnId) -> bool {
        let socket = self.sockets.get_mut(id).unwrap();
        !socket.io.outgoing.is_empty() || !socket.conn.outbox().lacks_buffer()
    }
}

type Shard = harness::Shard<Epoll<TestConn>>;

/// Options with which one read takes up to 8 KiB and a turn about 64 KiB.
fn small() -> EngineOptions {
    EngineOptions { buffers: 64, buffer_bytes: 1024, ..EngineOptions::default() }
}

#[test]
fn a_flooding_connection_takes_only_its_share_of_a_turn() {
    let mut shard = Shard::new(Script::default(), &small());
    let address = shard.listen();
    let (mut flood, mut quiet) = (connect(address), connect(address));
    shard.until("both open", |shard| shard.connections() == 2);
    let (loud_id, quiet_id) = (shard.handler.opened[0], shard.handler.opened[1]);
    shard.visit(loud_id, |conn| conn.paused = true);
    shard.turn(Wait::Poll);
    // The flood holds more than a turn's share before the quiet connection sends anything.
    let sender = std::thread::spawn(move || flood.write_all(&pattern(1 << 20)).map(|()| flood).unwrap());
    shard.until("the flood", |shard| {
        let socket = shard.engine.sockets.get_mut(loud_id).unwrap();
        rustix::io::ioctl_fionread(&socket.fd).unwrap() > 64 * 1024
    });
    quiet.write_all(b"a word").unwrap();
    shard.visit(loud_id, |conn| conn.paused = false);
    let mut turns = 0;
    let mut received = [0, 0];
    while received[1] == 0 {
        shard.turn(Wait::Poll);
        turns += 1;
        let before = received;
        for (sum, id) in received.iter_mut().zip([loud_id, quiet_id]) {
            shard.visit(id, |conn| *sum = conn.received);
        }
        assert!(
            received[0] - before[0] <= 16 * 1024,
            "{} bytes of one connection in a turn",
            received[0] - before[0]
        );
        assert!(turns <= 3, "the quiet connection waits for the flood");
    }
    assert!(received[0] > 0 && shard.pending(), "there was no flood: nothing was tested");
    shard.until("all", |shard| shard.handler.received == (1 << 20) + 6);
    drop(sender.join().unwrap());
}

#[test]
fn bytes_and_fin_that_arrive_together_are_both_reported_even_after_a_pause() {
    for bytes in [1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 50_000] {
        let mut shard = Shard::new(Script::echo(), &small());
        let address = shard.listen();
        let mut stream = connect(address);
        shard.until("open", |shard| shard.connections() == 1);
        let id = shard.handler.opened[0];
        shard.visit(id, |conn| conn.paused = true);
        shard.turn(Wait::Poll);
        stream.write_all(&pattern(bytes)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        shard.until("bytes and FIN", |shard| shard.engine.sockets.get_mut(id).unwrap().io.hung_up);
        assert_eq!(shard.handler.received, 0);
        // There are no more edges, so the engine must remember the last one.
        shard.visit(id, |conn| conn.paused = false);
        shard.until("closed", |shard| shard.connections() == 0);
        assert_eq!((shard.handler.received, shard.handler.ended), (bytes, 1));
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == pattern(bytes));
    }
}

#[test]
fn a_reset_reaches_a_connection_that_is_paused_or_half_closed() {
    for half_closed in [false, true] {
        let mut shard = Shard::new(Script::default(), &EngineOptions::default());
        let address = shard.listen();
        let mut stream = connect(address);
        stream.write_all(b"a request that takes long").unwrap();
        shard.until("the bytes", |shard| shard.handler.received > 0);
        let id = shard.handler.opened[0];
        if half_closed {
            stream.shutdown(Shutdown::Write).unwrap();
            shard.until("the FIN", |shard| shard.handler.ended == 1);
        } else {
            shard.visit(id, |conn| conn.paused = true);
            shard.turn(Wait::Poll);
            stream.write_all(b"never read").unwrap();
        }
        reset_on_close(&stream);
        drop(stream);
        shard.until("closed", |shard| shard.connections() == 0);
        assert!(matches!(shard.handler.closed[&id], Closed::Failed(_)), "{:?}", shard.handler.closed);
    }
}

#[test]
fn a_request_on_an_open_connection_takes_one_turn_and_leaves_nothing_pending() {
    let mut shard = Shard::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    let mut stream = connect(address);
    assert!(shard.serve(|| echoes(&mut stream, b"warm")));
    shard.turn(Wait::Poll);
    for _ in 0..20 {
        stream.write_all(b"request").unwrap();
        shard.turn(Wait::Forever);
        let mut back = [0; 7];
        stream.read_exact(&mut back).unwrap();
        assert!(!shard.pending());
    }
}

#[test]
fn a_long_reply_does_not_delay_other_connections() {
    let mut shard = Shard::new(Script { greet_bytes: 32 << 20, ..Script::echo() }, &EngineOptions::default());
    let address = shard.listen();
    let mut greedy = connect(address);
    shard.until("open", |shard| shard.connections() == 1);
    shard.handler.script.greet_bytes = 0;
    let reader = std::thread::spawn(move || {
        greedy.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        greedy.read_to_end(&mut back).unwrap();
        back.len()
    });
    assert!(shard.serve(|| (0..20).all(|_| echoes(&mut connect(address), b"me too"))));
    shard.until("closed", |shard| shard.connections() == 0);
    assert_eq!(reader.join().unwrap(), 32 << 20);
}

#[test]
fn finishing_reads_up_to_the_linger_limit_even_if_the_connection_is_paused() {
    let mut shard = Shard::new(Script::default(), &EngineOptions { linger_bytes: 100_000, ..small() });
    let address = shard.listen();
    let mut stream = connect(address);
    shard.until("open", |shard| shard.connections() == 1);
    let id = shard.handler.opened[0];
    shard.visit(id, |conn| conn.paused = true);
    shard.turn(Wait::Poll);
    stream.write_all(&pattern(90_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    shard.visit(id, |conn| conn.ending = Ending::Finish);
    shard.until("closed", |shard| shard.connections() == 0);
    assert!(matches!(shard.handler.closed[&id], Closed::Finished));
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(shard.handler.received, 0);
}

#[test]
fn a_deadline_takes_at_most_two_turns() {
    let mut shard = Shard::new(Script::echo(), &EngineOptions::default());
    for micros in (0..40).map(|step| 500 + 137 * step) {
        let deadline = Instant::now() + Duration::from_micros(micros);
        let mut turns = 0;
        while Instant::now() < deadline {
            shard.turn(Wait::Until(deadline));
            turns += 1;
        }
        assert!(turns <= 2, "{turns} turns for one deadline: the engine spins");
    }
}
