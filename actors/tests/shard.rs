//! The event loop of a shard with a driver: messages, wakers, timers, tasks, failures.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use common::{
    LONG,
    driver::{Event, Order, Scripted},
    eventually, hosts,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use windlass_actors::{
    Cores, Host, Local, ShardSender, System, TellError, Undelivered,
    error::{FailureCause, StartError},
};

struct Rig {
    system: System,
    shards: Vec<ShardSender<Order>>,
    events: Receiver<Event>,
}

impl Rig {
    fn new(host: Host, shards: usize) -> Self {
        let (sender, events) = mpsc::channel();
        let builder = System::builder().name("rig").host(host).cores(Cores::Unpinned(shards)).inbox(64);
        let (system, shards) =
            builder.start_with(move |local| Ok(Scripted::new(local, sender.clone()))).unwrap();
        Self { system, shards, events }
    }

    fn run(&self, call: impl FnOnce(&Local) + Send + 'static) {
        self.shards[0].send_blocking(Order::Run(Box::new(call))).unwrap();
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(LONG).unwrap()
    }

    fn waker(&self, token: u64) -> Waker {
        let (sender, waker) = mpsc::channel();
        self.shards[0].send_blocking(Order::Waker(token, sender)).unwrap();
        waker.recv_timeout(LONG).unwrap()
    }

    fn tasks(&self) -> usize {
        self.system.stats(0).unwrap().tasks()
    }
}

#[test]
fn messages_from_many_threads_all_reach_the_driver() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        thread::scope(|scope| {
            for t in 0..4 {
                let shard = &rig.shards[0];
                scope.spawn(move || {
                    (0..2_000).for_each(|n| shard.send_blocking(Order::Echo(t * 2_000 + n)).unwrap())
                });
            }
        });
        let mut seen: Vec<_> = (0..8_000)
            .map(|_| match rig.event() {
                Event::Echo(n) => n,
                other => panic!("{other:?}"),
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..8_000).collect::<Vec<_>>());
        eventually("the messages are counted", || rig.shards[0].stats().messages() == 8_000);
    }
}

#[test]
fn a_message_wakes_a_sleeping_shard_every_time() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        for n in 0..2_000 {
            rig.shards[0].try_send(Order::Echo(n)).unwrap();
            assert_eq!(rig.event(), Event::Echo(n));
        }
    }
}

/// Blocks the first shard until the sender is dropped.
fn block(rig: &Rig) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    rig.run(move |_| {
        let _ = held.recv();
    });
    release
}

#[test]
fn a_full_inbox_gives_the_message_back() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let release = block(&rig);
        let mut sent = 0;
        let back = loop {
            match rig.shards[0].try_send(Order::Echo(sent)) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(back, TellError::Full(Order::Echo(n)) if n == sent));
        assert_eq!(rig.shards[0].capacity(), 64);
        // A busy driver may keep an eighth of the slots.
        assert!((56..=64).contains(&rig.shards[0].depth()), "{}", rig.shards[0].depth());
        drop(release);
        for n in 0..sent {
            assert_eq!(rig.event(), Event::Echo(n));
        }
    }
}

#[test]
fn a_full_inbox_takes_messages_that_need_no_slot() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let release = block(&rig);
        let mut sent = 0;
        while rig.shards[0].try_send(Order::Echo(sent)).is_ok() {
            sent += 1;
        }
        let depth = rig.shards[0].depth();
        for n in sent..sent + 100 {
            rig.shards[0].send_without_slot(Order::Echo(n)).unwrap();
        }
        assert_eq!(rig.shards[0].depth(), depth);
        drop(release);
        for n in 0..sent + 100 {
            assert_eq!(rig.event(), Event::Echo(n));
        }
        rig.system.stop(Undelivered::Drain);
        rig.system.join(LONG);
        assert!(rig.shards[0].send_without_slot(Order::Echo(0)).is_err());
    }
}

#[test]
fn wakes_arrive_once_between_two_turns_and_again_after() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let waker = rig.waker(7);
        let (entered, inside) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        rig.run(move |_| {
            entered.send(()).unwrap();
            let _ = held.recv();
        });
        inside.recv_timeout(LONG).unwrap();
        for _ in 0..100 {
            waker.wake_by_ref();
        }
        drop(release);
        assert_eq!(rig.event(), Event::Woken(7));
        waker.wake();
        assert_eq!(rig.event(), Event::Woken(7));
        rig.shards[0].try_send(Order::Echo(1)).unwrap();
        assert_eq!(rig.event(), Event::Echo(1));
    }
}

#[test]
fn a_waker_may_have_seventy_thousand_clones() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let waker = rig.waker(9);
        let clones = vec![waker; 70_000];
        clones[69_999].wake_by_ref();
        assert_eq!(rig.event(), Event::Woken(9));
    }
}

#[test]
fn a_timer_of_a_task_fires_within_two_turns_of_a_saturated_shard() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        rig.shards[0].try_send(Order::Saturate(Duration::from_micros(200))).unwrap();
        let (sender, lateness) = mpsc::channel();
        let system = rig.system.clone();
        rig.run(move |local| {
            // Turns of the shard, each with an instant in it, since the last timer fired.
            let turns = Rc::new(RefCell::new(Vec::new()));
            let (shard, seen) = (local.clone(), Rc::clone(&turns));
            local.spawn(poll_fn(move |cx| {
                seen.borrow_mut().push((system.stats(0).unwrap().turns(), Instant::now()));
                cx.waker().wake_by_ref();
                Poll::Pending
            }));
            local.spawn(async move {
                for _ in 0..100 {
                    let sleep = shard.sleep(Duration::from_millis(3));
                    let due = sleep.deadline();
                    sleep.await;
                    let turns = std::mem::take(&mut *turns.borrow_mut());
                    let late = turns.iter().filter(|(_, at)| *at >= due).map(|(turn, _)| *turn);
                    sender.send(late.collect::<BTreeSet<u64>>().len()).unwrap();
                }
            });
        });
        let late: Vec<_> = (0..100).map(|_| lateness.recv_timeout(LONG).unwrap()).collect();
        // The turn in which it fell due, and two more.
        assert!(late.iter().all(|turns| *turns <= 3), "{host:?}: {late:?}");
        assert_eq!(rig.shards[0].stats().timers(), 100);
    }
}

#[test]
fn a_task_woken_from_another_thread_runs_within_two_turns_of_a_saturated_shard() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        rig.shards[0].try_send(Order::Saturate(Duration::from_micros(200))).unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<()>(1);
        let (report, turns) = mpsc::channel();
        let system = rig.system.clone();
        rig.run(move |local| {
            local.spawn(async move {
                while receiver.recv().await.is_some() {
                    report.send(system.stats(0).unwrap().turns()).unwrap();
                }
            });
        });
        for _ in 0..100 {
            sender.blocking_send(()).unwrap();
            // Read after the wake, so that earlier turns do not count.
            let before = rig.shards[0].stats().turns();
            let after = turns.recv_timeout(LONG).unwrap();
            assert!(after <= before + 2, "{host:?}: {} turns", after - before);
        }
    }
}

/// glommio would park forever if its preemption timer fired while other threads have the core.
#[test]
fn a_shard_that_often_loses_its_core_runs_on() {
    let allowed = sched_getaffinity(None).unwrap();
    let core = (0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).unwrap();
    for host in hosts() {
        let (sender, _events) = mpsc::channel();
        let builder = System::builder().host(host).cores(Cores::List(vec![core]));
        let (_system, shards) =
            builder.start_with(move |local| Ok(Scripted::new(local, sender.clone()))).unwrap();
        let (tick, ticks) = mpsc::channel();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut only = CpuSet::new();
                    only.set(core);
                    sched_setaffinity(None, &only).unwrap();
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let ticker = move |local: &Local| {
                let shard = local.clone();
                local.spawn(async move {
                    loop {
                        shard.sleep(Duration::from_micros(200)).await;
                        if tick.send(()).is_err() {
                            return;
                        }
                    }
                });
            };
            shards[0].send_blocking(Order::Saturate(Duration::from_micros(50))).unwrap();
            shards[0].send_blocking(Order::Run(Box::new(ticker))).unwrap();
            let all = (0..1_000).all(|_| ticks.recv_timeout(LONG).is_ok());
            over.store(true, Ordering::Relaxed);
            assert!(all, "{host:?}: the task hangs");
        });
        drop(ticks);
    }
}

#[test]
fn a_cancelled_task_is_dropped_with_its_timer() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let (sender, handle) = mpsc::channel();
        let (alive, dropped) = mpsc::channel::<()>();
        rig.run(move |local| {
            let shard = local.clone();
            let task = local.spawn(async move {
                let _alive = alive;
                shard.sleep(LONG).await;
            });
            sender.send(task).unwrap();
        });
        let task = handle.recv_timeout(LONG).unwrap();
        eventually("the task is counted", || rig.tasks() == 1);
        task.cancel();
        assert_eq!(dropped.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
        eventually("the task is gone", || rig.tasks() == 0);
        // The handle is stale now. Cancelling again has no effect.
        task.cancel();
    }
}

#[test]
fn many_tasks_at_once_all_end() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        rig.run(move |local| {
            for n in 0..5_000u64 {
                let (shard, count) = (local.clone(), Arc::clone(&count));
                local.spawn(async move {
                    shard.sleep(Duration::from_micros(n % 7 * 300)).await;
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        eventually("all tasks have ended", || ended.load(Ordering::Relaxed) == 5_000);
        eventually("all tasks are gone", || rig.tasks() == 0);
    }
}

#[test]
fn the_current_shard_is_known_on_its_own_thread_only() {
    for host in hosts() {
        assert!(Local::current().is_none());
        let rig = Rig::new(host, 2);
        let (sender, seen) = mpsc::channel();
        rig.shards[1]
            .send_blocking(Order::Run(Box::new(move |_| {
                sender.send(Local::current().map(|local| local.shard())).unwrap()
            })))
            .unwrap();
        assert_eq!(seen.recv_timeout(LONG), Ok(Some(1)));
    }
}

#[test]
fn a_shard_counts_how_long_its_thread_was_busy() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let held = rig.shards[0].stats().busy_max() + Duration::from_millis(30);
        rig.run(move |_| thread::sleep(held));
        eventually("the busy time is counted", || rig.shards[0].stats().busy_max() >= held);
    }
}

#[test]
fn the_time_for_which_a_shard_could_not_run_counts_as_paused() {
    const BLOCKED: Duration = Duration::from_millis(500);
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let paused = || {
            let (sender, paused) = mpsc::channel();
            rig.run(move |local| sender.send(local.paused()).unwrap());
            paused.recv_timeout(LONG).unwrap()
        };
        // A busy machine may pause the shard too.
        let before = paused();
        rig.run(|_| thread::sleep(BLOCKED));
        eventually("the pause is counted", || paused() > before);
        let counted = paused() - before;
        assert!(counted >= BLOCKED - Duration::from_millis(100), "{counted:?} of {BLOCKED:?}");
    }
}

#[test]
fn work_that_a_driver_was_unable_to_take_up_counts_as_lag() {
    const WAITED: Duration = Duration::from_secs(3);
    for host in hosts() {
        let rig = Rig::new(host, 1);
        let lag = || {
            let (sender, lag) = mpsc::channel();
            rig.run(move |local| sender.send(local.lag()).unwrap());
            lag.recv_timeout(LONG).unwrap()
        };
        rig.run(|local| local.set_backlog(WAITED));
        eventually("the backlog counts", || lag() >= WAITED);
        rig.run(|local| local.set_backlog(Duration::ZERO));
        eventually("the backlog is gone", || lag() < WAITED);
    }
}

#[test]
fn a_sleeping_shard_takes_no_turns() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        rig.shards[0].try_send(Order::Echo(1)).unwrap();
        assert_eq!(rig.event(), Event::Echo(1));
        let turns_in = |time: Duration| {
            let before = rig.shards[0].stats().turns();
            thread::sleep(time);
            rig.shards[0].stats().turns() - before
        };
        eventually("the shard sleeps", || turns_in(Duration::from_millis(2)) == 0);
        assert_eq!(turns_in(Duration::from_millis(50)), 0);
    }
}

#[test]
fn a_failing_or_panicking_driver_ends_its_shard_and_is_reported() {
    for host in hosts() {
        let (sender, events) = mpsc::channel();
        let (failed, failures) = mpsc::channel();
        let builder = System::builder()
            .host(host)
            .cores(Cores::Unpinned(3))
            .on_failure(move |failure| failed.send(failure.shard).unwrap());
        let (system, shards) =
            builder.start_with(move |local| Ok(Scripted::new(local, sender.clone()))).unwrap();
        shards[0].try_send(Order::Fail).unwrap();
        assert_eq!(failures.recv_timeout(LONG), Ok(0));
        shards[2].try_send(Order::Panic).unwrap();
        assert_eq!(failures.recv_timeout(LONG), Ok(2));
        assert_eq!(
            [events.recv_timeout(LONG), events.recv_timeout(LONG)],
            [Ok(Event::Dropped), Ok(Event::Dropped)]
        );

        let seen = system.failures();
        assert!(
            matches!(&seen[0].cause, FailureCause::Driver(error) if error.to_string() == "requested failure")
        );
        assert!(matches!(&seen[1].cause, FailureCause::Panic(message) if message == "requested panic"));
        assert!(matches!(shards[0].try_send(Order::Echo(1)), Err(TellError::Closed(_))));

        // The other shards run on, and the system still stops in order.
        shards[1].try_send(Order::Echo(5)).unwrap();
        assert_eq!(events.recv_timeout(LONG), Ok(Event::Echo(5)));
        system.stop(Undelivered::Drain);
        let report = system.join(LONG);
        assert_eq!(
            (report.shards_joined, report.failures.len(), report.aborted),
            (3, 2, false),
            "{report:?}"
        );
    }
}

#[test]
fn a_driver_that_cannot_start_stops_the_others_and_is_reported() {
    for host in hosts() {
        let (sender, events) = mpsc::channel();
        let started = System::builder().host(host).cores(Cores::Unpinned(3)).start_with(move |local| {
            match local.shard() {
                1 => Err(std::io::Error::other("no socket")),
                2 => panic!("no luck"),
                _ => Ok(Scripted::new(local, sender.clone())),
            }
        });
        let Err(StartError::Shards(failures)) = started.map(|_| ()) else { panic!("the system started") };
        assert_eq!(failures.iter().map(|failure| failure.shard).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(failures[0].to_string(), "shard 1: its driver cannot start: no socket");
        assert_eq!(failures[1].to_string(), "shard 2: panicked: no luck");
        assert_eq!(events.recv_timeout(LONG), Ok(Event::Dropped));
    }
}

#[test]
fn a_driver_that_does_not_stop_is_dropped_at_the_timeout() {
    for host in hosts() {
        let rig = Rig::new(host, 1);
        rig.shards[0].try_send(Order::Linger).unwrap();
        rig.shards[0].try_send(Order::Echo(0)).unwrap();
        assert_eq!(rig.event(), Event::Echo(0));
        rig.system.stop(Undelivered::Drain);
        assert_eq!(rig.event(), Event::Stop);
        let report = rig.system.join(Duration::from_millis(50));
        assert!(report.aborted && report.shards_stuck.is_empty(), "{report:?}");
        assert_eq!(rig.event(), Event::Dropped);
    }
}
