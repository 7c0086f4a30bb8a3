//! Faulty networks and clients that are killed: replies that arrive complete are correct, and the server
//! leaks nothing.
//!
//! `WINDLASS_FAULT_SECONDS` sets the length of each part (default 4), `WINDLASS_FAULT_SEED` repeats a run.

mod base;
mod clients;
mod dice;
mod proxy;
#[cfg(feature = "ws")]
mod sockets;
#[cfg(feature = "http2")]
mod streams;
mod wire;

use std::{
    net::SocketAddr,
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base::Base;
use clients::{KINDS, Reader, Tally, event_data};
use dice::Dice;
use proxy::Proxy;

use crate::common::{Serving, TempFile, windlass};

/// Number of clients of each kind.
const CLIENTS: usize = 3;
/// Number of connections of the load process that is killed.
const CONNECTIONS: &str = "200";

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Returns the length of each part.
fn length() -> Duration {
    Duration::from_secs(variable("WINDLASS_FAULT_SECONDS").unwrap_or(4))
}

/// Returns the seed and prints it, so that a failed run can be repeated.
fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = variable("WINDLASS_FAULT_SEED").unwrap_or_else(now);
    println!("WINDLASS_FAULT_SEED={seed}");
    seed
}

/// Starts a server that keeps all published events and sheds no load.
fn serve(engine: &str, seed: u64) -> Serving {
    let name = format!("faults-{engine}-{seed}.toml");
    let file = TempFile::new(&name, include_str!("shed_nothing.toml"));
    let mailboxes = ["--mailbox-events", "1000000", "--mailbox-bytes", "1000000000"];
    Serving::start(&[&["--engine", engine, "--config", file.path()], &mailboxes[..]].concat())
}

#[test]
fn replies_through_a_faulty_network_are_correct_on_io_uring() {
    run_through_faulty_network("io_uring");
}

#[test]
fn replies_through_a_faulty_network_are_correct_on_epoll() {
    run_through_faulty_network("epoll");
}

fn run_through_faulty_network(engine: &str) {
    let seed = seed();
    let mut serving = serve(engine, seed);
    let address = serving.address();
    run_without_faults(address, seed);
    let mut base = Base::of(&serving);
    let proxy = Proxy::start(address, seed);
    let until = Instant::now() + length();
    let tallies: Vec<Tally> = KINDS.iter().map(|_| Tally::default()).collect();
    let subscriber_tally = Tally::default();
    thread::scope(|scope| {
        for (kind, ((_, session), tally)) in (0..).zip(KINDS.iter().zip(&tallies)) {
            for client in 0..CLIENTS as u64 {
                let (mut dice, proxy) = (Dice::new(!seed, kind * 100 + client), proxy.address);
                scope.spawn(move || {
                    while Instant::now() < until {
                        if session(proxy, &mut dice, tally).is_err() {
                            tally.broken.fetch_add(1, SeqCst);
                        }
                    }
                });
            }
        }
        subscribe_through((proxy.address, address), until, seed, &subscriber_tally);
    });
    drop(proxy);
    for ((name, _), tally) in
        KINDS.iter().chain(&[("subscribers", KINDS[0].1)]).zip(tallies.iter().chain([&subscriber_tally]))
    {
        println!("{engine}, {name}: {tally:?}");
        assert!(tally.correct.load(SeqCst) > 0 && tally.broken.load(SeqCst) > 0, "{name}: {tally:?}");
    }
    base.assert_released(&mut serving);
}

/// Runs a session of each kind without the proxy, where no fault is allowed. Afterwards the server has
/// allocated whatever the first session of a kind needs.
fn run_without_faults(address: SocketAddr, seed: u64) {
    for (part, (name, session)) in (1000..).zip(KINDS) {
        let tally = Tally::default();
        session(address, &mut Dice::new(seed, part), &tally)
            .unwrap_or_else(|broken| panic!("{name}: {broken:?}"));
        assert!(tally.correct.load(SeqCst) > 0 && tally.refused.load(SeqCst) == 0, "{name}: {tally:?}");
    }
}

/// Publishes directly to the server, while subscribers behind the proxy reconnect until they have every
/// event.
fn subscribe_through((proxy, server): (SocketAddr, SocketAddr), until: Instant, seed: u64, tally: &Tally) {
    let (published, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let (published, ended) = (&published, &ended);
    thread::scope(|scope| {
        for client in 0..CLIENTS as u64 {
            scope.spawn(move || {
                let (mut reader, mut dice) = (Reader::default(), Dice::new(seed, 2000 + client));
                while !ended.load(SeqCst) || !reader.has(published.load(SeqCst)) {
                    if reader.read_on(proxy, (published, ended), &mut dice, tally).is_err() {
                        tally.broken.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        let mut publisher = crate::common::Client::connect(server);
        while Instant::now() < until {
            let number = published.load(SeqCst);
            assert_eq!(publisher.post("/topics/faults", "", &event_data(number)).0, 202);
            published.store(number + 1, SeqCst);
            thread::sleep(Duration::from_millis(5));
        }
        ended.store(true, SeqCst);
        // One more event wakes subscribers that have all events and wait.
        let number = published.fetch_add(1, SeqCst);
        assert_eq!(publisher.post("/topics/faults", "", &event_data(number)).0, 202);
    });
}

#[test]
fn clients_that_are_killed_leave_nothing_behind_on_io_uring() {
    run_with_killed_clients("io_uring");
}

#[test]
fn clients_that_are_killed_leave_nothing_behind_on_epoll() {
    run_with_killed_clients("epoll");
}

/// A process, killed on drop.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run_with_killed_clients(engine: &str) {
    let seed = seed();
    let (mut dice, mut serving) = (Dice::new(seed, 0), serve(engine, seed));
    let url = format!("http://{}/demo/json", serving.address());
    run_without_faults(serving.address(), 0);
    let mut base = Base::of(&serving);
    let (until, mut kills) = (Instant::now() + length(), 0);
    while Instant::now() < until || kills < 3 {
        let arguments = ["load", "--workload", "mixed", "--connections", CONNECTIONS, "--rate", "2000"];
        let mut load = windlass(&[&arguments[..], &["--duration", "60s", &url]].concat());
        let load = KillOnDrop(load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let many = || base.sum("windlass_connections{") > 150.0;
        crate::common::eventually("the load is connected", many);
        // Kills the load at a random instant of its traffic.
        thread::sleep(Duration::from_millis(dice.below(100) as u64));
        drop(load);
        kills += 1;
    }
    println!("{engine}: {kills} kills");
    base.assert_released(&mut serving);
}
