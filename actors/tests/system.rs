//! Systems: starting, stopping, several at once.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{Count, Counter, LONG, eventually, hosts, system};
use windlass_actors::{
    Actor, Addr, Context, Cores, Flow, Local, Placement, SpawnOptions, System, Undelivered,
    error::{AskError, CoresError, SpawnError, StartError},
};

fn counter(system: &System) -> Addr<Count> {
    system.spawn(Placement::LeastLoaded, SpawnOptions::default(), Counter::default).unwrap()
}

#[test]
fn a_system_starts_and_stops_ten_times() {
    for host in hosts() {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        for _ in 0..10 {
            let system = system(host, 2);
            let counter = counter(&system);
            counter.try_tell(Count::Add(1)).unwrap();
            system.stop(Undelivered::Drain);
            system.stop(Undelivered::Drain);
            let report = system.join(LONG);
            assert!(report.is_clean(), "{report:?}");
            assert_eq!((report.shards_joined, report.actors_stopped), (2, 1));
            assert_eq!(system.join(LONG).shards_joined, 2);
        }
        // Other tests run beside this one. Leaked shards would be at least 20 threads more.
        eventually("the threads have ended", || threads() < 40);
    }
}

#[test]
fn shards_are_pinned_to_the_configured_cores() {
    for host in hosts() {
        let system = System::builder().host(host).cores(Cores::PerCore).start().unwrap();
        assert!(system.shards() >= 1);
        let (sender, seen) = mpsc::channel();
        for shard in 0..system.shards() {
            let sender = sender.clone();
            let cores = move || {
                sender.send(rustix::thread::sched_getaffinity(None).unwrap().count()).unwrap();
                Counter::default()
            };
            let _ = system.spawn(Placement::Shard(shard), SpawnOptions::default(), cores).unwrap();
            assert_eq!(seen.recv_timeout(LONG), Ok(1));
        }
    }
}

#[test]
fn two_systems_run_side_by_side() {
    for host in hosts() {
        let systems = [system(host, 1), system(host, 2)];
        let counters = systems.each_ref().map(counter);
        counters[0].try_tell(Count::Add(1)).unwrap();
        counters[1].try_tell(Count::Add(2)).unwrap();
        systems[0].stop(Undelivered::Drain);
        assert!(systems[0].join(LONG).is_clean());
        assert_eq!(counters[0].ask_blocking(Count::Total, LONG), Err(AskError::Closed));
        assert_eq!(counters[1].ask_blocking(Count::Total, LONG), Ok(2));
    }
}

/// Actor that counts its messages, slowly.
struct Slow(Arc<AtomicU64>);

impl Actor for Slow {
    type Msg = ();

    async fn handle(&mut self, (): (), cx: &mut Context<()>) -> Flow {
        cx.sleep(Duration::from_millis(1)).await;
        self.0.fetch_add(1, Ordering::SeqCst);
        Flow::Continue
    }
}

/// Sends to a slow actor from three threads until it refuses, and stops the system meanwhile. Returns how
/// many messages were sent and handled.
fn stop_under_load(
    host: windlass_actors::Host,
    undelivered: Undelivered,
) -> (u64, u64, windlass_actors::StopReport) {
    let system = system(host, 1);
    let handled = Arc::new(AtomicU64::new(0));
    let ours = Arc::clone(&handled);
    let slow =
        system.spawn(Placement::Shard(0), SpawnOptions::default(), move || Slow(Arc::clone(&ours))).unwrap();
    let sent = AtomicU64::new(0);
    let report = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while slow.tell_blocking(()).is_ok() {
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        eventually("the mailbox is full", || slow.depth() == slow.capacity());
        system.stop(undelivered);
        system.join(LONG)
    });
    (sent.into_inner(), handled.load(Ordering::SeqCst), report)
}

/// Messages in a mailbox that is full for senders on other threads. A busy actor may have reserved an eighth
/// of the slots.
const FULL: u64 = 256 - 256 / 8;

#[test]
fn a_draining_stop_handles_all_messages() {
    for host in hosts() {
        let (sent, handled, report) = stop_under_load(host, Undelivered::Drain);
        assert!(report.is_clean(), "{report:?}");
        assert!(report.messages_drained >= FULL, "{report:?}");
        // A message that was sent during the exit may have been dropped. It is counted then.
        assert_eq!(sent, handled + report.messages_dropped, "{report:?}");
    }
}

#[test]
fn a_discarding_stop_drops_and_counts_the_messages() {
    for host in hosts() {
        let (sent, handled, report) = stop_under_load(host, Undelivered::Discard);
        assert!(report.is_clean(), "{report:?}");
        assert!(report.messages_dropped >= FULL && report.messages_drained == 0, "{report:?}");
        assert_eq!(sent, handled + report.messages_dropped, "{report:?}");
    }
}

#[test]
fn actors_exit_before_any_driver_stops_and_call_stopped() {
    struct Last(mpsc::Sender<&'static str>);
    impl Actor for Last {
        type Msg = ();
        async fn handle(&mut self, (): (), _: &mut Context<()>) -> Flow {
            Flow::Continue
        }
        async fn stopped(&mut self, cx: &mut Context<()>) {
            cx.sleep(Duration::from_millis(30)).await;
            self.0.send("actor").unwrap();
        }
    }
    for host in hosts() {
        let (sender, order) = mpsc::channel();
        let (events, stops) = mpsc::channel();
        let builder = System::builder().host(host).cores(Cores::Unpinned(2));
        let (system, _shards) = builder
            .start_with(move |local| Ok(common::driver::Scripted::new(local, events.clone())))
            .unwrap();
        // The actor is on shard 0. The driver of shard 1 must wait for it too.
        let _actor =
            system.spawn(Placement::Shard(0), SpawnOptions::default(), move || Last(sender.clone())).unwrap();
        system.stop(Undelivered::Drain);
        assert_eq!(order.recv_timeout(LONG), Ok("actor"));
        assert!(system.join(LONG).is_clean());
        let stops: Vec<_> = stops.try_iter().filter(|event| *event == common::driver::Event::Stop).collect();
        assert_eq!(stops.len(), 2);
    }
}

#[test]
fn an_actor_that_does_not_exit_is_dropped_at_the_timeout() {
    for host in hosts() {
        let system = system(host, 2);
        let counter = counter(&system);
        counter.try_tell(Count::Rest(LONG)).unwrap();
        counter.try_tell(Count::Add(1)).unwrap();
        eventually("the actor is busy", || counter.depth() == 1);
        system.stop(Undelivered::Drain);
        let begin = Instant::now();
        let report = system.join(Duration::from_millis(50));
        assert!(begin.elapsed() < LONG / 2);
        assert!(report.aborted && report.shards_stuck.is_empty(), "{report:?}");
        assert_eq!((report.actors_stopped, report.messages_dropped), (1, 1), "{report:?}");
    }
}

#[test]
fn a_blocked_shard_is_reported_as_stuck() {
    struct Blocker(Option<mpsc::Receiver<()>>);
    impl Actor for Blocker {
        type Msg = ();
        async fn handle(&mut self, (): (), _: &mut Context<()>) -> Flow {
            let _ = self.0.take().map(|held| held.recv());
            Flow::Continue
        }
    }
    for host in hosts() {
        let system = system(host, 2);
        let (release, held) = mpsc::channel();
        let mut held = Some(held);
        let blocker =
            system.spawn(Placement::Shard(1), SpawnOptions::default(), move || Blocker(held.take())).unwrap();
        blocker.try_tell(()).unwrap();
        eventually("the actor blocks its shard", || blocker.depth() == 0);
        system.stop(Undelivered::Discard);
        let report = system.join(Duration::from_millis(20));
        assert_eq!((report.shards_stuck, report.shards_joined), (vec![1], 1));
        drop(release);
        assert!(system.join(LONG).shards_stuck.is_empty());
    }
}

#[test]
fn nothing_is_spawned_on_a_stopped_system_or_a_missing_shard() {
    for host in hosts() {
        let system = system(host, 1);
        let missing =
            system.spawn(Placement::Shard(1), SpawnOptions::default(), Counter::default).map(|_| ());
        assert_eq!(missing, Err(SpawnError::NoSuchShard { shard: 1, shards: 1 }));
        system.stop(Undelivered::Drain);
        system.join(LONG);
        for place in [Placement::Shard(0), Placement::LeastLoaded] {
            let stopped = system.spawn(place, SpawnOptions::default(), Counter::default).map(|_| ());
            assert_eq!(stopped, Err(SpawnError::Stopped));
        }
    }
}

#[test]
fn dropping_the_last_handle_stops_the_system() {
    for host in hosts() {
        let system = system(host, 1);
        let counter = counter(&system);
        let clone = system.clone();
        drop(system);
        assert_eq!(counter.ask_blocking(Count::Total, LONG), Ok(0));
        drop(clone);
        eventually("the actor has exited", || !counter.is_open());
    }
}

#[test]
fn an_actor_may_hold_values_that_are_not_send() {
    struct Rooted(Local, std::rc::Rc<()>);
    impl Actor for Rooted {
        type Msg = windlass_actors::Reply<(usize, usize)>;
        async fn handle(&mut self, reply: Self::Msg, _: &mut Context<Self::Msg>) -> Flow {
            reply.send((self.0.shard(), std::rc::Rc::strong_count(&self.1)));
            Flow::Continue
        }
    }
    for host in hosts() {
        let system = system(host, 2);
        let rooted = || Rooted(Local::current().unwrap(), std::rc::Rc::new(()));
        let address = system.spawn(Placement::Shard(1), SpawnOptions::default(), rooted).unwrap();
        assert_eq!(address.ask_blocking(|reply| reply, LONG), Ok((1, 1)));
    }
}

#[test]
fn unknown_cores_are_reported() {
    let error = System::builder().cores(Cores::List(vec![4095])).start().map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Cores(CoresError::UnknownCore { core: 4095, .. })), "{error}");
}
