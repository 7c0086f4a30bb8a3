//! Timers, watches, exits, the registry and addresses of actors.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{Count, Counter, LONG, eventually, hosts, system};
use windlass_actors::{
    Actor, ActorExit, Addr, Context, Cores, ExitReason, Flow, Local, Placement, Registry, Reply, Restart,
    SpawnOptions, System, TimerId, Undelivered,
    error::{AskError, RegisterError},
};

const TICK: Duration = Duration::from_millis(10);

fn counter(system: &System) -> Addr<Count> {
    system.spawn(Placement::Shard(0), SpawnOptions::named("counter"), Counter::default).unwrap()
}

/// Message to a ticker, or from its own timers.
enum Clock {
    After(Duration, u64),
    Every(Duration),
    Cancel(Reply<bool>),
    Rest(Duration),
    Fail,
    Tick(u64),
}

struct Ticker {
    ticks: mpsc::Sender<(u64, Instant)>,
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
            Clock::Fail => return Flow::fail("expected by the test"),
            // Sending fails after the test has dropped the receiver.
            Clock::Tick(n) => drop(self.ticks.send((n, Instant::now()))),
        }
        Flow::Continue
    }
}

fn ticker(system: &System) -> (Addr<Clock>, mpsc::Receiver<(u64, Instant)>) {
    let (sender, ticks) = mpsc::channel();
    let ticker = move || Ticker { ticks: sender.clone(), latest: None };
    (system.spawn(Placement::Shard(0), SpawnOptions::named("ticker"), ticker).unwrap(), ticks)
}

#[test]
fn a_delayed_message_arrives_after_its_delay_and_in_order() {
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
fn an_interval_fires_until_it_is_cancelled() {
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
        // Nothing fires for four periods. A timer of the same shard measures them.
        ticker.try_tell(Clock::After(4 * TICK, 99)).unwrap();
        assert_eq!(ticks.recv_timeout(LONG).unwrap().0, 99);
    }
}

#[test]
fn ticks_missed_by_a_busy_actor_fire_once() {
    for host in hosts() {
        let system = system(host, 1);
        let (ticker, ticks) = ticker(&system);
        ticker.try_tell(Clock::Every(TICK)).unwrap();
        ticker.try_tell(Clock::Rest(10 * TICK)).unwrap();
        // The first tick stands for all missed ones. The others keep to the period. The first of them may be
        // early.
        let at: Vec<Instant> = (1..=5)
            .map(|n| {
                let (tick, at) = ticks.recv_timeout(LONG).unwrap();
                assert_eq!(tick, n);
                at
            })
            .collect();
        assert!(at[4] - at[0] >= 3 * TICK, "the missed ticks were fired too: {at:?}");
    }
}

#[test]
fn timers_end_with_the_run_that_set_them() {
    for host in hosts() {
        let system = system(host, 1);
        let (ticker, ticks) = ticker(&system);
        ticker.try_tell(Clock::Every(TICK)).unwrap();
        ticker.try_tell(Clock::After(3 * TICK, 77)).unwrap();
        ticker.try_tell(Clock::Fail).unwrap();
        // Handled in the next run, after the delay of the restart.
        ticker.try_tell(Clock::After(10 * TICK, 99)).unwrap();
        assert_eq!(ticks.recv_timeout(LONG).unwrap().0, 99);
        assert_eq!(system.counts().restarted, 1);
    }
}

/// Actor that watches others and passes on what it observes.
struct Watcher(mpsc::Sender<Observed>);

#[derive(Debug, PartialEq)]
enum Observed {
    Message(u64),
    Exit(ActorExit),
}

enum See {
    Watch(Addr<Count>),
    Unwatch(Addr<Count>, Reply<bool>),
    Observed(Observed),
}

impl Actor for Watcher {
    type Msg = See;

    async fn handle(&mut self, message: See, cx: &mut Context<See>) -> Flow {
        match message {
            See::Watch(other) => cx.watch(&other, |ended| See::Observed(Observed::Exit(ended))),
            See::Unwatch(other, reply) => reply.send(cx.unwatch(&other)),
            See::Observed(observed) => drop(self.0.send(observed)),
        }
        Flow::Continue
    }
}

fn watcher(system: &System, shard: usize) -> (Addr<See>, mpsc::Receiver<Observed>) {
    let (sender, observed) = mpsc::channel();
    let options = SpawnOptions { mailbox: 64, ..SpawnOptions::named("watcher") };
    (system.spawn(Placement::Shard(shard), options, move || Watcher(sender.clone())).unwrap(), observed)
}

fn observed_exit(observed: &mpsc::Receiver<Observed>) -> ActorExit {
    match observed.recv_timeout(LONG).unwrap() {
        Observed::Exit(ended) => ended,
        Observed::Message(n) => panic!("message {n} before the exit"),
    }
}

#[test]
fn a_watcher_gets_the_exit_of_another_actor_once_on_any_shard() {
    for host in hosts() {
        let system = system(host, 2);
        for shard in 0..2 {
            let (watcher, observed) = watcher(&system, shard);
            let other = counter(&system);
            watcher.try_tell(See::Watch(other.clone())).unwrap();
            watcher.try_tell(See::Watch(other.clone())).unwrap();
            other.try_tell(Count::Stop).unwrap();
            let exit = observed_exit(&observed);
            assert_eq!(
                (exit.id, &*exit.name, exit.shard, exit.reason),
                (other.id(), "counter", 0, ExitReason::Stopped)
            );
            // A watch on an actor that has exited fires at once. The first exit is reported only once.
            watcher.try_tell(See::Watch(other.clone())).unwrap();
            assert_eq!(observed_exit(&observed).id, other.id());
            watcher.try_tell(See::Observed(Observed::Message(1))).unwrap();
            assert_eq!(observed.recv_timeout(LONG).unwrap(), Observed::Message(1));
        }
    }
}

#[test]
fn an_exit_arrives_after_all_messages_of_the_actor() {
    struct Last(Addr<See>);
    impl Actor for Last {
        type Msg = ();
        async fn handle(&mut self, (): (), _: &mut Context<()>) -> Flow {
            for n in 0..200 {
                if self.0.tell(See::Observed(Observed::Message(n))).await.is_err() {
                    return Flow::fail("the receiver has exited");
                }
            }
            Flow::Stop
        }
    }
    enum Watch {
        Last(Addr<()>),
        Observed(Observed),
    }
    struct Forwarder(mpsc::Sender<Observed>);
    impl Actor for Forwarder {
        type Msg = Watch;
        async fn handle(&mut self, message: Watch, cx: &mut Context<Watch>) -> Flow {
            match message {
                Watch::Last(last) => cx.watch(&last, |ended| Watch::Observed(Observed::Exit(ended))),
                Watch::Observed(observed) => drop(self.0.send(observed)),
            }
            Flow::Continue
        }
    }
    for host in hosts() {
        for shard in 0..2 {
            let system = system(host, 2);
            let (watcher, observed) = watcher(&system, 0);
            let last = system
                .spawn(Placement::Shard(shard), SpawnOptions::named("last"), move || Last(watcher.clone()));
            let last = last.unwrap();
            let (sender, exits) = mpsc::channel();
            let other = system
                .spawn(Placement::Shard(0), SpawnOptions::default(), move || Forwarder(sender.clone()))
                .unwrap();
            other.ask_watch(&last, Watch::Last);
            last.try_tell(()).unwrap();
            assert!(matches!(exits.recv_timeout(LONG).unwrap(), Observed::Exit(_)));
            let messages: Vec<_> = (0..200).map(|_| observed.recv_timeout(LONG).unwrap()).collect();
            assert_eq!(messages, (0..200).map(Observed::Message).collect::<Vec<_>>());
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
fn a_removed_watch_does_not_fire() {
    for host in hosts() {
        let system = system(host, 1);
        let (watcher, observed) = watcher(&system, 0);
        let other = counter(&system);
        watcher.try_tell(See::Watch(other.clone())).unwrap();
        assert_eq!(watcher.ask_blocking(|reply| See::Unwatch(other.clone(), reply), LONG), Ok(true));
        assert_eq!(watcher.ask_blocking(|reply| See::Unwatch(other.clone(), reply), LONG), Ok(false));
        other.stop(Undelivered::Drain);
        other.exited_blocking(LONG).unwrap();
        watcher.try_tell(See::Observed(Observed::Message(1))).unwrap();
        assert_eq!(observed.recv_timeout(LONG).unwrap(), Observed::Message(1));
    }
}

#[test]
fn any_thread_can_wait_for_an_exit() {
    for host in hosts() {
        let system = system(host, 2);
        let other = counter(&system);
        assert_eq!(other.exited_blocking(TICK), Err(AskError::Timeout));
        let (first, second) = (other.exited(), other.exited());
        assert!(other.exit_status().is_none());
        other.try_tell(Count::Stop).unwrap();
        assert_eq!(pollster::block_on(first).reason, ExitReason::Stopped);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(second).reason, ExitReason::Stopped);
        assert_eq!(other.exit_status().unwrap().reason, ExitReason::Stopped);
        // The future holds no address, so the actor exits for lack of addresses while the future waits.
        let other = counter(&system);
        let ended = other.exited();
        drop(other);
        assert_eq!(pollster::block_on(ended).reason, ExitReason::Unreferenced);
    }
}

#[test]
fn a_stopped_actor_does_not_restart_whatever_its_policy() {
    for host in hosts() {
        let system = system(host, 1);
        for (undelivered, handled) in [(Undelivered::Drain, 3), (Undelivered::Discard, 0)] {
            let before = system.counts();
            let options = SpawnOptions { restart: Restart::Always, ..SpawnOptions::default() };
            let (sender, sums) = mpsc::channel();
            let actor = system.spawn(Placement::Shard(0), options, move || Sums(0, sender.clone())).unwrap();
            actor.try_tell(Count::Rest(TICK)).unwrap();
            eventually("the mailbox is empty", || actor.depth() == 0);
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

/// Actor that adds numbers and reports the sum when it stops.
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
fn actors_are_found_by_name_and_type_until_they_exit() {
    for host in hosts() {
        let system = system(host, 2);
        let registry = system.registry();
        let one = counter(&system);
        let (two, _heard) = watcher(&system, 1);
        registry.register("main", &one).unwrap();
        registry.register("main", &two).unwrap();
        assert_eq!(registry.register("main", &counter(&system)), Err(RegisterError::Taken));
        assert!(
            registry.find::<Count>("main").unwrap() == one && registry.find::<See>("main").unwrap() == two
        );
        assert!(registry.find::<u64>("main").is_none() && registry.find::<Count>("other").is_none());
        assert_eq!(registry.names::<Count>(), ["main".into()]);
        // The registry holds an address, so the actor runs on without others.
        let id = one.id();
        drop(one);
        let one = registry.find::<Count>("main").unwrap();
        assert_eq!((one.id(), one.ask_blocking(Count::Total, LONG)), (id, Ok(0)));
        one.try_tell(Count::Stop).unwrap();
        one.exited_blocking(LONG).unwrap();
        assert!(registry.find::<Count>("main").is_none(), "the entry is removed before the exit is reported");
        assert_eq!(registry.register("main", &one), Err(RegisterError::Exited));
        assert!(registry.find::<Count>("main").is_none());
        registry.register("main", &counter(&system)).unwrap();
        assert!(registry.remove::<Count>("main") && !registry.remove::<Count>("main"));
        eventually("the actor has exited", || system.actors(0) == 0);
    }
}

#[test]
fn a_registry_is_shared_between_systems() {
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
fn spawn_each_puts_one_actor_on_each_shard_and_here_returns_the_local_one() {
    struct Nearest(windlass_actors::PerShard<Count>);
    impl Actor for Nearest {
        type Msg = Reply<usize>;
        async fn handle(&mut self, reply: Reply<usize>, _: &mut Context<Reply<usize>>) -> Flow {
            let Some(here) = self.0.here() else { return Flow::fail("this thread is no shard's") };
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
        // Addresses of another system are not `here`, even if their shard has the same index.
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
fn a_weak_address_does_not_keep_an_actor_from_exiting() {
    for host in hosts() {
        let system = system(host, 1);
        let strong = counter(&system);
        let weak = strong.downgrade();
        assert!(weak.upgrade().unwrap() == strong);
        let ended = strong.exited();
        drop(strong);
        assert_eq!(pollster::block_on(ended).reason, ExitReason::Unreferenced);
        assert!(weak.upgrade().is_none());
    }
}

#[test]
fn seventy_thousand_addresses_of_one_actor_send_at_once() {
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
        // As many questions wait at once, each with a waker of the task that asked.
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
