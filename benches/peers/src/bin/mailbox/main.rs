//! Comparison of mailboxes: Windlass, kameo, ractor and bare flume do the same work.
//!
//! One side sends numbers and the other adds them up. A round ends when all numbers are added up.
//!
//! - `within`: both sides run on one thread.
//! - `across`: the sides run on two threads.
//! - `outside`: a thread without a runtime sends.
//! - `ask across`: one request at a time, to another thread and back.
//!
//! Prints nanoseconds per message: the wall time of the median round and the CPU time of all threads over all
//! rounds. Each side's thread is pinned to a core, except tokio's workers.
//!
//! Run by `scripts/mailbox.sh [CASE [LIBRARY]]`.

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

/// Capacity of a mailbox in messages. ractor's mailboxes are unbounded.
const CAPACITY: usize = 256;
/// Messages sent in a round.
const TELLS: u64 = 10_000;
/// Requests sent in a round.
const ASKS: u64 = 1_000;
/// Duration of each measurement.
const MEASUREMENT: Duration = Duration::from_millis(700);
/// Timeout that no round reaches.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs one round of a prepared pair with a number of messages, and returns the sum.
type Round = Box<dyn FnMut(u64) -> u64>;

/// Prepares a pair on the threads of a case.
type Scenario = fn() -> Round;

struct Row {
    case: &'static str,
    messages: u64,
    libraries: &'static [(&'static str, Scenario)],
}

const ROWS: [Row; 4] = [
    Row {
        case: "tell within",
        messages: TELLS,
        libraries: &[
            ("windlass", windlass::within),
            ("kameo", kameo::within),
            ("ractor", ractor::within),
            ("flume", flume::within),
        ],
    },
    Row {
        case: "tell across",
        messages: TELLS,
        libraries: &[
            ("windlass", windlass::across),
            ("kameo", kameo::across),
            ("kameo, 2 workers", kameo::workers),
            ("ractor", ractor::across),
            ("ractor, 2 workers", ractor::workers),
            ("flume", flume::across),
        ],
    },
    Row {
        case: "tell outside",
        messages: TELLS,
        libraries: &[
            ("windlass", windlass::outside),
            ("kameo", kameo::outside),
            ("ractor", ractor::outside),
            ("flume", flume::outside),
        ],
    },
    Row {
        case: "ask across",
        messages: ASKS,
        libraries: &[
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
    let mut arguments = std::env::args().skip(1);
    let (case, library) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    println!("{:<14}{:<20}{:>12}{:>12}{:>14}", "", "", "wall ns", "CPU ns", "messages/s");
    for row in ROWS.iter().filter(|row| row.case.contains(&case)) {
        for &(name, scenario) in row.libraries.iter().filter(|(name, _)| name.contains(&library)) {
            // A separate thread for each measurement, because scenarios pin the thread.
            let messages = row.messages;
            let figures = thread::spawn(move || measure(scenario(), messages))
                .join()
                .expect("measurement should complete");
            println!(
                "{:<14}{name:<20}{:>12.0}{:>12.0}{:>14.0}",
                row.case,
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
    assert_eq!(round(messages), messages, "every message should be handled");
    let (begin, cpu) = (Instant::now(), cpu_time());
    let mut rounds = Vec::new();
    while begin.elapsed() < MEASUREMENT {
        let start = Instant::now();
        assert_eq!(round(messages), messages, "every message should be handled");
        rounds.push(start.elapsed().as_nanos() as f64 / messages as f64);
    }
    let cpu_nanos = (cpu_time() - cpu).as_nanos() as f64 / (rounds.len() as u64 * messages) as f64;
    rounds.sort_by(f64::total_cmp);
    Figures { wall_nanos: rounds[rounds.len() / 2], cpu_nanos }
}

/// Returns the CPU time that all threads of the process have used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // The clock returns no negative values.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
