//! What only this engine can get wrong: edges that are told once, one buffer for all, sends that block nobody.

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
        self.slots.find(id).unwrap().wants_bytes()
    }

    fn sends(&mut self, id: ConnId) -> bool {
        !self.slots.find(id).unwrap().writable
    }

    fn holds_a_buffer(&mut self, id: ConnId) -> bool {
        let conn = self.slots.find(id).unwrap();
        !conn.flight.is_empty() || !conn.link.outbox().lacks_buffer()
    }
}

type Shard = harness::Shard<Epoll<TestConn>>;

/// A read takes 16 KiB at most, a turn 64 KiB.
fn small() -> EngineOptions {
    EngineOptions { buffers: 64, buffer_bytes: 1024, ..EngineOptions::default() }
}

#[test]
fn one_that_floods_takes_its_share_of_a_turn_and_no_more() {
    let mut shard = Shard::new(Script::default(), &small());
    let address = shard.listen();
    let (mut flood, mut quiet) = (connect(address), connect(address));
    shard.until("both open", |shard| shard.connections() == 2);
    let (loud_id, quiet_id) = (shard.handler.opened[0], shard.handler.opened[1]);
    shard.visit(loud_id, |conn| conn.paused = true);
    shard.turn(Wait::Poll);
    // More than 16 reads of it are there before the other says a word.
    let sender = std::thread::spawn(move || flood.write_all(&pattern(1 << 20)).map(|()| flood).unwrap());
    shard.until("the flood", |shard| {
        let conn = shard.engine.slots.find(loud_id).unwrap();
        rustix::io::ioctl_fionread(&conn.fd).unwrap() > 64 * 1024
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
        assert!(received[0] - before[0] <= 16 * 1024, "{} bytes of one in a turn", received[0] - before[0]);
        assert!(turns <= 3, "it waits for one that floods");
    }
    assert!(received[0] > 0 && shard.pending(), "nothing flooded: nothing was tested");
    shard.until("all", |shard| shard.handler.received == (1 << 20) + 6);
    drop(sender.join().unwrap());
}

#[test]
fn bytes_and_fin_that_came_together_are_both_told_also_after_a_pause() {
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
        shard.until("bytes and FIN", |shard| shard.engine.slots.find(id).unwrap().hung_up);
        assert_eq!(shard.handler.received, 0);
        // No edge comes any more: what was told must have been remembered.
        shard.visit(id, |conn| conn.paused = false);
        shard.until("closed", |shard| shard.connections() == 0);
        assert_eq!((shard.handler.received, shard.handler.ended), (bytes, 1));
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == pattern(bytes));
    }
}

#[test]
fn a_reset_reaches_a_connection_that_is_paused_or_had_its_fin() {
    for had_fin in [false, true] {
        let mut shard = Shard::new(Script::default(), &EngineOptions::default());
        let address = shard.listen();
        let mut stream = connect(address);
        stream.write_all(b"something to do for long").unwrap();
        shard.until("the bytes", |shard| shard.handler.received > 0);
        let id = shard.handler.opened[0];
        if had_fin {
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
fn a_request_on_a_live_connection_costs_one_turn_and_nothing_is_left_pending() {
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
fn an_endless_answer_does_not_keep_others_waiting() {
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
fn finishing_reads_on_until_the_linger_limit_although_the_carrier_is_paused() {
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
fn a_deadline_is_met_within_two_milliseconds_where_the_machine_has_time() {
    let mut shard = Shard::new(Script::echo(), &EngineOptions::default());
    let mut late: Vec<Duration> = Vec::new();
    for micros in (0..40).map(|step| 500 + 137 * step) {
        let deadline = Instant::now() + Duration::from_micros(micros);
        let mut turns = 0;
        while Instant::now() < deadline {
            shard.turn(Wait::Until(deadline));
            turns += 1;
        }
        assert!(turns <= 2, "{turns} turns for one deadline: it spins");
        late.push(deadline.elapsed());
    }
    late.sort();
    // The better quarter, because the machine may be busy.
    assert!(late[late.len() / 4] < Duration::from_millis(2), "{late:?}");
}
