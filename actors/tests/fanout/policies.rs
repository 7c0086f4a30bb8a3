//! The policy that asks a callback, which runs on a pool.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use windlass_actors::{
    Pool,
    fanout::{Chooser, ChooserOptions, Overflow, SubscribeOptions, Subscription, Topic},
};

use crate::{Bytes, bounds, common::eventually, describe, fanout, publish, take};

fn pool() -> Pool {
    Pool::builder().name("asked").blocking_threads(16).idle(false).build().unwrap()
}

/// Creates a topic whose chooser runs on a pool.
fn topic_with(chooser: &Chooser) -> (windlass_actors::System, Pool, Topic<Bytes>) {
    let pool = pool();
    chooser.start(&pool);
    let (system, fanout) = fanout(1);
    (system, pool, fanout.topic(bounds(1, 1000), chooser.clone()))
}

/// Creates subscriptions that nobody reads. The identity of each is its index.
fn slow(topic: &Topic<Bytes>, count: usize, chooser: &Chooser) -> Vec<Subscription<Bytes>> {
    let options =
        |index: usize| SubscribeOptions::new(bounds(1, 1000), chooser.clone()).with_identity(Arc::new(index));
    (0..count).map(|index| topic.subscribe_with(options(index)).unwrap()).collect()
}

#[test]
fn sixteen_callbacks_run_at_once() {
    // No call returns before all of them run.
    let all = Barrier::new(16);
    let options = ChooserOptions { concurrency: 16, ..ChooserOptions::default() };
    let chooser = Chooser::with(options, move |_| {
        all.wait();
        Overflow::Close
    });
    let (_system, _pool, topic) = topic_with(&chooser);
    let _slow = slow(&topic, 16, &chooser);
    publish(&topic, 2, 1);
    eventually("all subscribers are closed", || topic.stats().closed == 16);
    assert_eq!((topic.subscribers(), topic.stats().asked), (0, 16));
}

#[test]
fn a_concurrency_of_one_runs_callbacks_one_after_the_other() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, seen) = (running, most.clone());
    let chooser = Chooser::with(ChooserOptions { concurrency: 1, ..ChooserOptions::default() }, move |_| {
        seen.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::sleep(Duration::from_millis(5));
        inside.fetch_sub(1, SeqCst);
        Overflow::Remove
    });
    let (_system, _pool, topic) = topic_with(&chooser);
    let slow = slow(&topic, 8, &chooser);
    publish(&topic, 2, 1);
    eventually("all subscribers are removed", || topic.stats().removed == 8);
    assert_eq!(most.load(SeqCst), 1);
    for mut subscription in slow {
        assert_eq!(describe(&take(&mut subscription)), "1 gap 2-2 removed");
    }
}

#[test]
fn events_are_dropped_and_counted_until_the_callback_has_answered() {
    let (asked, answer) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let gates = (asked.clone(), answer.clone(), seen.clone());
    let chooser = Chooser::new(move |full| {
        gates.2.lock().unwrap().push((
            *full.identity::<usize>().unwrap(),
            full.gap.from,
            full.events,
            full.bytes,
        ));
        gates.0.wait();
        gates.1.wait();
        Overflow::Drop
    });
    let (_system, _pool, topic) = topic_with(&chooser);
    let mut slow = slow(&topic, 1, &chooser).remove(0);
    publish(&topic, 2, 7);
    asked.wait();
    publish(&topic, 5, 1);
    assert_eq!((topic.stats().dropped, topic.subscribers(), topic.stats().asked), (6, 1, 0));
    answer.wait();
    eventually("the callback has answered", || topic.stats().asked == 1);
    assert_eq!(describe(&take(&mut slow)), "1 gap 2-7");
    publish(&topic, 1, 1);
    assert_eq!(describe(&take(&mut slow)), "8", "the subscriber kept its place");
    assert_eq!(*seen.lock().unwrap(), [(0, 2, 1, 7)], "the callback was called once");
}

#[test]
fn the_answer_of_a_callback_applies_although_the_subscriber_read_meanwhile() {
    let (asked, answer) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let gates = (asked.clone(), answer.clone());
    let chooser = Chooser::new(move |_| {
        gates.0.wait();
        gates.1.wait();
        Overflow::Close
    });
    let (_system, _pool, topic) = topic_with(&chooser);
    let mut slow = slow(&topic, 1, &chooser).remove(0);
    publish(&topic, 2, 1);
    asked.wait();
    assert_eq!(describe(&take(&mut slow)), "1 gap 2-2");
    publish(&topic, 1, 1);
    answer.wait();
    eventually("the subscriber is closed", || topic.stats().closed == 1);
    assert_eq!(describe(&take(&mut slow)), "3 closed");
}

#[test]
fn a_callback_that_panics_has_the_configured_effect() {
    for (on_panic, subscribers) in [(Overflow::Drop, 3), (Overflow::Close, 0)] {
        let chooser = Chooser::with(ChooserOptions { on_panic, ..ChooserOptions::default() }, |_| {
            panic!("expected by the test")
        });
        let (_system, _pool, topic) = topic_with(&chooser);
        let _slow = slow(&topic, 3, &chooser);
        publish(&topic, 2, 1);
        eventually("all callbacks have panicked", || topic.stats().ask_panics == 3);
        eventually("the effect is applied", || topic.subscribers() == subscribers);
        publish(&topic, 1, 1);
        eventually("the callback was called again", || topic.stats().ask_panics == 3 + subscribers as u64);
    }
}

#[test]
fn without_a_pool_or_room_in_it_the_callback_is_not_called() {
    let chooser = Chooser::new(|_| Overflow::Close);
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(1, 1000), chooser.clone());
    let _slow = slow(&topic, 2, &chooser);
    publish(&topic, 3, 1);
    assert_eq!((topic.stats().ask_refused, topic.stats().dropped, topic.subscribers()), (4, 4, 2));

    // The only thread of the pool is blocked, and its queue is full.
    let pool = Pool::builder().blocking_threads(1).blocking_queue(1).build().unwrap();
    let release = Arc::new(Barrier::new(2));
    let held = release.clone();
    let holding = pool.run_blocking(move || held.wait().is_leader());
    eventually("the thread is blocked", || pool.stats().blocking.running == 1);
    let filling = pool.run_blocking(|| ());
    chooser.start(&pool);
    publish(&topic, 1, 1);
    assert_eq!((topic.stats().ask_refused, topic.subscribers()), (6, 2));
    release.wait();
    pollster::block_on(holding).unwrap();
    pollster::block_on(filling).unwrap();
    // The pool has room for one question. The other subscriber is asked about with the next event.
    eventually("both subscribers are closed", || {
        publish(&topic, 1, 1);
        topic.subscribers() == 0
    });
    chooser.stop();
}
