//! Actors, addresses and mailboxes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{sync::mpsc, thread, time::Duration};

use common::{Count, Counter, LONG, eventually, hosts, system};
use windlass_actors::{Actor, Context, Flow, Placement, SpawnOptions, TellError, Undelivered};

#[test]
fn messages_are_handled_in_order_on_the_chosen_shard() {
    for host in hosts() {
        let system = system(host, 2);
        let mut counters = Vec::new();
        for shard in 0..2 {
            let counter =
                system.spawn(Placement::Shard(shard), SpawnOptions::default(), Counter::default).unwrap();
            for n in 1..=100 {
                counter.tell_blocking(Count::Add(n)).unwrap();
            }
            assert_eq!(counter.ask_blocking(Count::Total, LONG), Ok(5050));
            assert_eq!(counter.ask_blocking(Count::Where, LONG), Ok(shard));
            counters.push(counter);
        }
        system.stop(Undelivered::Drain);
        let report = system.join(LONG);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.actors_stopped, 2, "{report:?}");
    }
}

#[test]
fn a_full_mailbox_gives_the_message_back_and_tell_waits_for_a_slot() {
    for host in hosts() {
        let system = system(host, 1);
        let options = SpawnOptions { mailbox: 2, ..SpawnOptions::default() };
        let counter = system.spawn(Placement::Shard(0), options, Counter::default).unwrap();
        assert_eq!(counter.capacity(), 2);
        counter.try_tell(Count::Rest(Duration::from_millis(100))).unwrap();
        let mut taken = 0;
        let back = loop {
            match counter.try_tell(Count::Add(1)) {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(back, TellError::Full(Count::Add(1))));
        assert_eq!(counter.depth(), 2);
        counter.tell_blocking(Count::Add(1)).unwrap();
        assert_eq!(counter.ask_blocking(Count::Total, LONG), Ok(taken + 1));
    }
}

#[test]
fn an_actor_that_has_exited_refuses_messages() {
    for host in hosts() {
        let system = system(host, 1);
        let counter = system.spawn(Placement::Shard(0), SpawnOptions::default(), Counter::default).unwrap();
        counter.try_tell(Count::Stop).unwrap();
        eventually("the actor has exited", || !counter.is_open());
        assert!(matches!(counter.try_tell(Count::Add(1)), Err(TellError::Closed(Count::Add(1)))));
        eventually("the exit is counted", || system.counts().stopped == 1 && system.actors(0) == 0);
    }
}

#[test]
fn an_actor_exits_after_its_last_address_and_its_last_message() {
    for host in hosts() {
        let system = system(host, 1);
        let (sender, receiver) = mpsc::channel();
        let address =
            system.spawn(Placement::Shard(0), SpawnOptions::default(), move || Echo(sender.clone())).unwrap();
        let clones: Vec<_> = (0..70_000).map(|_| address.clone()).collect();
        drop(address);
        clones[69_999].try_tell(1).unwrap();
        clones[0].try_tell(2).unwrap();
        drop(clones);
        assert_eq!(receiver.recv_timeout(LONG), Ok(1));
        assert_eq!(receiver.recv_timeout(LONG), Ok(2));
        eventually("the actor has exited", || system.counts().stopped == 1);
        assert_eq!(system.counts().messages_dropped, 0);
    }
}

struct Echo(mpsc::Sender<u64>);

impl Actor for Echo {
    type Msg = u64;

    async fn handle(&mut self, message: u64, _: &mut Context<u64>) -> Flow {
        self.0.send(message).map_err(|error| error.to_string()).into()
    }
}

#[test]
fn a_busy_actor_lets_others_on_its_shard_run() {
    for host in hosts() {
        let system = system(host, 1);
        let options = || SpawnOptions { mailbox: 100_000, ..SpawnOptions::default() };
        let busy = system.spawn(Placement::Shard(0), options(), || Busy).unwrap();
        let other = system.spawn(Placement::Shard(0), options(), Counter::default).unwrap();
        other.ask_blocking(Count::Total, LONG).unwrap();
        // It never runs out of messages: who waits for all of them waits for ever.
        for _ in 0..1000 {
            busy.try_tell(()).unwrap();
        }
        other.ask_blocking(Count::Total, LONG).unwrap();
        assert!(busy.depth() > 0);
    }
}

/// Tells itself each message again.
struct Busy;

impl Actor for Busy {
    type Msg = ();

    async fn handle(&mut self, (): (), cx: &mut Context<()>) -> Flow {
        cx.address().try_tell(()).map_err(|error| error.to_string()).into()
    }
}

#[test]
fn many_threads_send_to_one_actor_and_nothing_is_lost() {
    for host in hosts() {
        let system = system(host, 1);
        let options = SpawnOptions { mailbox: 8, ..SpawnOptions::default() };
        let counter = system.spawn(Placement::LeastLoaded, options, Counter::default).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        counter.tell_blocking(Count::Add(1)).unwrap();
                    }
                });
            }
        });
        assert_eq!(counter.ask_blocking(Count::Total, LONG), Ok(20_000));
    }
}

#[test]
fn least_loaded_spreads_actors_over_the_shards() {
    for host in hosts() {
        let system = system(host, 2);
        let counters: Vec<_> = (0..6)
            .map(|_| system.spawn(Placement::LeastLoaded, SpawnOptions::default(), Counter::default).unwrap())
            .collect();
        assert_eq!((system.actors(0), system.actors(1)), (3, 3));
        assert_eq!(counters.iter().filter(|counter| counter.shard() == 0).count(), 3);
    }
}
