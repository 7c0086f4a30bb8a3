//! The relay: the actor of a shard that delivers events to the shard's subscribers.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    chooser::{Answer, AnswerHandler},
    counters::ShardDelivery,
    event::{Event, Payload},
    gap::Gap,
    leaves::PendingLeaves,
    overflow::Overflow,
    queue::{PushOutcome, Queue},
    shared::TopicShared,
};
use crate::{
    actor::{Actor, Addr, Context, Flow},
    host::yield_now,
    shard::{Local, OutletEvent, OutletKey, Outlets},
};

/// Maximum number of queues that a relay fills in a row before it yields to the other tasks of its shard.
/// They take about fifty microseconds.
const QUEUES_IN_A_ROW: usize = 512;

/// Message to a relay.
pub(super) enum RelayMsg<P: Payload> {
    /// A subscriber has joined.
    Join(Arc<Queue<P>>),
    /// A subscriber has left, or the answer of a callback has ended it.
    Leave(Arc<Queue<P>>),
    /// The events of a subscriber go to this outlet while it is open.
    Connect(Arc<Queue<P>>, OutletKey),
    /// An event, and the events before it that the full relay did not accept.
    Publish { topic: Arc<TopicShared>, event: Arc<Event<P>>, rejected: Option<Gap> },
    /// The topic was closed.
    Close(Arc<TopicShared>),
}

/// Handle to the relay of a shard, for topics and subscriptions.
pub(super) struct RelayHandle<P: Payload> {
    pub(super) address: Addr<RelayMsg<P>>,
    pub(super) leaves: Arc<PendingLeaves>,
}

impl<P: Payload> RelayHandle<P> {
    /// Connects a subscriber to an outlet of the calling thread's shard.
    ///
    /// Returns `false` if that is not the shard of the relay, or if the mailbox of the relay is full or
    /// closed.
    pub(super) fn connect(&self, queue: &Arc<Queue<P>>, outlet: OutletKey) -> bool {
        self.address.is_here() && self.address.try_tell(RelayMsg::Connect(Arc::clone(queue), outlet)).is_ok()
    }

    /// Unregisters a subscriber that has left or was ended, and sends the relay a leave message.
    ///
    /// If the mailbox of the relay is full, the relay searches for subscribers that have left before it
    /// handles its next message.
    pub(super) fn leave(&self, queue: &Arc<Queue<P>>) {
        queue.unregister();
        self.leaves.begin_send();
        if self.address.try_tell(RelayMsg::Leave(Arc::clone(queue))).is_err() {
            self.leaves.fail_send();
        }
    }
}

/// Applies the answer of a callback to a subscriber.
struct SubscriberAnswer<P: Payload> {
    queue: Arc<Queue<P>>,
    relay: RelayHandle<P>,
}

impl<P: Payload> AnswerHandler for SubscriberAnswer<P> {
    fn handle_answer(self: Arc<Self>, answer: Answer) {
        if self.queue.apply_answer(answer) {
            self.relay.leave(&self.queue);
        }
    }
}

/// Subscriber in the list of its relay.
struct Member<P: Payload> {
    queue: Arc<Queue<P>>,
    /// Outlet that gets the events while it is open.
    outlet: Option<OutletKey>,
    /// Events up to this number are not for the outlet.
    after: u64,
}

impl<P: Payload> Member<P> {
    /// Puts an event into the outlet. Returns `false` if there is no open outlet, or if the event must go to
    /// the queue.
    fn put(&self, outlets: &Outlets, event: &Arc<Event<P>>) -> bool {
        let is_for_outlet = event.filter.is_none() && (event.seq > self.after || !event.is_numbered());
        let Some(outlet) = self.outlet.filter(|_| is_for_outlet) else { return false };
        outlets.put(outlet, || Arc::clone(event) as OutletEvent)
    }

    /// Shuts the outlet, because an event went to the queue. No later event may overtake it.
    fn shut(&self, outlets: &Outlets) {
        if let Some(outlet) = self.outlet {
            outlets.shut(outlet);
        }
    }
}

/// Actor that delivers the events of all topics to the subscribers of its shard.
pub(super) struct Relay<P: Payload> {
    /// Subscribers by the id of their topic.
    topics: HashMap<u64, Vec<Member<P>>>,
    leaves: Arc<PendingLeaves>,
}

impl<P: Payload> Relay<P> {
    pub(super) fn new(leaves: Arc<PendingLeaves>) -> Self {
        Self { topics: HashMap::new(), leaves }
    }

    fn join(&mut self, queue: Arc<Queue<P>>) {
        let members = self.topics.entry(queue.topic.id).or_default();
        queue.index.store(members.len(), Relaxed);
        members.push(Member { queue, outlet: None, after: 0 });
    }

    fn connect(&mut self, local: &Local, queue: &Arc<Queue<P>>, outlet: OutletKey) {
        let index = queue.index.load(Relaxed);
        let members = self.topics.get_mut(&queue.topic.id);
        let Some(member) = members.and_then(|members| members.get_mut(index)) else { return };
        if Arc::ptr_eq(&member.queue, queue) {
            // Earlier events may still be in the queue.
            local.outlets().shut(outlet);
            (member.outlet, member.after) = (Some(outlet), queue.after());
        }
    }

    fn leave(&mut self, queue: &Arc<Queue<P>>) {
        let Some(members) = self.topics.get_mut(&queue.topic.id) else { return };
        let index = queue.index.load(Relaxed);
        if members.get(index).is_some_and(|member| Arc::ptr_eq(&member.queue, queue)) {
            remove(members, index);
        }
        if members.is_empty() {
            self.topics.remove(&queue.topic.id);
        }
    }

    /// Removes the subscribers whose leave messages did not fit into the mailbox.
    fn remove_unsent_leaves(&mut self) {
        if !self.leaves.take_unsent() {
            return;
        }
        self.topics.retain(|_, members| {
            members.retain(|member| !member.queue.has_left());
            members.iter().enumerate().for_each(|(index, member)| member.queue.index.store(index, Relaxed));
            !members.is_empty()
        });
    }

    async fn publish(
        &mut self,
        cx: &Context<RelayMsg<P>>,
        topic: &TopicShared,
        event: &Arc<Event<P>>,
        rejected: Option<Gap>,
    ) {
        let mut delivery = ShardDelivery::default();
        let outlets = cx.local().outlets();
        let leaves = &self.leaves;
        let answer_handler = |queue: &Arc<Queue<P>>| -> Arc<dyn AnswerHandler> {
            let relay = RelayHandle { address: cx.address(), leaves: Arc::clone(leaves) };
            Arc::new(SubscriberAnswer { queue: Arc::clone(queue), relay })
        };
        if let Some(members) = self.topics.get_mut(&topic.id) {
            let weight = event.payload.weight();
            let mut at = 0;
            while at < members.len() {
                let end = (at + QUEUES_IN_A_ROW).min(members.len());
                // An outlet does not show whether its subscriber has left, but the queue does.
                let use_outlets = rejected.is_none() && self.leaves.is_empty();
                while at < end.min(members.len()) {
                    let member = &members[at];
                    if use_outlets && member.put(outlets, event) {
                        delivery.direct += 1;
                        at += 1;
                        continue;
                    }
                    let queue = &member.queue;
                    let gap_outcome = rejected.map(|gap| queue.push_gap(gap, || answer_handler(queue)));
                    let outcome = push(&mut delivery, queue, event, weight, || answer_handler(queue));
                    if outcome != PushOutcome::Filtered || gap_outcome.is_some() {
                        member.shut(outlets);
                    }
                    let gap_outcome = gap_outcome.filter(|outcome| *outcome != PushOutcome::Gone);
                    delivery.record(gap_outcome.unwrap_or(outcome), outcome, queue);
                    match outcome {
                        PushOutcome::Delivered(_) | PushOutcome::Dropped(_) | PushOutcome::Filtered => {
                            at += 1
                        }
                        PushOutcome::Removed | PushOutcome::Closed | PushOutcome::Gone => {
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
        delivery.delivered += delivery.direct;
        topic.counters.add(cx.shard(), &delivery);
        event.counter.add(&delivery);
    }

    fn close(&mut self, topic: &TopicShared) {
        for Member { queue, .. } in self.topics.remove(&topic.id).unwrap_or_default() {
            queue.unregister();
            queue.close();
        }
    }
}

/// Closes the subscribers when the relay ends, with its shard or after a panic. They would wait forever
/// otherwise.
impl<P: Payload> Drop for Relay<P> {
    fn drop(&mut self) {
        self.topics.drain().flat_map(|(_, members)| members).for_each(|member| member.queue.close());
    }
}

impl ShardDelivery {
    /// Counts the outcome of an event at one queue. `gap_outcome` is that of the rejected events before it,
    /// or the same one.
    fn record<P: Payload>(&mut self, gap_outcome: PushOutcome, outcome: PushOutcome, queue: &Queue<P>) {
        match (gap_outcome, outcome) {
            (PushOutcome::Removed, _) | (_, PushOutcome::Removed) => {
                self.removed += 1;
                self.record_lost(queue, Overflow::Remove);
            }
            (PushOutcome::Closed, _) | (_, PushOutcome::Closed) => {
                self.closed += 1;
                self.record_lost(queue, Overflow::Close);
            }
            (_, PushOutcome::Dropped(waiting)) => {
                self.dropped += 1;
                self.record_lost(queue, Overflow::Drop);
                self.record_lag(waiting, queue);
            }
            (_, PushOutcome::Delivered(waiting)) => {
                self.delivered += 1;
                self.record_lag(waiting, queue);
            }
            (_, PushOutcome::Filtered | PushOutcome::Gone) => {}
        }
    }

    fn record_lost<P: Payload>(&mut self, queue: &Queue<P>, overflow: Overflow) {
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
        // Before an event, because an outlet does not show whether its subscriber has left.
        self.remove_unsent_leaves();
        match message {
            RelayMsg::Join(queue) => self.join(queue),
            RelayMsg::Leave(queue) => {
                self.leave(&queue);
                self.leaves.finish();
            }
            RelayMsg::Connect(queue, outlet) => self.connect(cx.local(), &queue, outlet),
            RelayMsg::Publish { topic, event, rejected } => {
                self.publish(cx, &topic, &event, rejected).await;
            }
            RelayMsg::Close(topic) => self.close(&topic),
        }
        // A subscriber whose leave message was not sent found the mailbox full, so this call comes after its
        // leave.
        self.remove_unsent_leaves();
        Flow::Continue
    }
}

/// Pushes an event to a queue if the event is for its subscriber. A panic of the filter is counted, and
/// excludes the subscriber.
fn push<P: Payload>(
    delivery: &mut ShardDelivery,
    queue: &Arc<Queue<P>>,
    event: &Arc<Event<P>>,
    weight: usize,
    answer_handler: impl FnOnce() -> Arc<dyn AnswerHandler>,
) -> PushOutcome {
    match event.is_for(queue.identity.as_deref()) {
        Ok(true) => queue.push(event, weight, answer_handler),
        Ok(false) => PushOutcome::Filtered,
        Err(()) => {
            delivery.filter_panics += 1;
            PushOutcome::Filtered
        }
    }
}

/// Removes the member at an index. The last member moves there.
fn remove<P: Payload>(members: &mut Vec<Member<P>>, at: usize) {
    let member = members.swap_remove(at);
    member.queue.index.store(usize::MAX, Relaxed);
    if let Some(moved) = members.get(at) {
        moved.queue.index.store(at, Relaxed);
    }
}
