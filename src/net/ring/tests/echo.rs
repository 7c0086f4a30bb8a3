//! Every byte comes back, whatever the connections do.

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use super::harness::*;
use crate::net::{
    ConnId, EngineOptions,
    ring::queues::{Completion, Sizes},
};

#[test]
fn a_storm_of_connections_loses_no_byte_and_no_descriptor() {
    if !alone("echo::a_storm_of_connections_loses_no_byte_and_no_descriptor") {
        return;
    }
    let base = open_fds();
    let mut shard = Shard::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    let with_ring = open_fds();
    shard.serve(|| {
        std::thread::scope(|scope| {
            for worker in 0..8 {
                scope.spawn(move || {
                    for round in 0..40 {
                        let mut stream = connect(address);
                        let bytes = pattern(1 + (worker * 977 + round * 331) % 20_000);
                        assert!(echoes(&mut stream, &bytes));
                        if round % 3 == 0 {
                            reset_on_close(&stream);
                        }
                    }
                });
            }
        });
    });
    shard.until("all closed", |shard| shard.connections() == 0);
    assert_eq!(shard.carrier.opened.len(), 8 * 40);
    assert_eq!(shard.carrier.closed.len(), 8 * 40);
    assert!(shard.carrier.opened.iter().any(|id| id.generation > 3), "slots were not reused");
    assert_eq!(open_fds(), with_ring);
    drop(shard);
    assert_eq!(open_fds(), base);
}

#[test]
fn after_the_peers_fin_everything_is_still_sent() {
    let mut shard = Shard::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    let bytes = pattern(300_000);
    let back = shard.serve(|| {
        let mut stream = connect(address);
        let mut writer = stream.try_clone().unwrap();
        let bytes = bytes.clone();
        let sender = std::thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        sender.join().unwrap();
        back
    });
    assert_eq!(back, bytes);
    assert_eq!(shard.carrier.ended, 1);
}

#[test]
fn connections_that_reset_at_once_do_not_disturb_their_successors() {
    let mut shard = Shard::new(Script::echo(), &EngineOptions::default());
    let address = shard.listen();
    shard.serve(|| {
        for round in 0..200 {
            let mut doomed = connect(address);
            reset_on_close(&doomed);
            // It may be gone before all of this is sent.
            let _ = doomed.write_all(&pattern(round * 97));
            drop(doomed);
            if round % 10 == 0 {
                assert!(echoes(&mut connect(address), &pattern(5_000 + round)));
            }
        }
    });
    shard.until("all closed", |shard| shard.connections() == 0);
}

#[test]
fn a_late_completion_of_an_earlier_generation_changes_nothing_and_returns_its_buffer() {
    let options = EngineOptions { buffers: 2, buffer_bytes: 256, ..EngineOptions::default() };
    let mut shard = Shard::new(Script::echo(), &options);
    let address = shard.listen();
    shard.serve(|| drop(connect(address)));
    shard.until("closed", |shard| shard.carrier.closed.len() == 1);
    let past = shard.carrier.opened[0];

    let mut stream = connect(address);
    shard.until("open", |shard| shard.connections() == 1);
    let live = *shard.carrier.opened.last().unwrap();
    assert_eq!((live.slot, live.generation), (past.slot, past.generation + 1));
    // As if buffer 0 had been filled for the connection of the past; then its end, a failure, and a send.
    let buffer_0_more = 0b11;
    for (result, flags) in [(9, buffer_0_more), (0, 0), (-libc::ECONNRESET, 0)] {
        let late = Completion { user_data: 0, result, flags };
        shard.ring.received(&mut shard.carrier, past, late);
        shard.ring.sent(&mut shard.carrier, past, late);
        assert_eq!(shard.ring.buffers.claimed(), usize::from(flags != 0));
        shard.ring.buffers.forget_claims();
    }
    assert_eq!(shard.carrier.received, 0);
    assert_eq!(shard.carrier.sent, 0);
    assert_eq!(shard.connections(), 1);
    assert!(!shard.visit(past, |_| panic!("it is gone")));
    assert!(!shard.visit(ConnId { slot: 77, generation: 0 }, |_| panic!("it never was")));
    assert!(shard.serve(|| echoes(&mut stream, &pattern(3_000))));
}

#[test]
fn two_buffers_serve_many_connections_without_losing_a_byte() {
    let options = EngineOptions { buffers: 2, buffer_bytes: 700, batch: 8, ..EngineOptions::default() };
    let mut shard = Shard::new(Script::echo(), &options);
    let address = shard.listen();
    shard.serve(|| {
        std::thread::scope(|scope| {
            for worker in 0..16 {
                scope.spawn(move || assert!(echoes(&mut connect(address), &pattern(100_000 + worker * 1013))));
            }
        });
    });
    assert!(shard.ring.starvations() > 0, "the buffers sufficed: nothing was tested");
}

#[test]
fn queues_that_overflow_all_the_time_lose_nothing() {
    let sizes = Sizes { submissions: 2, completions: 4 };
    let options = EngineOptions { buffers: 256, buffer_bytes: 512, ..EngineOptions::default() };
    let mut shard = Shard::with_queues(Script::echo(), &options, sizes);
    let address = shard.listen();
    shard.serve(|| {
        std::thread::scope(|scope| {
            for worker in 0..32 {
                scope.spawn(move || {
                    for round in 0..5 {
                        assert!(echoes(&mut connect(address), &pattern(30_000 + worker * 1013 + round)));
                    }
                });
            }
        });
    });
    shard.until("all closed", |shard| shard.connections() == 0);
}

#[test]
fn a_unix_socket_echoes() {
    use std::os::unix::net::{UnixListener, UnixStream};
    let path = std::env::temp_dir().join(format!("windlass-ring-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let mut shard = Shard::new(Script::echo(), &EngineOptions::default());
    crate::net::Engine::<TestCarrier>::listen(&mut shard.ring, listener.into()).unwrap();
    let back = shard.serve(|| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(&pattern(50_000)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        back
    });
    std::fs::remove_file(&path).unwrap();
    assert_eq!(back, pattern(50_000));
}
