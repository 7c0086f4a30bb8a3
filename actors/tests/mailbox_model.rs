//! Mailbox, wake-up, question and snapshot, run through every interleaving by loom: no message, no wake-up
//! and no answer is lost. The files under test are compiled over stand-ins for flume, arc-swap and tokio's
//! semaphore.
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

/// An actor's mailbox and what wakes it.
struct Post<M> {
    mailbox: Mailbox<M, Infallible>,
    wakeable: Arc<Wakeable>,
    wakes: Arc<ShardWakes>,
    dropped: Arc<AtomicU64>,
}

impl<M> Post<M> {
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

    /// Tells as another thread does. False: it is closed.
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

    /// Takes the next message as the actor does.
    fn take(&self, receiver: &mut Receiver<M>) -> Option<M> {
        let (envelope, slots) = receiver.pop(&self.mailbox);
        self.mailbox.release_slots(slots);
        match envelope? {
            Envelope::Message(message) => Some(message),
            Envelope::Signal(never) => match never {},
        }
    }

    /// Handles messages as a shard's loop has an actor do, until `handle` says that it was the last. A lost
    /// wake-up is a wait that never ends: loom reports the deadlock.
    fn live(&self, receiver: &mut Receiver<M>, mut handle: impl FnMut(M) -> bool) {
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

    /// Ends as an actor does.
    fn bury(&self, receiver: &mut Receiver<M>) {
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

fn told(senders: u32, each: u32, capacity: usize) {
    let post = Post::new(capacity);
    for sender in 0..senders {
        let post = Arc::clone(&post);
        thread::spawn(move || (0..each).for_each(|n| assert!(post.tell(sender * each + n))));
    }
    let mut taken = Vec::new();
    post.live(&mut Receiver::new(), |n| {
        taken.push(n);
        taken.len() == (senders * each) as usize
    });
    for sender in 0..senders {
        let from = taken.iter().copied().filter(|n| n / each == sender);
        assert!(from.eq(sender * each..(sender + 1) * each), "each sender's come in order: {taken:?}");
    }
}

#[test]
fn one_senders_messages_all_arrive_and_wake() {
    model(2, || told(1, 2, 4));
}

#[test]
fn several_senders_messages_all_arrive_and_wake() {
    model(2, || told(2, 1, 4));
}

#[test]
fn a_sender_that_waits_for_room_gets_it() {
    model(2, || told(1, 2, 1));
}

#[test]
fn an_end_accounts_for_every_message_that_was_taken_in() {
    model(3, || {
        let post = Post::new(2);
        let sender = {
            let post = Arc::clone(&post);
            thread::spawn(move || u64::from(post.try_tell(1)) + u64::from(post.try_tell(2)))
        };
        let mut receiver = Receiver::new();
        let mut handled = u64::from(post.take(&mut receiver).is_some());
        post.mailbox.close();
        while post.take(&mut receiver).is_some() {
            handled += 1;
        }
        post.bury(&mut receiver);
        let told = sender.join().unwrap();
        assert_eq!(told, handled + post.dropped.load(Ordering::Relaxed));
    });
}

#[test]
fn a_sender_that_waits_for_room_hears_of_the_end() {
    model(2, || {
        let post = Post::new(1);
        let sender = {
            let post = Arc::clone(&post);
            thread::spawn(move || u64::from(post.tell(1)) + u64::from(post.tell(2)))
        };
        let mut receiver = Receiver::new();
        let handled = u64::from(post.take(&mut receiver).is_some());
        post.bury(&mut receiver);
        // Waiting for ever is a deadlock to loom.
        let told = sender.join().unwrap();
        assert_eq!(told, handled + post.dropped.load(Ordering::Relaxed));
    });
}

#[test]
fn what_was_told_before_from_elsewhere_is_before_what_is_told_here() {
    model(3, || {
        let (post, done) = (Post::new(4), Arc::new(AtomicBool::new(false)));
        let sender = {
            let (post, done) = (Arc::clone(&post), Arc::clone(&done));
            thread::spawn(move || {
                assert!(post.try_tell(1));
                done.store(true, Ordering::Release);
            })
        };
        let mut receiver = Receiver::new();
        let was_done = done.load(Ordering::Acquire);
        receiver.push(2, &post.mailbox).unwrap();
        let mut taken = Vec::new();
        post.live(&mut receiver, |n| {
            taken.push(n);
            taken.len() == 2
        });
        assert!(!was_done || taken == [1, 2], "{taken:?}");
        sender.join().unwrap();
        assert_eq!(post.mailbox.len(), 0);
    });
}

#[test]
fn a_question_is_answered_or_its_reply_dropped_never_left_hanging() {
    model(2, || {
        let post = Post::<Reply>::new(1);
        let asker = {
            let post = Arc::clone(&post);
            thread::spawn(move || {
                let (question, answer) = reply();
                if post.tell(question) { Some(block_on(answer)) } else { None }
            })
        };
        let mut receiver = Receiver::new();
        let answered = post.take(&mut receiver).map(|question| question.send(7)).is_some();
        post.bury(&mut receiver);
        let answer = asker.join().unwrap();
        match answer {
            Some(Answer::Value(7)) => assert!(answered),
            Some(Answer::Dropped) => assert_eq!(post.dropped.load(Ordering::Relaxed), 1),
            None => assert!(!answered),
            Some(Answer::Value(other)) => panic!("{other} was never sent"),
        }
    });
}

#[test]
fn an_answer_wakes_who_asked() {
    model(2, || {
        let post = Post::<Reply>::new(1);
        let asker = {
            let post = Arc::clone(&post);
            thread::spawn(move || {
                let (question, answer) = reply();
                assert!(post.tell(question));
                block_on(answer)
            })
        };
        post.live(&mut Receiver::new(), |question| {
            question.send(3);
            true
        });
        assert_eq!(asker.join().unwrap(), Answer::Value(3));
    });
}

#[test]
fn a_reader_never_goes_back_and_sees_the_latest_snapshot() {
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
