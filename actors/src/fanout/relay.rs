//! The actor that hands a shard's subscribers their events.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    chooser::{Answer, Asked},
    counts::Pass,
    event::{Event, Payload},
    gap::Gap,
    leaves::Absent,
    overflow::Overflow,
    queue::{Outcome, Queue},
    shared::TopicShared,
};
use crate::{
    actor::{Actor, Addr, Context, Flow},
    host::yield_now,
    shard::{Local, OutletKey, Outlets, Parcel},
};

/// Queues filled before others on the shard get their turn: some fifty microseconds.
const QUEUES_IN_A_ROW: usize = 512;

/// What a relay is told.
pub(super) enum RelayMsg<P: Payload> {
    /// A subscriber of this shard.
    Join(Arc<Queue<P>>),
    /// It is gone.
    Leave(Arc<Queue<P>>),
    /// Its events go to this outlet while that is open.
    Connect(Arc<Queue<P>>, OutletKey),
    /// An event for the subscribers here, and what the relay had no room for before it.
    Publish { topic: Arc<TopicShared>, event: Arc<Event<P>>, missed: Option<Gap> },
    /// The topic ended.
    Close(Arc<TopicShared>),
}

/// A shard's relay, as topics and subscriptions see it.
pub(super) struct RelayHandle<P: Payload> {
    pub(super) address: Addr<RelayMsg<P>>,
    pub(super) absent: Arc<Absent>,
}

impl<P: Payload> RelayHandle<P> {
    /// Has a subscriber's events put into an outlet of this thread's shard while that is open. False when that is not the
    /// shard whose relay it has, or the relay has no room to be told.
    pub(super) fn connect(&self, queue: &Arc<Queue<P>>, outlet: OutletKey) -> bool {
        self.address.is_here() && self.address.try_tell(RelayMsg::Connect(Arc::clone(queue), outlet)).is_ok()
    }

    /// Notes that a subscriber is gone. A relay too full to be told looks for those who are, behind what waits there.
    pub(super) fn left(&self, queue: &Arc<Queue<P>>) {
        queue.unregister();
        self.absent.tell();
        if self.address.try_tell(RelayMsg::Leave(Arc::clone(queue))).is_err() {
            self.absent.could_not_tell();
        }
    }
}

/// A subscriber about whom a callback is asked.
struct AskedSubscriber<P: Payload> {
    queue: Arc<Queue<P>>,
    relay: RelayHandle<P>,
}

impl<P: Payload> Asked for AskedSubscriber<P> {
    fn answer(self: Arc<Self>, answer: Answer) {
        if self.queue.answer(answer) {
            self.relay.left(&self.queue);
        }
    }
}

/// A subscriber, as its relay sees it.
struct Member<P: Payload> {
    queue: Arc<Queue<P>>,
    /// Where its events go while that is open.
    outlet: Option<OutletKey>,
    /// Events up to this one are not for the outlet.
    after: u64,
}

impl<P: Payload> Member<P> {
    /// Puts an event into the subscriber's outlet, if that is open and the event is for it.
    fn put(&self, outlets: &Outlets, event: &Arc<Event<P>>) -> bool {
        let is_for_it = event.filter.is_none() && (event.seq > self.after || !event.is_numbered());
        let Some(outlet) = self.outlet.filter(|_| is_for_it) else { return false };
        outlets.put(outlet, || Arc::clone(event) as Parcel)
    }

    /// Shuts the outlet, because an event went by the queue: what follows must not overtake it.
    fn bypass(&self, outlets: &Outlets) {
        if let Some(outlet) = self.outlet {
            outlets.bypass(outlet);
        }
    }
}

/// The subscribers of one shard, by topic.
pub(super) struct Relay<P: Payload> {
    topics: HashMap<u64, Vec<Member<P>>>,
    absent: Arc<Absent>,
}

impl<P: Payload> Relay<P> {
    pub(super) fn new(absent: Arc<Absent>) -> Self {
        Self { topics: HashMap::new(), absent }
    }

    fn join(&mut self, queue: Arc<Queue<P>>) {
        let members = self.topics.entry(queue.topic.id).or_default();
        queue.place.store(members.len(), Relaxed);
        members.push(Member { queue, outlet: None, after: 0 });
    }

    fn connect(&mut self, local: &Local, queue: &Arc<Queue<P>>, outlet: OutletKey) {
        let place = queue.place.load(Relaxed);
        let members = self.topics.get_mut(&queue.topic.id);
        let Some(member) = members.and_then(|members| members.get_mut(place)) else { return };
        if Arc::ptr_eq(&member.queue, queue) {
            // Events that this has not reached the relay before are in the queue or on their way from there.
            local.outlets().bypass(outlet);
            (member.outlet, member.after) = (Some(outlet), queue.after());
        }
    }

    fn leave(&mut self, queue: &Arc<Queue<P>>) {
        let Some(members) = self.topics.get_mut(&queue.topic.id) else { return };
        let place = queue.place.load(Relaxed);
        if members.get(place).is_some_and(|member| Arc::ptr_eq(&member.queue, queue)) {
            remove(members, place);
        }
        if members.is_empty() {
            self.topics.remove(&queue.topic.id);
        }
    }

    /// Finds those who left untold.
    fn sweep_untold(&mut self) {
        if !self.absent.take_untold() {
            return;
        }
        self.topics.retain(|_, members| {
            members.retain(|member| !member.queue.is_gone());
            members.iter().enumerate().for_each(|(place, member)| member.queue.place.store(place, Relaxed));
            !members.is_empty()
        });
    }

    async fn publish(
        &mut self,
        cx: &Context<RelayMsg<P>>,
        topic: &TopicShared,
        event: &Arc<Event<P>>,
        missed: Option<Gap>,
    ) {
        let mut pass = Pass::default();
        let outlets = cx.local().outlets();
        let absent = &self.absent;
        let asked = |queue: &Arc<Queue<P>>| -> Arc<dyn Asked> {
            let relay = RelayHandle { address: cx.address(), absent: Arc::clone(absent) };
            Arc::new(AskedSubscriber { queue: Arc::clone(queue), relay })
        };
        if let Some(members) = self.topics.get_mut(&topic.id) {
            let weight = event.payload.weight();
            let mut at = 0;
            while at < members.len() {
                let end = (at + QUEUES_IN_A_ROW).min(members.len());
                // Who has left looks present to the outlets alone.
                let by_outlets = missed.is_none() && self.absent.is_nobody();
                while at < end.min(members.len()) {
                    let member = &members[at];
                    if by_outlets && member.put(outlets, event) {
                        pass.taken += 1;
                        at += 1;
                        continue;
                    }
                    let queue = &member.queue;
                    let late = missed.map(|missed| queue.miss(missed, || asked(queue)));
                    let outcome = hand(&mut pass, queue, event, weight, || asked(queue));
                    if outcome != Outcome::Skipped || late.is_some() {
                        member.bypass(outlets);
                    }
                    pass.note(late.filter(|late| *late != Outcome::Gone).unwrap_or(outcome), outcome, queue);
                    match outcome {
                        Outcome::Taken(_) | Outcome::Dropped(_) | Outcome::Skipped => at += 1,
                        Outcome::Removed | Outcome::Closed | Outcome::Gone => {
                            queue.unregister();
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
        topic.counts.add(cx.shard(), &pass);
        event.gather.add(&pass);
    }

    fn close(&mut self, topic: &TopicShared) {
        for Member { queue, .. } in self.topics.remove(&topic.id).unwrap_or_default() {
            queue.unregister();
            queue.close();
        }
    }
}

/// A relay that ends, with its shard or by a panic of a payload, ends its subscribers: they would wait for ever.
impl<P: Payload> Drop for Relay<P> {
    fn drop(&mut self) {
        self.topics.drain().flat_map(|(_, members)| members).for_each(|member| member.queue.close());
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
                self.record_lag(waiting, queue);
            }
            (_, Outcome::Taken(waiting)) => {
                self.taken += 1;
                self.record_lag(waiting, queue);
            }
            (_, Outcome::Skipped | Outcome::Gone) => {}
        }
    }

    fn note_without<P: Payload>(&mut self, queue: &Queue<P>, overflow: Overflow) {
        self.first_lost.get_or_insert((queue.id, overflow));
    }

    fn record_lag<P: Payload>(&mut self, waiting: usize, queue: &Queue<P>) {
        if waiting > 1 && waiting > self.longest {
            self.longest = waiting;
            self.oldest = self.oldest.into_iter().chain(queue.oldest()).min();
        }
    }
}

impl<P: Payload> Actor for Relay<P> {
    type Msg = RelayMsg<P>;

    async fn handle(&mut self, message: RelayMsg<P>, cx: &mut Context<RelayMsg<P>>) -> Flow {
        // An event that goes by an outlet does not see who has left.
        self.sweep_untold();
        match message {
            RelayMsg::Join(queue) => self.join(queue),
            RelayMsg::Leave(queue) => {
                self.leave(&queue);
                self.absent.hear();
            }
            RelayMsg::Connect(queue, outlet) => self.connect(cx.local(), &queue, outlet),
            RelayMsg::Publish { topic, event, missed } => {
                self.publish(cx, &topic, &event, missed).await;
            }
            RelayMsg::Close(topic) => self.close(&topic),
        }
        // Whoever could not tell found the mailbox full: this comes after.
        self.sweep_untold();
        Flow::Continue
    }
}

/// Gives a queue an event that is for it.
fn hand<P: Payload>(
    pass: &mut Pass,
    queue: &Arc<Queue<P>>,
    event: &Arc<Event<P>>,
    weight: usize,
    asked: impl FnOnce() -> Arc<dyn Asked>,
) -> Outcome {
    match event.is_for(queue.identity.as_deref()) {
        Ok(true) => queue.push(event, weight, asked),
        Ok(false) => Outcome::Skipped,
        Err(()) => {
            pass.filter_panics += 1;
            Outcome::Skipped
        }
    }
}

/// Removes a member; the last one takes its place.
fn remove<P: Payload>(members: &mut Vec<Member<P>>, at: usize) {
    let member = members.swap_remove(at);
    member.queue.place.store(usize::MAX, Relaxed);
    if let Some(moved) = members.get(at) {
        moved.queue.place.store(at, Relaxed);
    }
}
