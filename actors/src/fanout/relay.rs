//! The relay: the actor of a shard that delivers events to the shard's subscribers.

use std::{collections::HashMap, sync::Arc};

use super::{
    chooser::{Answer, AnswerHandler},
    counters::ShardDelivery,
    event::{Event, Payload},
    gap::Gap,
    leaves::PendingLeaves,
    members::{self, Lane, Member, Members},
    overflow::Overflow,
    queue::{PushOutcome, Queue},
    shared::TopicShared,
};
use crate::{
    actor::{Actor, Addr, Context, Flow},
    future::catch_panic,
    host::yield_now,
    shard::{Local, OutletKey, Outlets},
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

/// Actor that delivers the events of all topics to the subscribers of its shard.
pub(super) struct Relay<P: Payload> {
    /// Subscribers by the id of their topic.
    topics: HashMap<u64, Members<P>>,
    leaves: Arc<PendingLeaves>,
}

impl<P: Payload> Relay<P> {
    pub(super) fn new(leaves: Arc<PendingLeaves>) -> Self {
        Self { topics: HashMap::new(), leaves }
    }

    fn join(&mut self, queue: Arc<Queue<P>>) {
        self.topics.entry(queue.topic.id).or_insert_with(Members::new).insert(queue);
    }

    fn connect(&mut self, local: &Local, queue: &Arc<Queue<P>>, outlet: OutletKey) {
        let members = self.topics.get_mut(&queue.topic.id);
        if let Some(member) = members.and_then(|members| members.get_mut(queue)) {
            // Earlier events may still be in the queue.
            local.outlets().shut(outlet);
            member.connect(outlet);
        }
    }

    fn leave(&mut self, queue: &Arc<Queue<P>>) {
        let Some(members) = self.topics.get_mut(&queue.topic.id) else { return };
        members.remove(queue);
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
            members.remove_left();
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
        let weight = event.payload.weight();
        let mut delivering = Delivering {
            cx,
            leaves: &self.leaves,
            event,
            weight,
            rejected,
            counts: ShardDelivery::default(),
        };
        if let Some(members) = self.topics.get_mut(&topic.id) {
            delivering.pass(members, Lane::All, Part::Event).await;
            if members.has_selective() {
                delivering.pass_selective(members).await;
            }
            if members.is_empty() {
                self.topics.remove(&topic.id);
            }
        }
        let mut delivery = delivering.counts;
        delivery.delivered += delivery.direct;
        topic.counters.add(cx.shard(), &delivery);
        topic.record_delivered(cx.shard(), event.seq);
        event.counter.add(&delivery);
    }

    fn close(&mut self, topic: &TopicShared) {
        for queue in self.topics.remove(&topic.id).into_iter().flat_map(Members::into_queues) {
            queue.unregister();
            queue.close();
        }
    }
}

/// Part of a publish message that a pass over the members delivers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The events before it that the full relay did not accept.
    Rejected,
    /// The event. Members that want all events get the rejected ones before it.
    Event,
}

/// Delivery of an event to the members of its topic.
struct Delivering<'a, P: Payload> {
    cx: &'a Context<RelayMsg<P>>,
    leaves: &'a Arc<PendingLeaves>,
    event: &'a Arc<Event<P>>,
    weight: usize,
    rejected: Option<Gap>,
    counts: ShardDelivery,
}

impl<P: Payload> Delivering<'_, P> {
    /// Delivers to the members whose interest has a condition.
    async fn pass_selective(&mut self, members: &mut Members<P>) {
        if self.rejected.is_some() {
            // The labels of these events are not known, so each of the members may have lost one.
            self.pass(members, Lane::Selective, Part::Rejected).await;
        }
        for lane in 0..members.select(self.event.payload.labels()) {
            let lane = members.lane(lane);
            self.pass(members, lane, Part::Event).await;
        }
    }

    /// Delivers to the members of a lane, and yields after each [`QUEUES_IN_A_ROW`].
    async fn pass(&mut self, members: &mut Members<P>, lane: Lane, part: Part) {
        let mut at = 0;
        while at < members.len(lane) {
            let end = at + QUEUES_IN_A_ROW;
            at = match lane {
                Lane::All => self.deliver_to_all(members.all_mut(), at, end),
                Lane::Selective | Lane::List(_) => self.deliver_in_lane(members, lane, part, at, end),
            };
            if at < members.len(lane) {
                yield_now().await;
            }
        }
    }

    /// Returns `true` if the event may go to outlets. An outlet does not show whether its subscriber has
    /// left, but the queue does.
    fn uses_outlets(&self) -> bool {
        self.rejected.is_none() && self.leaves.is_empty()
    }

    /// Delivers to the members from index `at` to `end`. Returns the index after the last one.
    // Inlined as `Queue::push` is.
    #[inline(always)]
    fn deliver_to_all(&mut self, members: &mut Vec<Member<P>>, mut at: usize, end: usize) -> usize {
        let (outlets, use_outlets) = (self.cx.local().outlets(), self.uses_outlets());
        while at < end.min(members.len()) {
            let member = &members[at];
            if use_outlets && member.put(outlets, self.event) {
                self.counts.direct += 1;
                at += 1;
            } else if self.push(member, outlets, self.rejected) {
                at += 1;
            } else {
                member.queue.unregister();
                members::remove(members, at);
            }
        }
        at
    }

    /// Delivers to the members of a lane from index `at` to `end`. Returns the index after the last one.
    fn deliver_in_lane(
        &mut self,
        members: &mut Members<P>,
        lane: Lane,
        part: Part,
        mut at: usize,
        end: usize,
    ) -> usize {
        let (outlets, use_outlets) = (self.cx.local().outlets(), self.uses_outlets());
        while at < end.min(members.len(lane)) {
            let Some(member) = members.visit(lane, at) else {
                at += 1;
                continue;
            };
            let stays = match part {
                Part::Rejected => self.push_rejected(member, outlets),
                Part::Event if !self.is_wanted(member) => true,
                Part::Event if use_outlets && member.put(outlets, self.event) => {
                    self.counts.direct += 1;
                    true
                }
                Part::Event => self.push(member, outlets, None),
            };
            if stays {
                at += 1;
            } else {
                let queue = Arc::clone(&member.queue);
                queue.unregister();
                // Another member moves to this place, or it stays vacant.
                members.remove(&queue);
            }
        }
        at
    }

    /// Returns `true` if the predicate of a member's interest accepts the event. A panic is counted, and
    /// excludes the member.
    fn is_wanted(&mut self, member: &Member<P>) -> bool {
        let Some(predicate) = member.queue.interest.predicate() else { return true };
        catch_panic(|| predicate(&self.event.payload)).unwrap_or_else(|_| {
            self.counts.filter_panics += 1;
            false
        })
    }

    /// Pushes the event, and the rejected ones before it, to the queue of a member. Returns `false` if the
    /// subscriber has ended.
    // Inlined as `Queue::push` is.
    #[inline(always)]
    fn push(&mut self, member: &Member<P>, outlets: &Outlets, rejected: Option<Gap>) -> bool {
        let queue = &member.queue;
        let gap_outcome = rejected.map(|gap| queue.push_gap(gap, || self.answer_handler(queue)));
        let outcome = self.push_event(queue);
        if outcome != PushOutcome::Filtered || gap_outcome.is_some() {
            member.shut(outlets);
        }
        let gap_outcome = gap_outcome.filter(|outcome| *outcome != PushOutcome::Gone);
        self.counts.record(gap_outcome.unwrap_or(outcome), outcome, queue);
        match outcome {
            PushOutcome::Delivered(_) | PushOutcome::Dropped(_) | PushOutcome::Filtered => true,
            PushOutcome::Removed | PushOutcome::Closed | PushOutcome::Gone => false,
        }
    }

    /// Pushes the rejected events to the queue of a member. Returns `false` if the subscriber has ended.
    fn push_rejected(&mut self, member: &Member<P>, outlets: &Outlets) -> bool {
        let Some(gap) = self.rejected else { return true };
        let queue = &member.queue;
        let outcome = queue.push_gap(gap, || self.answer_handler(queue));
        member.shut(outlets);
        match outcome {
            PushOutcome::Delivered(_) | PushOutcome::Dropped(_) | PushOutcome::Filtered => true,
            PushOutcome::Removed | PushOutcome::Closed | PushOutcome::Gone => {
                self.counts.record(outcome, outcome, queue);
                false
            }
        }
    }

    /// Pushes the event to a queue if its filter accepts the subscriber. A panic of the filter is counted,
    /// and excludes the subscriber.
    // Inlined as `Queue::push` is.
    #[inline(always)]
    fn push_event(&mut self, queue: &Arc<Queue<P>>) -> PushOutcome {
        match self.event.is_for(queue.identity.as_deref()) {
            Ok(true) => queue.push(self.event, self.weight, || self.answer_handler(queue)),
            Ok(false) => PushOutcome::Filtered,
            Err(()) => {
                self.counts.filter_panics += 1;
                PushOutcome::Filtered
            }
        }
    }

    fn answer_handler(&self, queue: &Arc<Queue<P>>) -> Arc<dyn AnswerHandler> {
        let relay = RelayHandle { address: self.cx.address(), leaves: Arc::clone(self.leaves) };
        Arc::new(SubscriberAnswer { queue: Arc::clone(queue), relay })
    }
}

/// Closes the subscribers when the relay ends, with its shard or after a panic. They would wait forever
/// otherwise.
impl<P: Payload> Drop for Relay<P> {
    fn drop(&mut self) {
        self.topics.drain().flat_map(|(_, members)| members.into_queues()).for_each(|queue| queue.close());
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
