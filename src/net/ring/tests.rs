//! Tests of the io_uring engine alone: late completions, and a lack of buffers or queue entries.

use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::AsFd;

use super::{
    Ring,
    operations::Receive,
    queues::{Completion, Queues, Sizes},
};
use crate::net::{
    ConnId, Connection, EngineOptions, Wait,
    tests::harness::{self, Script, TestConn, TestEngine, connect, echoes, pattern},
};

impl TestEngine for Ring<TestConn> {
    const MODULE: &'static str = "on_ring";

    fn reads(&mut self, id: ConnId) -> bool {
        !matches!(self.sockets.get_mut(id).unwrap().io.receive, Receive::New | Receive::Idle)
    }

    fn sends(&mut self, id: ConnId) -> bool {
        self.sockets.get_mut(id).unwrap().io.sending
    }

    fn holds_a_buffer(&mut self, id: ConnId) -> bool {
        let socket = self.sockets.get_mut(id).unwrap();
        !socket.io.outgoing.is_empty() || !socket.conn.outbox().lacks_buffer()
    }
}

type Shard = harness::Shard<Ring<TestConn>>;

/// Creates a shard with very small queues.
fn with_queues(script: Script, options: &EngineOptions, sizes: Sizes) -> Shard {
    let doorbell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let ring = Ring::with_queues(Queues::with_sizes(sizes).unwrap(), options, doorbell.as_fd()).unwrap();
    Shard::with_engine(ring, script, doorbell)
}

#[test]
fn a_late_completion_of_an_earlier_generation_only_returns_its_buffer() {
    let options = EngineOptions {
        buffers: 2,
        buffer_bytes: 256,
        incremental_buffers: false,
        ..EngineOptions::default()
    };
    let mut shard = Shard::new(Script::echo(), &options);
    let address = shard.listen();
    shard.serve(|| drop(connect(address)));
    shard.until("closed", |shard| shard.handler.closed.len() == 1);
    let past = shard.handler.opened[0];

    let mut stream = connect(address);
    shard.until("open", |shard| shard.connections() == 1);
    let live = *shard.handler.opened.last().unwrap();
    assert_eq!((live.slot, live.generation), (past.slot, past.generation + 1));
    // Completions for the earlier connection: buffer 0 was filled, FIN was received, an operation failed.
    let buffer_0_more = 0b11;
    for (result, flags) in [(9, buffer_0_more), (0, 0), (-libc::ECONNRESET, 0)] {
        let late = Completion { user_data: 0, result, flags };
        shard.engine.received(&mut shard.handler, past, late);
        shard.engine.sent(&mut shard.handler, past, late);
        assert_eq!(shard.engine.buffers.unpublished(), usize::from(flags != 0));
        shard.engine.buffers.discard_unpublished();
    }
    assert_eq!(shard.handler.received, 0);
    assert_eq!(shard.handler.sent, 0);
    assert_eq!(shard.connections(), 1);
    assert!(!shard.visit(past, |_| panic!("the connection is gone")));
    assert!(!shard.visit(ConnId { slot: 77, generation: 0 }, |_| panic!("there is no such connection")));
    assert!(shard.serve(|| echoes(&mut stream, &pattern(3_000))));
}

#[test]
fn two_buffers_serve_many_connections_without_losing_a_byte() {
    for (incremental_buffers, buffer_bytes) in [(false, 700), (true, 22)] {
        two_buffers(&EngineOptions {
            buffers: 2,
            buffer_bytes,
            incremental_buffers,
            batch: 8,
            ..EngineOptions::default()
        });
    }
}

fn two_buffers(options: &EngineOptions) {
    let mut shard = Shard::new(Script::echo(), options);
    let address = shard.listen();
    shard.serve(|| {
        std::thread::scope(|scope| {
            for worker in 0..16 {
                scope
                    .spawn(move || assert!(echoes(&mut connect(address), &pattern(100_000 + worker * 1013))));
            }
        });
    });
    assert!(shard.engine.starvations() > 0, "there were always free buffers: nothing was tested");
}

#[test]
fn queues_that_overflow_lose_nothing() {
    for incremental_buffers in [false, true] {
        overflowing(&EngineOptions {
            buffers: 256,
            buffer_bytes: 512,
            incremental_buffers,
            ..EngineOptions::default()
        });
    }
}

fn overflowing(options: &EngineOptions) {
    let sizes = Sizes { submissions: 2, completions: 4 };
    let mut shard = with_queues(Script::echo(), options, sizes);
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
fn a_rung_doorbell_is_read() {
    let mut shard = Shard::new(Script::echo(), &EngineOptions::default());
    shard.ring_doorbell();
    shard.turn(Wait::Forever);
    shard.turn(Wait::Poll);
    let count = rustix::io::preadv2(
        &shard.doorbell,
        &mut [std::io::IoSliceMut::new(&mut [0; 8])],
        u64::MAX,
        rustix::io::ReadWriteFlags::NOWAIT,
    );
    assert_eq!(count, Err(rustix::io::Errno::AGAIN));
}

/// Messages of many sizes on many connections, some received by single and some by multishot operations. Each
/// worker sends a pattern of its own, so that a mixed-up part of a buffer shows.
#[test]
fn parts_of_one_buffer_reach_their_connections() {
    let options = EngineOptions { buffers: 64, buffer_bytes: 512, ..EngineOptions::default() };
    let mut shard = Shard::new(Script::echo(), &options);
    let address = shard.listen();
    shard.serve(|| {
        std::thread::scope(|scope| {
            for worker in 0..16 {
                scope.spawn(move || {
                    for round in 0..40 {
                        let mut stream = connect(address);
                        for message in [1, 7, 300 + worker, 4096 - worker, 5 * worker + round, 9000] {
                            let salted: Vec<u8> = pattern(message + 1)
                                .iter()
                                .map(|byte| byte ^ (worker * 16 + round) as u8)
                                .collect();
                            assert!(echoes(&mut stream, &salted), "worker {worker}, round {round}");
                        }
                    }
                });
            }
        });
    });
    shard.until("all closed", |shard| shard.connections() == 0);
}
