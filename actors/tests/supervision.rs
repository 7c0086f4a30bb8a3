//! Panics, failures, restarts.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use common::{LONG, eventually, hosts, system};
use windlass_actors::{
    Actor, Addr, Context, Flow, Placement, Reply, Restart, SpawnOptions, System, Undelivered,
};

/// Message to a fragile actor.
enum Do {
    Panic,
    Fail,
    Stop,
    /// Asks for the number of restarts.
    Restarts(Reply<u64>),
}

/// Point at which a fragile actor panics by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Never,
    InFactory,
    InStarted,
    InStopped,
    InDrop,
}

struct Fragile {
    breaks: Breaks,
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Fragile {
    fn log(&self, what: &'static str) {
        self.log.lock().unwrap().push(what);
    }
}

impl Actor for Fragile {
    type Msg = Do;

    async fn started(&mut self, cx: &mut Context<Do>) -> Flow {
        self.log("started");
        assert!(self.breaks != Breaks::InStarted || cx.restarts() > 0, "in started");
        Flow::Continue
    }

    async fn handle(&mut self, message: Do, cx: &mut Context<Do>) -> Flow {
        match message {
            Do::Panic => panic!("in handle"),
            Do::Fail => return Flow::fail("expected by the test"),
            Do::Stop => return Flow::Stop,
            Do::Restarts(reply) => reply.send(cx.restarts()),
        }
        Flow::Continue
    }

    async fn stopped(&mut self, cx: &mut Context<Do>) {
        self.log("stopped");
        assert!(self.breaks != Breaks::InStopped || cx.restarts() > 0, "in stopped");
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.log("dropped");
        assert!(self.breaks != Breaks::InDrop, "in drop");
    }
}

struct Rig {
    system: System,
    fragile: Addr<Do>,
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Rig {
    fn new(host: windlass_actors::Host, restart: Restart, breaks: Breaks) -> Self {
        Self::with(
            host,
            SpawnOptions { restart, backoff: Duration::from_millis(1), ..SpawnOptions::default() },
            breaks,
        )
    }

    fn with(host: windlass_actors::Host, options: SpawnOptions, breaks: Breaks) -> Self {
        let system = system(host, 1);
        let log = Arc::new(Mutex::new(Vec::new()));
        let ours = Arc::clone(&log);
        let mut built = 0;
        let factory = move || {
            built += 1;
            assert!(breaks != Breaks::InFactory || built > 1, "in the factory");
            // Only the first instance panics in its drop.
            let breaks = if breaks == Breaks::InDrop && built > 1 { Breaks::Never } else { breaks };
            Fragile { breaks, log: Arc::clone(&ours) }
        };
        let fragile = system.spawn(Placement::Shard(0), options, factory).unwrap();
        Self { system, fragile, log }
    }

    fn restarts(&self) -> u64 {
        self.fragile.ask_blocking(Do::Restarts, LONG).unwrap()
    }

    fn log(&self) -> Vec<&'static str> {
        self.log.lock().unwrap().clone()
    }
}

#[test]
fn a_panic_in_handle_restarts_the_actor_and_keeps_its_mailbox() {
    for host in hosts() {
        let rig = Rig::new(host, Restart::OnFailure, Breaks::Never);
        rig.fragile.try_tell(Do::Panic).unwrap();
        // Asked before the restart, answered after it.
        assert_eq!(rig.restarts(), 1);
        assert_eq!(rig.log(), ["started", "dropped", "started"]);
        assert_eq!(rig.system.counts().panicked, 1);
    }
}

#[test]
fn a_panic_in_factory_started_stopped_or_drop_is_caught_too() {
    for host in hosts() {
        for breaks in [Breaks::InFactory, Breaks::InStarted] {
            assert_eq!(Rig::new(host, Restart::OnFailure, breaks).restarts(), 1);
        }
        for breaks in [Breaks::InStopped, Breaks::InDrop] {
            let rig = Rig::new(host, Restart::OnFailure, breaks);
            rig.fragile.try_tell(Do::Stop).unwrap();
            assert_eq!(rig.restarts(), 1);
            assert_eq!(rig.log(), ["started", "stopped", "dropped", "started"]);
        }
    }
}

#[test]
fn a_failure_calls_stopped_and_restarts() {
    for host in hosts() {
        let rig = Rig::new(host, Restart::OnFailure, Breaks::Never);
        rig.fragile.try_tell(Do::Fail).unwrap();
        assert_eq!(rig.restarts(), 1);
        assert_eq!(rig.log(), ["started", "stopped", "dropped", "started"]);
        assert_eq!(rig.system.counts().panicked, 0);
    }
}

#[test]
fn policies_decide_after_which_exit_reasons_an_actor_restarts() {
    for host in hosts() {
        let comes_back = |restart, message: Do| {
            let rig = Rig::new(host, restart, Breaks::Never);
            rig.fragile.try_tell(message).unwrap();
            eventually("the actor exits or restarts", || {
                let counts = rig.system.counts();
                counts.restarted + counts.stopped == 1
            });
            rig.fragile.is_open()
        };
        assert!(comes_back(Restart::Always, Do::Stop));
        assert!(comes_back(Restart::Always, Do::Panic));
        assert!(!comes_back(Restart::OnFailure, Do::Stop));
        assert!(comes_back(Restart::OnFailure, Do::Fail));
        assert!(!comes_back(Restart::Never, Do::Panic));
        assert!(!comes_back(Restart::Never, Do::Fail));
    }
}

#[test]
fn too_many_restarts_within_the_window_are_the_exit_of_the_actor() {
    for host in hosts() {
        let options =
            SpawnOptions { max_restarts: 2, backoff: Duration::from_millis(1), ..SpawnOptions::default() };
        let rig = Rig::with(host, options, Breaks::Never);
        for _ in 0..4 {
            rig.fragile.try_tell(Do::Panic).unwrap();
        }
        eventually("the restart limit is reached", || rig.system.counts().restart_limit_reached == 1);
        eventually("the actor refuses messages", || !rig.fragile.is_open());
        eventually("the actor is gone", || rig.system.counts().stopped == 1);
        let counts = rig.system.counts();
        assert_eq!((counts.panicked, counts.restarted, counts.messages_dropped), (3, 2, 1));
    }
}

#[test]
fn each_restart_delay_is_twice_as_long() {
    for host in hosts() {
        let options = SpawnOptions { backoff: Duration::from_millis(20), ..SpawnOptions::default() };
        let rig = Rig::with(host, options, Breaks::Never);
        let begin = Instant::now();
        for _ in 0..3 {
            rig.fragile.try_tell(Do::Panic).unwrap();
        }
        assert_eq!(rig.restarts(), 3);
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(20 + 40 + 80), "{took:?}");
    }
}

#[test]
fn a_stop_does_not_wait_for_a_restart() {
    for host in hosts() {
        let options = SpawnOptions { backoff: LONG, max_backoff: LONG, ..SpawnOptions::default() };
        let rig = Rig::with(host, options, Breaks::Never);
        rig.fragile.try_tell(Do::Panic).unwrap();
        eventually("the actor has panicked", || rig.system.counts().panicked == 1);
        rig.system.stop(Undelivered::Drain);
        let report = rig.system.join(LONG / 2);
        assert!(report.is_clean(), "{report:?}");
    }
}

#[test]
fn a_panicking_task_is_caught_and_counted() {
    struct Host(mpsc::Sender<()>);
    impl Actor for Host {
        type Msg = ();
        async fn handle(&mut self, (): (), cx: &mut Context<()>) -> Flow {
            cx.local().spawn(async { panic!("expected by the test") });
            let done = self.0.clone();
            cx.local().spawn(async move { done.send(()).unwrap() });
            Flow::Continue
        }
    }
    for host in hosts() {
        let system = system(host, 1);
        let (sender, receiver) = mpsc::channel();
        let address =
            system.spawn(Placement::Shard(0), SpawnOptions::default(), move || Host(sender.clone())).unwrap();
        address.try_tell(()).unwrap();
        receiver.recv_timeout(LONG).unwrap();
        eventually("the panic is counted", || system.stats(0).unwrap().task_panics() == 1);
        eventually("both tasks are gone", || system.stats(0).unwrap().tasks() == 1);
    }
}
