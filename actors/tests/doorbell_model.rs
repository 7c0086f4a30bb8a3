//! The protocol of the doorbell in every interleaving, run by loom.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "the file under test is compiled into this crate"
)]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

#[path = "../src/wake/doorbell.rs"]
mod doorbell;

use doorbell::{Doorbell, Flag};
use loom::{
    sync::{Arc, Mutex, Notify},
    thread,
};

/// Stand-in for the eventfd. A notification before the wait ends that wait.
struct Eventfd(Notify);

impl doorbell::Notify for Eventfd {
    fn notify(&self) {
        self.0.notify();
    }
}

struct Shard {
    bell: Doorbell<Eventfd>,
    inbox: Flag,
    queue: Mutex<Vec<u32>>,
}

impl Shard {
    fn new() -> Arc<Self> {
        let queue = Mutex::new(Vec::new());
        Arc::new(Self { bell: Doorbell::new(Eventfd(Notify::new())), inbox: Flag::new(), queue })
    }

    fn send(&self, message: u32) {
        self.queue.lock().unwrap().push(message);
        self.inbox.raise();
        self.bell.ring();
    }

    /// Takes messages as the event loop of a shard does, until it has `count`. After a lost wake the wait
    /// never ends, and loom reports the deadlock.
    fn receive(&self, count: usize) -> Vec<u32> {
        let mut taken = Vec::new();
        loop {
            if self.inbox.lower() {
                taken.append(&mut self.queue.lock().unwrap());
            }
            if taken.len() == count {
                return taken;
            }
            if self.bell.prepare_sleep(|| self.inbox.is_raised()) {
                self.bell.notifier().0.wait();
                self.bell.set_awake();
            }
        }
    }
}

fn model(senders: u32, each: u32, preemptions: Option<usize>) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        let shard = Shard::new();
        for sender in 0..senders {
            let shard = Arc::clone(&shard);
            thread::spawn(move || (0..each).for_each(|n| shard.send(sender * each + n)));
        }
        let mut taken = shard.receive((senders * each) as usize);
        taken.sort_unstable();
        assert_eq!(taken, (0..senders * each).collect::<Vec<_>>());
    });
}

#[test]
fn one_sender_never_loses_a_wake() {
    model(1, 2, Some(2));
}

#[test]
fn several_senders_never_lose_a_wake() {
    model(2, 1, Some(2));
}
