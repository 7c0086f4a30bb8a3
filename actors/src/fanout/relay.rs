//! The actor that hands a shard's subscribers their events.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    counts::Pass,
    event::{Event, Payload},
    queue::{Outcome, Queue},
    terms::{Missed, Overflow},
    topic::Core,
};
use crate::{
    actor::{Actor, Flow},
    context::Context,
    host::yield_now,
};

/// Queues filled before others on the shard get their turn: some fifty microseconds.
const QUEUES_IN_A_ROW: usize = 512;

/// What a relay is told.
pub(super) enum RelayMsg<P: Payload> {
    /// A subscriber of this shard.
    Join(Arc<Queue<P>>),
    /// It is gone.
    Leave(Arc<Queue<P>>),
    /// An event for the subscribers here, and what the relay had no room for before it.
    Publish { topic: Arc<Core<P>>, event: Arc<Event<P>>, missed: Option<Missed> },
    /// The topic ended.
    Close(Arc<Core<P>>),
}

/// The subscribers of one shard, by topic.
pub(super) struct Relay<P: Payload> {
    topics: HashMap<u64, Vec<Arc<Queue<P>>>>,
    /// Somebody left whom the full mailbox could not tell of.
    unswept: Arc<AtomicBool>,
}

impl<P: Payload> Relay<P> {
    pub(super) fn new(unswept: Arc<AtomicBool>) -> Self {
        Self { topics: HashMap::new(), unswept }
    }

    fn join(&mut self, queue: Arc<Queue<P>>) {
        let members = self.topics.entry(queue.topic.id).or_default();
        queue.place.store(members.len(), Relaxed);
        members.push(queue);
    }

    fn leave(&mut self, queue: &Arc<Queue<P>>) {
        let Some(members) = self.topics.get_mut(&queue.topic.id) else { return };
        let place = queue.place.load(Relaxed);
        if members.get(place).is_some_and(|member| Arc::ptr_eq(member, queue)) {
            remove(members, place);
        }
        if members.is_empty() {
            self.topics.remove(&queue.topic.id);
        }
    }

    /// Finds those who left untold.
    fn sweep(&mut self) {
        self.topics.retain(|_, members| {
            members.retain(|queue| !queue.is_gone());
            members.iter().enumerate().for_each(|(place, queue)| queue.place.store(place, Relaxed));
            !members.is_empty()
        });
    }

    async fn publish(&mut self, shard: usize, topic: &Core<P>, event: &Arc<Event<P>>, missed: Option<Missed>) {
        let mut pass = Pass::default();
        if let Some(members) = self.topics.get_mut(&topic.id) {
            let weight = event.payload.weight();
            let mut at = 0;
            while at < members.len() {
                let end = (at + QUEUES_IN_A_ROW).min(members.len());
                while at < end.min(members.len()) {
                    let queue = &members[at];
                    let late = missed.map(|missed| queue.miss(missed));
                    let outcome = hand(&mut pass, queue, event, weight);
                    pass.note(late.filter(|late| *late != Outcome::Gone).unwrap_or(outcome), outcome, queue);
                    match outcome {
                        Outcome::Taken(_) | Outcome::Dropped(_) | Outcome::Skipped => at += 1,
                        Outcome::Removed | Outcome::Closed | Outcome::Gone => {
                            topic.unregister(queue);
                            remove(members, at);
                        }
                    }
                }
                if at < members.len() {
                    yield_now().await;
                }
            }
            if members.is_empty() {
                self.topics.remove(&topic.id);
            }
        }
        topic.counts.add(shard, &pass);
        event.gather.add(&pass);
    }

    fn close(&mut self, topic: &Core<P>) {
        for queue in self.topics.remove(&topic.id).unwrap_or_default() {
            topic.unregister(&queue);
            queue.close();
        }
    }
}

/// A relay that ends, with its shard or by a panic of a payload, ends its subscribers: they would wait for ever.
impl<P: Payload> Drop for Relay<P> {
    fn drop(&mut self) {
        self.topics.drain().flat_map(|(_, members)| members).for_each(|queue| queue.close());
    }
}

impl Pass {
    /// Counts what became of an event, and of those the shard missed before it, at one queue.
    fn note<P: Payload>(&mut self, late: Outcome, outcome: Outcome, queue: &Queue<P>) {
        match (late, outcome) {
            (Outcome::Removed, _) | (_, Outcome::Removed) => {
                self.removed += 1;
                self.note_without(queue, Overflow::Remove);
            }
            (Outcome::Closed, _) | (_, Outcome::Closed) => {
                self.closed += 1;
                self.note_without(queue, Overflow::Close);
            }
            (_, Outcome::Dropped(waiting)) => {
                self.dropped += 1;
                self.note_without(queue, Overflow::Drop);
                self.note_lag(waiting, queue);
            }
            (_, Outcome::Taken(waiting)) => {
                self.taken += 1;
                self.note_lag(waiting, queue);
            }
            (_, Outcome::Skipped | Outcome::Gone) => {}
        }
    }

    fn note_without<P: Payload>(&mut self, queue: &Queue<P>, overflow: Overflow) {
        self.first_without.get_or_insert((queue.id, overflow));
    }

    fn note_lag<P: Payload>(&mut self, waiting: usize, queue: &Queue<P>) {
        if waiting > 1 && waiting > self.longest {
            self.longest = waiting;
            self.oldest = self.oldest.into_iter().chain(queue.oldest()).min();
        }
    }
}

impl<P: Payload> Actor for Relay<P> {
    type Msg = RelayMsg<P>;

    async fn handle(&mut self, message: RelayMsg<P>, cx: &mut Context<RelayMsg<P>>) -> Flow {
        match message {
            RelayMsg::Join(queue) => self.join(queue),
            RelayMsg::Leave(queue) => self.leave(&queue),
            RelayMsg::Publish { topic, event, missed } => {
                self.publish(cx.shard(), &topic, &event, missed).await;
            }
            RelayMsg::Close(topic) => self.close(&topic),
        }
        // Whoever could not tell found the mailbox full: this comes after.
        if self.unswept.load(Relaxed) && self.unswept.swap(false, Relaxed) {
            self.sweep();
        }
        Flow::Continue
    }
}

/// Gives a queue an event that is for it.
fn hand<P: Payload>(pass: &mut Pass, queue: &Arc<Queue<P>>, event: &Arc<Event<P>>, weight: usize) -> Outcome {
    match event.is_for(queue.who.as_deref()) {
        Ok(true) => queue.push(event, weight),
        Ok(false) => Outcome::Skipped,
        Err(()) => {
            pass.filter_panics += 1;
            Outcome::Skipped
        }
    }
}

/// Removes a member; the last one takes its place.
fn remove<P: Payload>(members: &mut Vec<Arc<Queue<P>>>, at: usize) {
    let queue = members.swap_remove(at);
    queue.place.store(usize::MAX, Relaxed);
    if let Some(moved) = members.get(at) {
        moved.place.store(at, Relaxed);
    }
}
