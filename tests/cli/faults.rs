//! Networks and clients that fail at any byte: what arrives whole is right, and the server holds nothing afterwards.
//!
//! `WINDLASS_FAULT_SECONDS` has each part last longer (4 unless told), `WINDLASS_FAULT_SEED` repeats one.

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

/// Clients of each kind.
const CLIENTS: usize = 3;
/// Connections of the load whose process is killed.
const CONNECTIONS: &str = "200";

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Returns how long a part lasts.
fn length() -> Duration {
    Duration::from_secs(variable("WINDLASS_FAULT_SECONDS").unwrap_or(4))
}

/// Returns a seed, which a test that fails shows.
fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = variable("WINDLASS_FAULT_SEED").unwrap_or_else(now);
    println!("WINDLASS_FAULT_SEED={seed}");
    seed
}

/// Serves with mailboxes and a history that hold all that is published, and sheds nothing: the machine may be busy.
fn serve(engine: &str, seed: u64) -> Serving {
    let name = format!("faults-{engine}-{seed}.toml");
    let file = TempFile::new(&name, include_str!("shed_nothing.toml"));
    let mailboxes = ["--mailbox-events", "1000000", "--mailbox-bytes", "1000000000"];
    Serving::start(&[&["--engine", engine, "--config", file.path()], &mailboxes[..]].concat())
}

#[test]
fn through_a_network_that_fails_nothing_wrong_arrives_on_io_uring() {
    through_a_network_that_fails("io_uring");
}

#[test]
fn through_a_network_that_fails_nothing_wrong_arrives_on_epoll() {
    through_a_network_that_fails("epoll");
}

fn through_a_network_that_fails(engine: &str) {
    let seed = seed();
    let mut serving = serve(engine, seed);
    let address = serving.address();
    without_faults(address, seed);
    let mut base = Base::of(&serving);
    let proxy = Proxy::start(address, seed);
    let until = Instant::now() + length();
    let tallies: Vec<Tally> = KINDS.iter().map(|_| Tally::default()).collect();
    let followed = Tally::default();
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
        follow_through((proxy.address, address), until, seed, &followed);
    });
    drop(proxy);
    for ((name, _), tally) in
        KINDS.iter().chain(&[("subscribers", KINDS[0].1)]).zip(tallies.iter().chain([&followed]))
    {
        println!("{engine}, {name}: {tally:?}");
        assert!(tally.right.load(SeqCst) > 0 && tally.broken.load(SeqCst) > 0, "{name}: {tally:?}");
    }
    base.is_back(&mut serving);
}

/// Has each kind of client talk to the server without a network between, where nothing may break: what the server
/// starts with the first of a kind is there then.
fn without_faults(address: SocketAddr, seed: u64) {
    for (part, (name, session)) in (1000..).zip(KINDS) {
        let tally = Tally::default();
        session(address, &mut Dice::new(seed, part), &tally)
            .unwrap_or_else(|broken| panic!("{name}: {broken:?}"));
        assert!(tally.right.load(SeqCst) > 0 && tally.refused.load(SeqCst) == 0, "{name}: {tally:?}");
    }
}

/// Publishes straight to the server, while subscribers behind the faults come back again and again until they have
/// everything.
fn follow_through((proxy, server): (SocketAddr, SocketAddr), until: Instant, seed: u64, tally: &Tally) {
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
        // Whoever has all and waits for more gets one more.
        let number = published.fetch_add(1, SeqCst);
        assert_eq!(publisher.post("/topics/faults", "", &event_data(number)).0, 202);
    });
}

#[test]
fn clients_that_are_killed_leave_nothing_behind_on_io_uring() {
    clients_that_are_killed("io_uring");
}

#[test]
fn clients_that_are_killed_leave_nothing_behind_on_epoll() {
    clients_that_are_killed("epoll");
}

/// A process that is killed with this.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn clients_that_are_killed(engine: &str) {
    let seed = seed();
    let (mut dice, mut serving) = (Dice::new(seed, 0), serve(engine, seed));
    let url = format!("http://{}/demo/json", serving.address());
    without_faults(serving.address(), 0);
    let mut base = Base::of(&serving);
    let (until, mut storms) = (Instant::now() + length(), 0);
    while Instant::now() < until || storms < 3 {
        let arguments = ["load", "--workload", "mixed", "--connections", CONNECTIONS, "--rate", "2000"];
        let mut load = windlass(&[&arguments[..], &["--duration", "60s", &url]].concat());
        let load = Killed(load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let many = || base.sum("windlass_connections{") > 150.0;
        crate::common::eventually("the load is there", many);
        // At any instant of its traffic.
        thread::sleep(Duration::from_millis(dice.below(100) as u64));
        drop(load);
        storms += 1;
    }
    println!("{engine}: {storms} storms");
    base.is_back(&mut serving);
}
