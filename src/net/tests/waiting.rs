//! Tests of the events that end a wait.

use std::time::{Duration, Instant};

use rustix::event::EventfdFlags;

use super::harness::*;
use crate::net::{EngineOptions, Wait};

for_each_engine! {
    ringing_the_doorbell_ends_a_wait_whether_or_not_it_blocks,
    a_wait_lasts_until_its_deadline,
    an_earlier_deadline_moves_the_timer,
    a_poll_does_not_wait,
}

fn ringing_the_doorbell_ends_a_wait_whether_or_not_it_blocks<E: TestEngine>() {
    for flags in [EventfdFlags::CLOEXEC, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK] {
        let mut shard = Shard::<E>::with_doorbell(Script::echo(), &EngineOptions::default(), flags);
        for _ in 0..50 {
            let doorbell = shard.doorbell.try_clone().unwrap();
            let ringer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_micros(300));
                rustix::io::write(&doorbell, &1_u64.to_ne_bytes()).unwrap();
            });
            shard.turn(Wait::Forever);
            ringer.join().unwrap();
            shard.turn(Wait::Poll);
        }
        // Ringing several times before the wait also ends it.
        for _ in 0..50 {
            shard.ring_doorbell();
            shard.ring_doorbell();
            shard.turn(Wait::Forever);
        }
    }
}

fn a_wait_lasts_until_its_deadline<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    for millis in [30, 5, 60, 1] {
        let deadline = Instant::now() + Duration::from_millis(millis);
        while Instant::now() < deadline {
            // A timer that is armed for an earlier deadline may end the wait too early.
            shard.turn(Wait::Until(deadline));
        }
        assert!(deadline.elapsed() < PATIENCE);
    }
    shard.turn(Wait::Until(Instant::now() - Duration::from_secs(1)));
}

fn an_earlier_deadline_moves_the_timer<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    let start = Instant::now();
    shard.ring_doorbell();
    shard.turn(Wait::Until(start + Duration::from_secs(3600)));
    let soon = Instant::now() + Duration::from_millis(20);
    let mut turns = 0;
    while Instant::now() < soon {
        shard.turn(Wait::Until(soon));
        turns += 1;
    }
    assert!(start.elapsed() < Duration::from_secs(60));
    assert!(turns <= 3, "{turns} turns for one deadline");
}

fn a_poll_does_not_wait<E: TestEngine>() {
    let mut shard = Shard::<E>::new(Script::echo(), &EngineOptions::default());
    shard.listen();
    let start = Instant::now();
    for _ in 0..1000 {
        shard.turn(Wait::Poll);
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!shard.pending());
}
