//! Mailboxes, wakes, questions and snapshots in every interleaving, run by loom.
//!
//! No message, no wake and no answer is lost. The files under test are compiled with stand-ins for flume,
//! arc-swap and tokio's semaphore.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the files under test are compiled into this crate"
)]

#[path = "mailbox_model/stand_ins.rs"]
mod stand_ins;

mod sync {
    pub(crate) use crate::stand_ins::{ArcSwap, Cache, Semaphore, TryAcquireError, channel};
    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence},
    };
    pub(crate) use std::sync::PoisonError;
}

mod os {
    pub(crate) use crate::stand_ins::EventFd;
}

#[path = "../src/error.rs"]
mod error;
#[path = "../src/mailbox/mod.rs"]
mod mailbox;
#[path = "../src/snapshot.rs"]
mod snapshot;
#[path = "../src/wake/mod.rs"]
mod wake;

use std::{convert::Infallible, sync::Arc};

use loom::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};
use mailbox::{Envelope, Mailbox};
use os::EventFd;
use snapshot::Publisher;
use stand_ins::{Answer, Reply, block_on, reply};
use wake::{ShardWakes, WakeTarget, Wakeable};

type Receiver<M> = mailbox::Receiver<M, Infallible>;

/// Mailbox of an actor, and what wakes the actor.
struct Cell<M> {
    mailbox: Mailbox<M, Infallible>,
    wakeable: Arc<Wakeable>,
    wakes: Arc<ShardWakes>,
    dropped: Arc<AtomicU64>,
}

impl<M> Cell<M> {
    fn new(capacity: usize) -> Arc<Self> {
        let (wakes, dropped) = (ShardWakes::new(EventFd::new()), Arc::new(AtomicU64::new(0)));
        let mailbox = Mailbox::new(capacity, Arc::clone(&dropped));
        Arc::new(Self {
            mailbox,
            wakeable: Wakeable::new(Arc::clone(&wakes), WakeTarget::Task),
            wakes,
            dropped,
        })
    }

    /// Sends a message as another thread does. Returns `false` if the mailbox is closed.
    fn tell(&self, message: M) -> bool {
        let taken = block_on(self.mailbox.push(message)).is_ok();
        if taken {
            self.wakeable.wake_after_fence();
        }
        taken
    }

    fn try_tell(&self, message: M) -> bool {
        let taken = self.mailbox.try_push(message).is_ok();
        if taken {
            self.wakeable.wake_after_fence();
        }
        taken
    }

    /// Takes the next message as an actor does.
    fn take(&self, receiver: &mut Receiver<M>) -> Option<M> {
        let (envelope, slots) = receiver.pop(&self.mailbox);
        self.mailbox.release_slots(slots);
        match envelope? {
            Envelope::Message(message) => Some(message),
            Envelope::Signal(never) => match never {},
        }
    }

    /// Handles messages as an actor on a shard does, until `handle` returns `true`. After a lost wake the
    /// wait never ends, and loom reports the deadlock.
    fn run(&self, receiver: &mut Receiver<M>, mut handle: impl FnMut(M) -> bool) {
        let mut woken = Vec::new();
        loop {
            while let Some(message) = self.take(receiver) {
                if handle(message) {
                    return;
                }
            }
            while !self.is_woken(&mut woken) {
                if self.wakes.doorbell.prepare_sleep(|| self.wakes.is_raised()) {
                    self.wakes.doorbell.notifier().wait();
                    self.wakes.doorbell.set_awake();
                }
            }
        }
    }

    fn is_woken(&self, woken: &mut Vec<Arc<Wakeable>>) -> bool {
        self.wakes.take(woken);
        let any = !woken.is_empty();
        woken.drain(..).for_each(|wakeable| wakeable.clear_scheduled());
        any
    }

    /// Closes and abandons the mailbox, as an actor does when it exits.
    fn abandon(&self, receiver: &mut Receiver<M>) {
        self.mailbox.close();
        self.mailbox.abandon();
        drop(receiver.abandon(&self.mailbox));
    }
}

fn model(preemptions: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(check);
}

fn send_and_receive(senders: u32, each: u32, capacity: usize) {
    let cell = Cell::new(capacity);
    for sender in 0..senders {
        let cell = Arc::clone(&cell);
        thread::spawn(move || (0..each).for_each(|n| assert!(cell.tell(sender * each + n))));
    }
    let mut taken = Vec::new();
    cell.run(&mut Receiver::new(), |n| {
        taken.push(n);
        taken.len() == (senders * each) as usize
    });
    for sender in 0..senders {
        let from = taken.iter().copied().filter(|n| n / each == sender);
        assert!(
            from.eq(sender * each..(sender + 1) * each),
            "the messages of each sender arrive in order: {taken:?}"
        );
    }
}

#[test]
fn one_senders_messages_all_arrive_and_wake() {
    model(2, || send_and_receive(1, 2, 4));
}

#[test]
fn several_senders_messages_all_arrive_and_wake() {
    model(2, || send_and_receive(2, 1, 4));
}

#[test]
fn a_sender_that_waits_for_a_slot_gets_one() {
    model(2, || send_and_receive(1, 2, 1));
}

#[test]
fn an_exit_accounts_for_every_accepted_message() {
    model(3, || {
        let cell = Cell::new(2);
        let sender = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || u64::from(cell.try_tell(1)) + u64::from(cell.try_tell(2)))
        };
        let mut receiver = Receiver::new();
        let mut handled = u64::from(cell.take(&mut receiver).is_some());
        cell.mailbox.close();
        while cell.take(&mut receiver).is_some() {
            handled += 1;
        }
        cell.abandon(&mut receiver);
        let accepted = sender.join().unwrap();
        assert_eq!(accepted, handled + cell.dropped.load(Ordering::Relaxed));
    });
}

#[test]
fn a_sender_that_waits_for_a_slot_is_refused_at_the_exit() {
    model(2, || {
        let cell = Cell::new(1);
        let sender = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || u64::from(cell.tell(1)) + u64::from(cell.tell(2)))
        };
        let mut receiver = Receiver::new();
        let handled = u64::from(cell.take(&mut receiver).is_some());
        cell.abandon(&mut receiver);
        // If the sender waited forever, loom would report a deadlock.
        let accepted = sender.join().unwrap();
        assert_eq!(accepted, handled + cell.dropped.load(Ordering::Relaxed));
    });
}

#[test]
fn an_earlier_message_from_another_thread_is_handled_first() {
    model(3, || {
        let (cell, done) = (Cell::new(4), Arc::new(AtomicBool::new(false)));
        let sender = {
            let (cell, done) = (Arc::clone(&cell), Arc::clone(&done));
            thread::spawn(move || {
                assert!(cell.try_tell(1));
                done.store(true, Ordering::Release);
            })
        };
        let mut receiver = Receiver::new();
        let was_done = done.load(Ordering::Acquire);
        receiver.push(2, &cell.mailbox).unwrap();
        let mut taken = Vec::new();
        cell.run(&mut receiver, |n| {
            taken.push(n);
            taken.len() == 2
        });
        assert!(!was_done || taken == [1, 2], "{taken:?}");
        sender.join().unwrap();
        assert_eq!(cell.mailbox.len(), 0);
    });
}

#[test]
fn a_question_is_answered_or_its_reply_is_dropped() {
    model(2, || {
        let cell = Cell::<Reply>::new(1);
        let asker = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let (question, answer) = reply();
                if cell.tell(question) { Some(block_on(answer)) } else { None }
            })
        };
        let mut receiver = Receiver::new();
        let answered = cell.take(&mut receiver).map(|question| question.send(7)).is_some();
        cell.abandon(&mut receiver);
        let answer = asker.join().unwrap();
        match answer {
            Some(Answer::Value(7)) => assert!(answered),
            Some(Answer::Dropped) => assert_eq!(cell.dropped.load(Ordering::Relaxed), 1),
            None => assert!(!answered),
            Some(Answer::Value(other)) => panic!("{other} was never sent"),
        }
    });
}

#[test]
fn an_answer_wakes_the_asker() {
    model(2, || {
        let cell = Cell::<Reply>::new(1);
        let asker = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let (question, answer) = reply();
                assert!(cell.tell(question));
                block_on(answer)
            })
        };
        cell.run(&mut Receiver::new(), |question| {
            question.send(3);
            true
        });
        assert_eq!(asker.join().unwrap(), Answer::Value(3));
    });
}

#[test]
fn a_reader_never_returns_an_older_snapshot_and_sees_the_latest() {
    model(3, || {
        let publisher = Arc::new(Publisher::new(0));
        let mut reader = publisher.reader();
        let writer = {
            let publisher = Arc::clone(&publisher);
            thread::spawn(move || (1..=2).for_each(|n| publisher.publish(n)))
        };
        let first = **reader.load();
        let changed = reader.changed();
        let second = **reader.load();
        assert!(second >= first && (!changed || second > first), "{first}, {changed}, {second}");
        writer.join().unwrap();
        assert_eq!(reader.changed(), second < 2);
        assert_eq!((**reader.load(), *publisher.latest()), (2, 2));
    });
}
