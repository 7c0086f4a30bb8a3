//! Tests with slow readers, small socket buffers and paused connections.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use super::harness::*;
use crate::net::{EngineOptions, Wait};

for_each_engine! {
    short_sends_keep_every_byte_in_order,
    a_connection_that_pauses_at_its_outbox_limit_loses_nothing,
    a_paused_connection_gets_few_bytes_and_the_rest_after_it_resumes,
    an_idle_connection_holds_no_send_buffer,
}

fn short_sends_keep_every_byte_in_order<E: TestEngine>() {
    const BYTES: usize = 4 << 20;
    let mut shard =
        Shard::<E>::new(Script { greet_bytes: BYTES, ..Script::echo() }, &EngineOptions::default());
    let address = shard.listen_on(narrow_listener(4096));
    let back = shard.serve(|| {
        let mut stream = connect_narrow(address, 4096);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::with_capacity(BYTES);
        stream.read_to_end(&mut back).unwrap();
        back
    });
    assert!(back == pattern(BYTES), "{} bytes arrived, or wrong bytes", back.len());
    assert_eq!(shard.handler.sent, BYTES);
    assert_eq!(
        shard.handler.buffers_sent,
        BYTES.div_ceil(PIECE_BYTES) / 3,
        "lent buffers that were returned"
    );
    // A send takes 16 segments. More sends than that requires mean that some were short.
    let gathers = BYTES.div_ceil(16 * PIECE_BYTES);
    assert!(shard.handler.sends >= 2 * gathers, "only {} sends", shard.handler.sends);
}

fn a_connection_that_pauses_at_its_outbox_limit_loses_nothing<E: TestEngine>() {
    let script = Script { read_limit: Some(10_000), ..Script::echo() };
    let options = EngineOptions { buffers: 64, ..EngineOptions::default() };
    let mut shard = Shard::<E>::new(script, &options);
    let address = shard.listen_on(narrow_listener(4096));
    shard.serve(|| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || assert!(echoes(&mut connect_narrow(address, 8192), &pattern(1 << 20))));
            }
        });
    });
}

fn a_paused_connection_gets_few_bytes_and_the_rest_after_it_resumes<E: TestEngine>() {
    const BYTES: usize = 8 << 20;
    let mut shard =
        Shard::<E>::new(Script::default(), &EngineOptions { buffers: 32, ..EngineOptions::default() });
    let address = shard.listen();
    let mut stream = connect(address);
    shard.until("open", |shard| shard.connections() == 1);
    let id = shard.handler.opened[0];
    assert!(shard.visit(id, |conn| conn.paused = true));
    shard.turn(Wait::Poll);

    let writer = std::thread::spawn(move || {
        stream.write_all(&pattern(BYTES)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    });
    // The limit is twice the size of all buffers: bytes in transit, and bytes until the cancellation.
    let overrun = 2 * 32 * 4096;
    shard.until("the pause", |shard| !shard.engine.reads(id));
    let quiet = Instant::now() + Duration::from_millis(50);
    let mut turns = 0;
    while Instant::now() < quiet {
        shard.turn(Wait::Until(quiet));
        turns += 1;
    }
    assert!(shard.handler.received <= overrun, "{}", shard.handler.received);
    assert!(turns < 200, "{turns} turns in 50 ms: the engine spins");

    for paused in [false, true, false, true, false] {
        let before = shard.handler.received;
        assert!(shard.visit(id, |conn| conn.paused = paused));
        if !paused {
            shard.until("bytes", |shard| shard.handler.received > before);
        }
    }
    shard.until("all bytes", |shard| shard.handler.received == BYTES);
    shard.visit(id, |conn| conn.ending = crate::net::Ending::Finish);
    shard.until("closed", |shard| shard.connections() == 0);
    writer.join().unwrap();
}

fn an_idle_connection_holds_no_send_buffer<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    let mut stream = connect(address);
    assert!(shard.serve(|| echoes(&mut stream, &pattern(100))));
    shard.until("the send's completion", |shard| shard.handler.sent == 100);
    let id = shard.handler.opened[0];
    shard.turn(Wait::Poll);
    assert!(!shard.engine.holds_a_buffer(id));
}
