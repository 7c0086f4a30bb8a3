//! Panics at every point of an actor's run, circles of full mailboxes, shards that fail under load.
//!
//! Nothing hangs, and every message is handled or counted as dropped.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use common::{
    Count, Counter, LONG,
    driver::{Order, Scripted},
    eventually, hosts, system,
};
use windlass_actors::{
    Actor, Addr, ChildExit, Context, Cores, ExitReason, Flow, Host, Placement, Reply, Restart, SpawnOptions,
    System, Undelivered, error::AskError,
};

/// Point in the run of an actor at which it panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Factory,
    Started,
    StartedLater,
    Handle,
    HandleLater,
    Answer,
    Child,
    Watch,
    Interval,
    Stopped,
    StoppedLater,
    Drop,
}

const POINTS: [Point; 12] = [
    Point::Factory,
    Point::Started,
    Point::StartedLater,
    Point::Handle,
    Point::HandleLater,
    Point::Answer,
    Point::Child,
    Point::Watch,
    Point::Interval,
    Point::Stopped,
    Point::StoppedLater,
    Point::Drop,
];

enum Msg {
    /// Makes the actor reach its point.
    Go(Addr<Count>),
    Ping(Reply<u64>),
}

/// Actor that panics once, at its point.
struct Mine {
    point: Point,
    armed: Arc<AtomicBool>,
}

impl Mine {
    fn at(&self, point: Point) {
        trip(&self.armed, self.point, point);
    }
}

fn trip(armed: &AtomicBool, point: Point, here: Point) {
    assert!(point != here || !armed.swap(false, Ordering::SeqCst), "expected by the test, at {point:?}");
}

impl Actor for Mine {
    type Msg = Msg;

    async fn started(&mut self, cx: &mut Context<Msg>) -> Flow {
        self.at(Point::Started);
        cx.sleep(Duration::from_millis(1)).await;
        self.at(Point::StartedLater);
        Flow::Continue
    }

    async fn handle(&mut self, message: Msg, cx: &mut Context<Msg>) -> Flow {
        let other = match message {
            Msg::Ping(reply) => {
                self.at(Point::Answer);
                reply.send(cx.restarts());
                return Flow::Continue;
            }
            Msg::Go(other) => other,
        };
        self.at(Point::Handle);
        cx.sleep(Duration::from_millis(1)).await;
        self.at(Point::HandleLater);
        let (point, armed) = (self.point, Arc::clone(&self.armed));
        match point {
            Point::Child => {
                let once = SpawnOptions { restart: Restart::Never, ..SpawnOptions::named("child") };
                let child = cx.spawn(once, Counter::default);
                return child
                    .map_err(|e| e.to_string())
                    .and_then(|c| c.try_tell(Count::Stop).map_err(|e| e.to_string()))
                    .into();
            }
            Point::Watch => cx.watch(&other, move |_| {
                trip(&armed, point, Point::Watch);
                panic!("the watch fired again after a panic")
            }),
            Point::Interval => {
                cx.interval(Duration::from_millis(1), move || -> Msg {
                    trip(&armed, point, Point::Interval);
                    panic!("the interval fired again after a panic")
                });
            }
            Point::Stopped | Point::StoppedLater | Point::Drop => return Flow::fail("expected by the test"),
            _ => {}
        }
        Flow::Continue
    }

    async fn child_exited(&mut self, _: &ChildExit, _: &mut Context<Msg>) -> Flow {
        self.at(Point::Child);
        Flow::Continue
    }

    async fn stopped(&mut self, cx: &mut Context<Msg>) {
        self.at(Point::Stopped);
        cx.sleep(Duration::from_millis(1)).await;
        self.at(Point::StoppedLater);
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        self.at(Point::Drop);
    }
}

fn mine(system: &System, point: Point, restart: Restart) -> Addr<Msg> {
    let armed = Arc::new(AtomicBool::new(true));
    let factory = move || {
        trip(&armed, point, Point::Factory);
        Mine { point, armed: Arc::clone(&armed) }
    };
    let options = SpawnOptions { restart, backoff: Duration::from_millis(1), ..SpawnOptions::named("mine") };
    system.spawn(Placement::Shard(0), options, factory).unwrap()
}

#[test]
fn a_panic_at_any_point_ends_one_run_and_never_the_shard() {
    for host in hosts() {
        for point in POINTS {
            let system = system(host, 1);
            let gone = system.spawn(Placement::Shard(0), SpawnOptions::default(), Counter::default).unwrap();
            gone.stop(Undelivered::Drain);
            gone.exited_blocking(LONG).unwrap();
            let actor = mine(&system, point, Restart::OnFailure);
            actor.try_tell(Msg::Go(gone)).unwrap();
            if point == Point::Answer {
                assert_eq!(actor.ask_blocking(Msg::Ping, LONG), Err(AskError::NoReply));
            }
            eventually("the actor has panicked and restarted", || system.counts().restarted == 1);
            assert_eq!(actor.ask_blocking(Msg::Ping, LONG), Ok(1), "{point:?}");
            let counts = system.counts();
            assert_eq!((counts.panicked, counts.messages_dropped), (1, 0), "{point:?}");
            system.stop(Undelivered::Drain);
            assert!(system.join(LONG).is_clean(), "{point:?}");
        }
    }
}

#[test]
fn a_panic_at_any_point_of_an_actor_that_never_restarts_is_reported_as_its_exit() {
    for host in hosts() {
        for point in POINTS {
            let system = system(host, 1);
            let gone = system.spawn(Placement::Shard(0), SpawnOptions::default(), Counter::default).unwrap();
            gone.stop(Undelivered::Drain);
            gone.exited_blocking(LONG).unwrap();
            let actor = mine(&system, point, Restart::Never);
            // Fails if the actor panicked in its factory and has exited already.
            let _ = actor.try_tell(Msg::Go(gone));
            if point == Point::Answer {
                assert_eq!(actor.ask_blocking(Msg::Ping, LONG), Err(AskError::NoReply));
            }
            let ended = actor.exited_blocking(LONG).unwrap();
            assert!(
                matches!(&ended.reason, ExitReason::Panicked(text) if text.contains("expected by the test")),
                "{point:?}: {ended}"
            );
            assert_eq!(actor.ask_blocking(Msg::Ping, LONG), Err(AskError::Closed), "{point:?}");
            eventually("the actor is gone", || system.actors(0) == 0);
        }
    }
}

/// Actor in a circle. For each burst it sends that many messages to the next actor, and waits for a free slot
/// each time.
struct Ring {
    next: Option<Addr<Turn>>,
    tallies: Arc<Tallies>,
}

#[derive(Default)]
struct Tallies {
    sent: AtomicU64,
    handled: AtomicU64,
}

enum Turn {
    Next(Addr<Turn>),
    Burst(u64),
}

impl Actor for Ring {
    type Msg = Turn;

    async fn handle(&mut self, message: Turn, _: &mut Context<Turn>) -> Flow {
        self.tallies.handled.fetch_add(1, Ordering::SeqCst);
        match (message, &self.next) {
            (Turn::Next(next), _) => self.next = Some(next),
            (Turn::Burst(n), Some(next)) => {
                for _ in 0..n {
                    if next.tell(Turn::Burst(n)).await.is_err() {
                        return Flow::Stop;
                    }
                    self.tallies.sent.fetch_add(1, Ordering::SeqCst);
                }
            }
            (Turn::Burst(_), None) => {}
        }
        Flow::Continue
    }
}

/// Spawns a circle of actors on two shards that wait for free slots in each other's mailboxes.
fn circle(system: &System, tallies: &Arc<Tallies>) -> Vec<Addr<Turn>> {
    let ring: Vec<_> = (0..4)
        .map(|n| {
            let tallies = Arc::clone(tallies);
            let options = SpawnOptions { mailbox: 2, ..SpawnOptions::named("ring") };
            let ring = move || Ring { next: None, tallies: Arc::clone(&tallies) };
            system.spawn(Placement::Shard(n % 2), options, ring).unwrap()
        })
        .collect();
    let tell = |to: &Addr<Turn>, turn| {
        to.tell_blocking(turn).unwrap();
        tallies.sent.fetch_add(1, Ordering::SeqCst);
    };
    for (n, actor) in ring.iter().enumerate() {
        tell(actor, Turn::Next(ring[(n + 1) % ring.len()].clone()));
    }
    tell(&ring[0], Turn::Burst(3));
    ring
}

#[test]
fn actors_that_wait_for_each_other_delay_no_other_actor_and_can_be_stopped() {
    for host in hosts() {
        let (system, tallies) = (system(host, 2), Arc::new(Tallies::default()));
        let ring = circle(&system, &tallies);
        eventually("all mailboxes are full", || ring.iter().all(|actor| actor.depth() == 2));
        for shard in 0..2 {
            let other =
                system.spawn(Placement::Shard(shard), SpawnOptions::default(), Counter::default).unwrap();
            assert_eq!(other.ask_blocking(Count::Where, LONG), Ok(shard), "other actors run on");
        }
        // A question to one of them times out, although it waits for a free slot.
        let late = ring[0].ask_blocking(|_: Reply<()>| Turn::Burst(0), Duration::from_millis(20));
        assert_eq!(late, Err(AskError::Timeout));
        // An actor that is handling a message keeps waiting for a slot after the stop. The timeout of `join`
        // ends it.
        system.stop(Undelivered::Discard);
        let report = system.join(Duration::from_millis(100));
        assert!(report.aborted && report.shards_stuck.is_empty(), "{report:?}");
        let (sent, handled) = (tallies.sent.load(Ordering::SeqCst), tallies.handled.load(Ordering::SeqCst));
        assert_eq!(sent, handled + report.messages_dropped, "{report:?}");
        assert!(report.messages_dropped >= 8, "{report:?}");
    }
}

/// Actor that handles slowly and sends further messages, so that messages are in flight when the stop begins.
struct Relay {
    next: Vec<Addr<u32>>,
    tallies: Arc<Tallies>,
}

impl Actor for Relay {
    type Msg = u32;

    async fn handle(&mut self, hops: u32, cx: &mut Context<u32>) -> Flow {
        self.tallies.handled.fetch_add(1, Ordering::SeqCst);
        if hops % 16 == 7 {
            cx.sleep(Duration::from_micros(50)).await;
        }
        assert!(hops % 1024 != 1023, "expected by the test");
        for address in &self.next {
            if hops > 0 && address.try_tell(hops - 1).is_ok() {
                self.tallies.sent.fetch_add(1, Ordering::SeqCst);
            }
        }
        Flow::Continue
    }
}

struct Storm {
    relays: Vec<Addr<u32>>,
    tallies: Arc<Tallies>,
}

impl Storm {
    /// Spawns two layers of relays on two shards. Each relay of the first layer sends to two of the second.
    fn new(system: &System) -> Self {
        let tallies = Arc::new(Tallies::default());
        let relay = |n: usize, next: Vec<Addr<u32>>| {
            let tallies = Arc::clone(&tallies);
            let options = SpawnOptions {
                mailbox: 1 << (n % 8),
                backoff: Duration::from_micros(100),
                max_restarts: usize::MAX,
                ..SpawnOptions::named("relay")
            };
            let relay = move || Relay { next: next.clone(), tallies: Arc::clone(&tallies) };
            system.spawn(Placement::Shard(n % 2), options, relay).unwrap()
        };
        let leaves: Vec<_> = (0..8).map(|n| relay(n, Vec::new())).collect();
        let pick = |n: usize| vec![leaves[n % 8].clone(), leaves[(n + 1) % 8].clone()];
        Self { relays: (0..8).map(|n| relay(n, pick(n))).collect(), tallies }
    }

    /// Sends from three threads until the relays refuse. Calls `end` meanwhile and returns its report.
    fn run(&self, end: impl FnOnce() -> windlass_actors::StopReport) -> windlass_actors::StopReport {
        thread::scope(|scope| {
            for n in 0..3_u32 {
                scope.spawn(move || {
                    let mut hops = n;
                    for relay in self.relays.iter().cycle() {
                        hops = hops.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let sent = if n == 0 {
                            relay.try_tell(hops).is_ok()
                        } else {
                            relay.tell_blocking(hops).is_ok()
                        };
                        if sent {
                            self.tallies.sent.fetch_add(1, Ordering::SeqCst);
                        } else if !relay.is_open() {
                            return;
                        }
                    }
                });
            }
            eventually("the relays are busy", || self.tallies.handled.load(Ordering::SeqCst) > 2_000);
            end()
        })
    }

    fn assert_adds_up(&self, report: &windlass_actors::StopReport, dropped: u64) {
        let (sent, handled) =
            (self.tallies.sent.load(Ordering::SeqCst), self.tallies.handled.load(Ordering::SeqCst));
        assert_eq!(sent, handled + dropped, "{report:?}");
    }
}

#[test]
fn a_stop_under_load_accounts_for_every_message() {
    for host in hosts() {
        for undelivered in [Undelivered::Drain, Undelivered::Discard] {
            let system = system(host, 2);
            let storm = Storm::new(&system);
            let report = storm.run(|| {
                system.stop(undelivered);
                system.join(LONG)
            });
            assert!(report.is_clean(), "{report:?}");
            assert_eq!(report.actors_stopped, 16, "{report:?}");
            storm.assert_adds_up(&report, system.counts().messages_dropped);
        }
    }
}

#[test]
fn a_shard_that_fails_under_load_accounts_for_every_message() {
    fn run(host: Host, order: Order) {
        let (events, _received) = mpsc::channel();
        let builder = System::builder().host(host).cores(Cores::Unpinned(2));
        let (system, shards) =
            builder.start_with(move |local| Ok(Scripted::new(local, events.clone()))).unwrap();
        let storm = Storm::new(&system);
        let report = storm.run(|| {
            assert!(shards[1].try_send(order).is_ok());
            eventually("the shard has failed", || system.failures().len() == 1);
            system.stop(Undelivered::Discard);
            system.join(LONG)
        });
        assert!(
            !report.aborted && report.shards_stuck.is_empty() && report.failures.len() == 1,
            "{report:?}"
        );
        assert_eq!(system.counts().stopped, system.counts().started);
        storm.assert_adds_up(&report, system.counts().messages_dropped);
    }
    for host in hosts() {
        run(host, Order::Fail);
        run(host, Order::Panic);
    }
}

#[test]
fn a_question_always_ends_when_its_actor_exits() {
    for host in hosts() {
        let system = system(host, 2);
        let options = SpawnOptions {
            mailbox: 4,
            max_restarts: usize::MAX,
            backoff: Duration::ZERO,
            ..SpawnOptions::default()
        };
        let counter = system.spawn(Placement::Shard(1), options, Counter::default).unwrap();
        thread::scope(|scope| {
            let askers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut answers = 0_u64;
                        loop {
                            match counter.ask_blocking(Count::Total, LONG) {
                                Ok(_) => answers += 1,
                                Err(AskError::NoReply | AskError::Closed) => return answers,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    })
                })
                .collect();
            eventually("the counter answers", || {
                !counter.is_open() || counter.ask_blocking(Count::Total, LONG).is_ok()
            });
            system.stop(Undelivered::Discard);
            assert!(system.join(LONG).is_clean());
            for asker in askers {
                asker.join().unwrap();
            }
        });
    }
}
