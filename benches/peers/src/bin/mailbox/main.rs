//! Mailboxes beside each other: Windlass, kameo, ractor and bare flume do the same.
//!
//! One side tells, the other adds up; a round ends when all was added up. `within`: both on one thread. `across`: on
//! two. `outside`: a plain thread tells. `ask across`: one question at a time, to another thread and back.
//!
//! Prints nanoseconds of wall time (the median round) and of CPU time (all threads, all rounds) for each message.
//! Threads that talk are pinned to a core each, but for tokio's workers.
//!
//! `cargo run --release -p windlass-peers --no-default-features --features mailbox --bin mailbox -- [what [who]]`

mod flume;
mod kameo;
mod ractor;
mod tokio;
mod windlass;

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// Messages that may wait. ractor's mailboxes have no bound.
const CAPACITY: usize = 256;
/// Messages told in a round.
const TELLS: u64 = 10_000;
/// Questions asked in a round.
const ASKS: u64 = 1_000;
/// How long each pairing is measured.
const TIME: Duration = Duration::from_millis(700);
/// Longer than any round.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pair that was set up: runs one round of so many messages, and says what was added up.
type Round = Box<dyn FnMut(u64) -> u64>;

/// Sets a pair up on the threads a scenario wants.
type Scenario = fn() -> Round;

struct Row {
    what: &'static str,
    messages: u64,
    pairs: &'static [(&'static str, Scenario)],
}

const ROWS: [Row; 4] = [
    Row {
        what: "tell within",
        messages: TELLS,
        pairs: &[
            ("windlass", windlass::within),
            ("kameo", kameo::within),
            ("ractor", ractor::within),
            ("flume", flume::within),
        ],
    },
    Row {
        what: "tell across",
        messages: TELLS,
        pairs: &[
            ("windlass", windlass::across),
            ("kameo", kameo::across),
            ("kameo, 2 workers", kameo::workers),
            ("ractor", ractor::across),
            ("ractor, 2 workers", ractor::workers),
            ("flume", flume::across),
        ],
    },
    Row {
        what: "tell outside",
        messages: TELLS,
        pairs: &[
            ("windlass", windlass::outside),
            ("kameo", kameo::outside),
            ("ractor", ractor::outside),
            ("flume", flume::outside),
        ],
    },
    Row {
        what: "ask across",
        messages: ASKS,
        pairs: &[
            ("windlass", windlass::ask),
            ("kameo", kameo::ask),
            ("kameo, 2 workers", kameo::ask_workers),
            ("ractor", ractor::ask),
            ("ractor, 2 workers", ractor::ask_workers),
            ("flume", flume::ask),
        ],
    },
];

fn main() {
    let mut words = std::env::args().skip(1);
    let (what, who) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    println!("{:<14}{:<20}{:>12}{:>12}{:>14}", "", "", "wall ns", "CPU ns", "messages/s");
    for row in ROWS.iter().filter(|row| row.what.contains(&what)) {
        for &(name, scenario) in row.pairs.iter().filter(|(name, _)| name.contains(&who)) {
            // A thread of its own: scenarios pin it.
            let messages = row.messages;
            let figures =
                thread::spawn(move || measure(scenario(), messages)).join().expect("the pair does its work");
            println!(
                "{:<14}{name:<20}{:>12.0}{:>12.0}{:>14.0}",
                row.what,
                figures.wall_nanos,
                figures.cpu_nanos,
                1e9 / figures.wall_nanos
            );
        }
    }
}

struct Figures {
    wall_nanos: f64,
    cpu_nanos: f64,
}

fn measure(mut round: Round, messages: u64) -> Figures {
    assert_eq!(round(messages), messages, "a message was lost");
    let (begin, cpu) = (Instant::now(), cpu_time());
    let mut rounds = Vec::new();
    while begin.elapsed() < TIME {
        let start = Instant::now();
        assert_eq!(round(messages), messages, "a message was lost");
        rounds.push(start.elapsed().as_nanos() as f64 / messages as f64);
    }
    let cpu_nanos = (cpu_time() - cpu).as_nanos() as f64 / (rounds.len() as u64 * messages) as f64;
    rounds.sort_by(f64::total_cmp);
    Figures { wall_nanos: rounds[rounds.len() / 2], cpu_nanos }
}

/// Returns the CPU time of all threads so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
