//! What an actor has besides messages: timers, watches, a name, an end of its own; and where actors live.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod common;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{Count, Counter, LONG, block_on, hosts, system, wait_until};
use windlass_actors::{
    Actor, ActorExit, Addr, Context, Cores, ExitReason, Flow, Local, Placement, Registry, Reply, Restart,
    SpawnOptions, System, TimerId, Undelivered,
    error::{AskError, RegisterError},
};

const TICK: Duration = Duration::from_millis(10);

fn counter(system: &System) -> Addr<Count> {
    system.spawn(Placement::Shard(0), SpawnOptions::named("counter"), Counter::default).unwrap()
}

/// What a clock is told, and tells itself.
enum Clock {
    After(Duration, u64),
    Every(Duration),
    Cancel(Reply<bool>),
    Rest(Duration),
    Fail,
    Tick(u64),
}

struct Ticker {
    told: mpsc::Sender<(u64, Instant)>,
    latest: Option<TimerId>,
}

impl Actor for Ticker {
    type Msg = Clock;

    async fn handle(&mut self, message: Clock, cx: &mut Context<Clock>) -> Flow {
        match message {
            Clock::After(delay, n) => self.latest = Some(cx.send_after(delay, Clock::Tick(n))),
            Clock::Every(period) => {
                let mut n = 0;
                let tick = move || {
                    n += 1;
                    Clock::Tick(n)
                };
                self.latest = Some(cx.interval(period, tick));
            }
            Clock::Cancel(reply) => reply.send(self.latest.is_some_and(|timer| cx.cancel(timer))),
            Clock::Rest(time) => cx.sleep(time).await,
            Clock::Fail => return Flow::fail("told to"),
            // The test may have seen enough.
            Clock::Tick(n) => drop(self.told.send((n, Instant::now()))),
        }
        Flow::Continue
    }
}

fn ticker(system: &System) -> (Addr<Clock>, mpsc::Receiver<(u64, Instant)>) {
    let (told, ticks) = mpsc::channel();
    let ticker = move || Ticker { told: told.clone(), latest: None };
    (system.spawn(Placement::Shard(0), SpawnOptions::named("ticker"), ticker).unwrap(), ticks)
}

#[test]
fn a_message_to_oneself_comes_after_its_delay_and_in_order() {
    for host in hosts() {
        let system = system(host, 1);
        let (ticker, ticks) = ticker(&system);
        let begin = Instant::now();
        ticker.try_tell(Clock::After(3 * TICK, 3)).unwrap();
        ticker.try_tell(Clock::After(TICK, 1)).unwrap();
        ticker.try_tell(Clock::After(2 * TICK, 2)).unwrap();
        for n in 1..=3 {
            let (tick, at) = ticks.recv_timeout(LONG).unwrap();
            assert_eq!(tick, n);
            assert!(at - begin >= TICK * n as u32, "{:?} for {n}", at - begin);
        }
    }
}

#[test]
fn an_interval_goes_on_until_it_is_cancelled() {
    for host in hosts() {
        let system = system(host, 1);
        let (ticker, ticks) = ticker(&system);
        let begin = Instant::now();
        ticker.try_tell(Clock::Every(TICK)).unwrap();
        for n in 1..=4 {
            assert_eq!(ticks.recv_timeout(LONG).unwrap().0, n);
        }
        assert!(begin.elapsed() >= 4 * TICK);
        assert_eq!(ticker.ask_blocking(Clock::Cancel, LONG), Ok(true));
        assert_eq!(ticker.ask_blocking(Clock::Cancel, LONG), Ok(false));
        while ticks.try_recv().is_ok() {}
        // Four periods of silence, by the same shard's clock.
        ticker.try_tell(Clock::After(4 * TICK, 99)).unwrap();
        assert_eq!(ticks.recv_timeout(LONG).unwrap().0, 99);
    }
}

#[test]
fn ticks_missed_by_a_busy_actor_are_one() {
    for host in hosts() {
        let system = system(host, 1);
        let (ticker, ticks) = ticker(&system);
        ticker.try_tell(Clock::Every(TICK)).unwrap();
        ticker.try_tell(Clock::Rest(10 * TICK)).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < 10 * TICK {
            thread::yield_now();
        }
        let (first, at) = ticks.recv_timeout(LONG).unwrap();
        assert_eq!(first, 1);
        let (second, later) = ticks.recv_timeout(LONG).unwrap();
        assert_eq!(second, 2);
        assert!(later > at);
        assert!(begin.elapsed() < 10 * TICK + 10 * TICK, "the missed ones were made up for");
    }
}

#[test]
fn timers_end_with_the_life_that_set_them() {
    for host in hosts() {
        let system = system(host, 1);
        let (ticker, ticks) = ticker(&system);
        ticker.try_tell(Clock::Every(TICK)).unwrap();
        ticker.try_tell(Clock::After(3 * TICK, 77)).unwrap();
        ticker.try_tell(Clock::Fail).unwrap();
        // Handled in the next life, after a back-off.
        ticker.try_tell(Clock::After(10 * TICK, 99)).unwrap();
        assert_eq!(ticks.recv_timeout(LONG).unwrap().0, 99);
        assert_eq!(system.counts().restarted, 1);
    }
}

/// Watches others, and passes on what it hears.
struct Witness(mpsc::Sender<Heard>);

#[derive(Debug, PartialEq)]
enum Heard {
    Told(u64),
    Gone(ActorExit),
}

enum See {
    Watch(Addr<Count>),
    Unwatch(Addr<Count>, Reply<bool>),
    Heard(Heard),
}

impl Actor for Witness {
    type Msg = See;

    async fn handle(&mut self, message: See, cx: &mut Context<See>) -> Flow {
        match message {
            See::Watch(other) => cx.watch(&other, |ended| See::Heard(Heard::Gone(ended))),
            See::Unwatch(other, reply) => reply.send(cx.unwatch(&other)),
            See::Heard(heard) => drop(self.0.send(heard)),
        }
        Flow::Continue
    }
}

fn witness(system: &System, shard: usize) -> (Addr<See>, mpsc::Receiver<Heard>) {
    let (told, heard) = mpsc::channel();
    let options = SpawnOptions { mailbox: 64, ..SpawnOptions::named("witness") };
    (system.spawn(Placement::Shard(shard), options, move || Witness(told.clone())).unwrap(), heard)
}

fn gone(heard: &mpsc::Receiver<Heard>) -> ActorExit {
    match heard.recv_timeout(LONG).unwrap() {
        Heard::Gone(ended) => ended,
        Heard::Told(n) => panic!("told {n}"),
    }
}

#[test]
fn a_watcher_hears_why_another_actor_ended_once_on_any_shard() {
    for host in hosts() {
        let system = system(host, 2);
        for shard in 0..2 {
            let (witness, heard) = witness(&system, shard);
            let other = counter(&system);
            witness.try_tell(See::Watch(other.clone())).unwrap();
            witness.try_tell(See::Watch(other.clone())).unwrap();
            other.try_tell(Count::Stop).unwrap();
            let ended = gone(&heard);
            assert_eq!(
                (ended.id, &*ended.name, ended.shard, ended.reason),
                (other.id(), "counter", 0, ExitReason::Stopped)
            );
            // One that has ended already is told of at once; and the first one only once.
            witness.try_tell(See::Watch(other.clone())).unwrap();
            assert_eq!(gone(&heard).id, other.id());
            witness.try_tell(See::Heard(Heard::Told(1))).unwrap();
            assert_eq!(heard.recv_timeout(LONG).unwrap(), Heard::Told(1));
        }
    }
}

#[test]
fn the_end_is_heard_after_everything_the_ended_had_told() {
    struct Last(Addr<See>);
    impl Actor for Last {
        type Msg = ();
        async fn handle(&mut self, (): (), _: &mut Context<()>) -> Flow {
            for n in 0..200 {
                if self.0.tell(See::Heard(Heard::Told(n))).await.is_err() {
                    return Flow::fail("nobody listens");
                }
            }
            Flow::Stop
        }
    }
    enum Watch {
        Last(Addr<()>),
        Heard(Heard),
    }
    struct Forwarder(mpsc::Sender<Heard>);
    impl Actor for Forwarder {
        type Msg = Watch;
        async fn handle(&mut self, message: Watch, cx: &mut Context<Watch>) -> Flow {
            match message {
                Watch::Last(last) => cx.watch(&last, |ended| Watch::Heard(Heard::Gone(ended))),
                Watch::Heard(heard) => drop(self.0.send(heard)),
            }
            Flow::Continue
        }
    }
    for host in hosts() {
        for shard in 0..2 {
            let system = system(host, 2);
            let (witness, heard) = witness(&system, 0);
            let last = system
                .spawn(Placement::Shard(shard), SpawnOptions::named("last"), move || Last(witness.clone()));
            let last = last.unwrap();
            let (told, gone) = mpsc::channel();
            let other = system
                .spawn(Placement::Shard(0), SpawnOptions::default(), move || Forwarder(told.clone()))
                .unwrap();
            other.ask_watch(&last, Watch::Last);
            last.try_tell(()).unwrap();
            assert!(matches!(gone.recv_timeout(LONG).unwrap(), Heard::Gone(_)));
            let told: Vec<_> = (0..200).map(|_| heard.recv_timeout(LONG).unwrap()).collect();
            assert_eq!(told, (0..200).map(Heard::Told).collect::<Vec<_>>());
        }
    }
}

trait AskWatch<M> {
    fn ask_watch<N>(&self, other: &Addr<N>, make: impl FnOnce(Addr<N>) -> M);
}

impl<M: Send + 'static> AskWatch<M> for Addr<M> {
    fn ask_watch<N>(&self, other: &Addr<N>, make: impl FnOnce(Addr<N>) -> M) {
        assert!(self.try_tell(make(other.clone())).is_ok());
    }
}

#[test]
fn what_is_watched_no_more_ends_unheard() {
    for host in hosts() {
        let system = system(host, 1);
        let (witness, heard) = witness(&system, 0);
        let other = counter(&system);
        witness.try_tell(See::Watch(other.clone())).unwrap();
        assert_eq!(witness.ask_blocking(|reply| See::Unwatch(other.clone(), reply), LONG), Ok(true));
        assert_eq!(witness.ask_blocking(|reply| See::Unwatch(other.clone(), reply), LONG), Ok(false));
        other.stop(Undelivered::Drain);
        other.exited_blocking(LONG).unwrap();
        witness.try_tell(See::Heard(Heard::Told(1))).unwrap();
        assert_eq!(heard.recv_timeout(LONG).unwrap(), Heard::Told(1));
    }
}

#[test]
fn anyone_waits_for_an_actors_end() {
    for host in hosts() {
        let system = system(host, 2);
        let other = counter(&system);
        assert_eq!(other.exited_blocking(TICK), Err(AskError::Timeout));
        let (first, second) = (other.exited(), other.exited());
        assert!(other.exit_status().is_none());
        other.try_tell(Count::Stop).unwrap();
        assert_eq!(block_on(first).reason, ExitReason::Stopped);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(second).reason, ExitReason::Stopped);
        assert_eq!(other.exit_status().unwrap().reason, ExitReason::Stopped);
        // The future keeps no address: the actor is forgotten while it is awaited.
        let other = counter(&system);
        let ended = other.exited();
        drop(other);
        assert_eq!(block_on(ended).reason, ExitReason::Unreferenced);
    }
}

#[test]
fn an_actor_is_told_to_end_whatever_its_policy() {
    for host in hosts() {
        let system = system(host, 1);
        for (undelivered, handled) in [(Undelivered::Drain, 3), (Undelivered::Discard, 0)] {
            let before = system.counts();
            let options = SpawnOptions { restart: Restart::Always, ..SpawnOptions::default() };
            let (told, sums) = mpsc::channel();
            let actor = system.spawn(Placement::Shard(0), options, move || Sums(0, told.clone())).unwrap();
            actor.try_tell(Count::Rest(TICK)).unwrap();
            wait_until("it rests", || actor.depth() == 0);
            for _ in 0..3 {
                actor.try_tell(Count::Add(1)).unwrap();
            }
            actor.stop(undelivered);
            assert_eq!(actor.exited_blocking(LONG).unwrap().reason, ExitReason::StopRequested);
            assert!(actor.try_tell(Count::Add(1)).is_err());
            assert_eq!(sums.recv_timeout(LONG).unwrap(), handled);
            assert_eq!(system.counts().messages_dropped - before.messages_dropped, 3 - handled);
            assert_eq!(system.counts().restarted, 0);
        }
    }
}

/// Adds up, and tells the sum at its end.
struct Sums(u64, mpsc::Sender<u64>);

impl Actor for Sums {
    type Msg = Count;

    async fn handle(&mut self, message: Count, cx: &mut Context<Count>) -> Flow {
        match message {
            Count::Add(n) => self.0 += n,
            Count::Rest(time) => cx.sleep(time).await,
            _ => {}
        }
        Flow::Continue
    }

    async fn stopped(&mut self, _: &mut Context<Count>) {
        self.1.send(self.0).unwrap();
    }
}

#[test]
fn actors_are_found_by_name_and_type_until_they_end() {
    for host in hosts() {
        let system = system(host, 2);
        let registry = system.registry();
        let one = counter(&system);
        let (two, _heard) = witness(&system, 1);
        registry.register("main", &one).unwrap();
        registry.register("main", &two).unwrap();
        assert_eq!(registry.register("main", &counter(&system)), Err(RegisterError::Taken));
        assert!(
            registry.find::<Count>("main").unwrap() == one && registry.find::<See>("main").unwrap() == two
        );
        assert!(registry.find::<u64>("main").is_none() && registry.find::<Count>("other").is_none());
        assert_eq!(registry.names::<Count>(), ["main".into()]);
        // An entry is an address: the actor lives on without others.
        let id = one.id();
        drop(one);
        let one = registry.find::<Count>("main").unwrap();
        assert_eq!((one.id(), one.ask_blocking(Count::Total, LONG)), (id, Ok(0)));
        one.try_tell(Count::Stop).unwrap();
        one.exited_blocking(LONG).unwrap();
        assert!(registry.find::<Count>("main").is_none(), "its entry goes before its end is told");
        assert_eq!(registry.register("main", &one), Err(RegisterError::Exited));
        assert!(registry.find::<Count>("main").is_none());
        registry.register("main", &counter(&system)).unwrap();
        assert!(registry.remove::<Count>("main") && !registry.remove::<Count>("main"));
        wait_until("it is forgotten", || system.actors(0) == 0);
    }
}

#[test]
fn a_registry_is_shared_by_whom_it_was_given_to() {
    for host in hosts() {
        let registry = Registry::new();
        let start =
            || System::builder().host(host).cores(Cores::Unpinned(1)).registry(&registry).start().unwrap();
        let (one, two) = (start(), start());
        registry.register("counter", &counter(&one)).unwrap();
        let found = two.registry().find::<Count>("counter").unwrap();
        assert_eq!(found.ask_blocking(Count::Where, LONG), Ok(0));
        one.stop(Undelivered::Drain);
        assert!(one.join(LONG).is_clean());
        assert!(registry.find::<Count>("counter").is_none(), "{registry:?}");
    }
}

#[test]
fn one_per_shard_is_one_on_each_and_the_nearest_is_here() {
    struct Nearest(windlass_actors::PerShard<Count>);
    impl Actor for Nearest {
        type Msg = Reply<usize>;
        async fn handle(&mut self, reply: Reply<usize>, _: &mut Context<Reply<usize>>) -> Flow {
            let Some(here) = self.0.here() else { return Flow::fail("not on a shard") };
            match here.ask(Count::Where, LONG).await {
                Ok(shard) => reply.send(shard),
                Err(error) => return Flow::fail(error),
            }
            Flow::Continue
        }
    }
    for host in hosts() {
        let system = system(host, 3);
        let counters = system.spawn_each(SpawnOptions::named("counter"), Counter::default).unwrap();
        assert!(counters.here().is_none());
        let shards: Vec<_> =
            counters.iter().map(|counter| counter.ask_blocking(Count::Where, LONG).unwrap()).collect();
        assert_eq!(shards, [0, 1, 2]);
        for shard in 0..3 {
            let counters = counters.clone();
            let nearest = move || Nearest(counters.clone());
            let nearest = system.spawn(Placement::Shard(shard), SpawnOptions::default(), nearest).unwrap();
            assert_eq!(nearest.ask_blocking(|reply| reply, LONG), Ok(shard));
        }
        // Those of another system are elsewhere, whatever the number of their shard.
        let other = common::system(host, 3);
        let theirs = move || {
            assert!(Local::current().is_some() && counters.here().is_none());
            Counter::default()
        };
        let actor = other.spawn(Placement::Shard(1), SpawnOptions::default(), theirs).unwrap();
        assert_eq!(actor.ask_blocking(Count::Total, LONG), Ok(0));
    }
}

#[test]
fn a_weak_address_does_not_keep_an_actor() {
    for host in hosts() {
        let system = system(host, 1);
        let strong = counter(&system);
        let weak = strong.downgrade();
        assert!(weak.upgrade().unwrap() == strong);
        let ended = strong.exited();
        drop(strong);
        assert_eq!(block_on(ended).reason, ExitReason::Unreferenced);
        assert!(weak.upgrade().is_none());
    }
}

#[test]
fn seventy_thousand_addresses_of_one_actor_live_and_tell_at_once() {
    for host in hosts() {
        let system = system(host, 1);
        let counter = counter(&system);
        let addresses: Vec<_> = (0..70_000).map(|_| counter.clone()).collect();
        thread::scope(|scope| {
            for part in addresses.chunks(35_000) {
                scope.spawn(|| part.iter().for_each(|address| address.tell_blocking(Count::Add(1)).unwrap()));
            }
        });
        assert_eq!(addresses[69_999].ask_blocking(Count::Total, LONG), Ok(70_000));
        // And as many questions that wait at once, each with a waker of the asking task.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let asked: Vec<_> = addresses
                .into_iter()
                .map(|address| tokio::spawn(async move { address.ask(Count::Total, LONG).await }))
                .collect();
            for answer in asked {
                assert_eq!(answer.await.unwrap(), Ok(70_000));
            }
        });
    }
}
