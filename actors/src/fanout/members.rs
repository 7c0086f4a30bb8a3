//! The subscribers of one topic on one shard, indexed by their interests.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    event::{Event, Payload},
    interest::{Label, Matcher},
    prefixes::PrefixTree,
    queue::Queue,
};
use crate::shard::{OutletEvent, OutletKey, Outlets};

/// Subscriber in the members of its topic.
pub(super) struct Member<P: Payload> {
    pub(super) queue: Arc<Queue<P>>,
    /// Outlet that gets the events while it is open.
    outlet: Option<OutletKey>,
    /// Events up to this number are not for the outlet.
    after: u64,
}

impl<P: Payload> Member<P> {
    fn new(queue: Arc<Queue<P>>) -> Self {
        Self { queue, outlet: None, after: 0 }
    }

    /// Connects an outlet, which must be shut: earlier events may still be in the queue.
    pub(super) fn connect(&mut self, outlet: OutletKey) {
        (self.outlet, self.after) = (Some(outlet), self.queue.after());
    }

    /// Puts an event into the outlet. Returns `false` if there is no open outlet, or if the event must go to
    /// the queue.
    pub(super) fn put(&self, outlets: &Outlets, event: &Arc<Event<P>>) -> bool {
        let is_for_outlet = event.filter.is_none() && (event.seq > self.after || !event.is_numbered());
        let Some(outlet) = self.outlet.filter(|_| is_for_outlet) else { return false };
        outlets.put(outlet, || Arc::clone(event) as OutletEvent)
    }

    /// Shuts the outlet, because an event went to the queue. No later event may overtake it.
    pub(super) fn shut(&self, outlets: &Outlets) {
        if let Some(outlet) = self.outlet {
            outlets.shut(outlet);
        }
    }
}

/// Part of the members that an event is delivered to. An event is delivered lane by lane.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Members that want all events.
    All,
    /// All other members.
    Selective,
    /// Members with one matcher in common, by the index of their list.
    List(usize),
}

/// Subscribers of one topic on one shard.
///
/// Adding and removing a member takes constant time for each of its matchers. While a member is registered,
/// the `index` of its queue is its index in `all`, or in `entries` if its interest has a condition.
pub(super) struct Members<P: Payload> {
    /// Members that want all events.
    all: Vec<Member<P>>,
    /// Members whose interest has a condition, with vacant places.
    entries: Vec<Option<Entry<P>>>,
    /// Indexes of the vacant places in `entries`.
    vacant: Vec<usize>,
    lists: Vec<List>,
    /// Indexes of the empty places in `lists`.
    vacant_lists: Vec<usize>,
    /// Lists of exact labels.
    exact: HashMap<Label, usize>,
    /// Lists of prefixes.
    prefixes: PrefixTree,
    /// Lanes of the event that is being delivered.
    lanes: Vec<Lane>,
    /// Number of the current delivery, for [`Entry::seen`]. 0 if no member is in two of its lanes.
    delivery: u64,
    deliveries: u64,
}

/// Member whose interest has a condition.
struct Entry<P: Payload> {
    member: Member<P>,
    /// Lists that the member is in, and its index in each.
    places: Box<[(usize, usize)]>,
    /// Number of the last delivery with several lists that reached the member.
    seen: u64,
}

/// Members with one matcher in common.
struct List {
    matcher: Matcher,
    /// Index in `entries`, and the index of this list in the member's `places`.
    members: Vec<(usize, usize)>,
}

impl<P: Payload> Members<P> {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            lists: Vec::new(),
            vacant_lists: Vec::new(),
            exact: HashMap::new(),
            prefixes: PrefixTree::default(),
            lanes: Vec::new(),
            delivery: 0,
            deliveries: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && !self.has_selective()
    }

    /// Returns `true` if there are members whose interest has a condition.
    pub(super) fn has_selective(&self) -> bool {
        self.entries.len() > self.vacant.len()
    }

    pub(super) fn insert(&mut self, queue: Arc<Queue<P>>) {
        if queue.interest.is_all() {
            queue.index.store(self.all.len(), Relaxed);
            return self.all.push(Member::new(queue));
        }
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        queue.index.store(at, Relaxed);
        let interest = queue.interest.clone();
        let every_label = [Matcher::Prefix("".into())];
        let matchers = interest.matchers().unwrap_or(&every_label);
        let add = |(place, matcher)| {
            let list = self.list(matcher);
            let members = &mut self.lists[list].members;
            members.push((at, place));
            (list, members.len() - 1)
        };
        let places = matchers.iter().enumerate().map(add).collect();
        self.entries[at] = Some(Entry { member: Member::new(queue), places, seen: 0 });
    }

    /// Returns the index of a matcher's list. Adds the list if there is none.
    fn list(&mut self, matcher: &Matcher) -> usize {
        let (lists, vacant) = (&mut self.lists, &mut self.vacant_lists);
        let add = || {
            let list = List { matcher: matcher.clone(), members: Vec::new() };
            match vacant.pop() {
                Some(at) => {
                    lists[at] = list;
                    at
                }
                None => {
                    lists.push(list);
                    lists.len() - 1
                }
            }
        };
        match matcher {
            Matcher::Exact(label) => *self.exact.entry(label.clone()).or_insert_with(add),
            Matcher::Prefix(prefix) => self.prefixes.get_or_insert(prefix, add),
        }
    }

    /// Returns the member with this queue.
    pub(super) fn get_mut(&mut self, queue: &Arc<Queue<P>>) -> Option<&mut Member<P>> {
        let at = queue.index.load(Relaxed);
        let member = match queue.interest.is_all() {
            true => self.all.get_mut(at),
            false => self.entries.get_mut(at).and_then(Option::as_mut).map(|entry| &mut entry.member),
        };
        member.filter(|member| Arc::ptr_eq(&member.queue, queue))
    }

    /// Removes the member with this queue, if it is one.
    pub(super) fn remove(&mut self, queue: &Arc<Queue<P>>) {
        if self.get_mut(queue).is_none() {
            return;
        }
        let at = queue.index.load(Relaxed);
        if !queue.interest.is_all() {
            return self.remove_entry(at);
        }
        remove(&mut self.all, at);
    }

    /// Returns the members that want all events.
    pub(super) fn all_mut(&mut self) -> &mut Vec<Member<P>> {
        &mut self.all
    }

    fn remove_entry(&mut self, at: usize) {
        let Some(entry) = self.entries[at].take() else { return };
        entry.member.queue.index.store(usize::MAX, Relaxed);
        self.vacant.push(at);
        for (list, index) in entry.places {
            let members = &mut self.lists[list].members;
            members.swap_remove(index);
            if let Some(&(moved, place)) = members.get(index) {
                if let Some(moved) = &mut self.entries[moved] {
                    moved.places[place].1 = index;
                }
            } else if members.is_empty() {
                self.remove_list(list);
            }
        }
    }

    /// Removes an empty list. Its place stays empty until a member joins.
    fn remove_list(&mut self, list: usize) {
        match &self.lists[list].matcher {
            Matcher::Exact(label) => drop(self.exact.remove(label)),
            Matcher::Prefix(prefix) => self.prefixes.remove(prefix),
        }
        self.lists[list].members = Vec::new();
        self.vacant_lists.push(list);
    }

    /// Removes the members whose subscriptions were dropped.
    pub(super) fn remove_left(&mut self) {
        let selective = self.entries.iter().flatten().map(|entry| &entry.member);
        let left = self.all.iter().chain(selective).map(|member| &member.queue);
        let left: Vec<_> = left.filter(|queue| queue.has_left()).cloned().collect();
        left.iter().for_each(|queue| self.remove(queue));
    }

    /// Takes all members.
    pub(super) fn into_queues(self) -> impl Iterator<Item = Arc<Queue<P>>> {
        let selective = self.entries.into_iter().flatten().map(|entry| entry.member);
        self.all.into_iter().chain(selective).map(|member| member.queue)
    }

    /// Selects the lanes of an event with these labels, among the members whose interest has a condition.
    /// Returns the number of lanes.
    pub(super) fn select(&mut self, labels: &[Label]) -> usize {
        self.lanes.clear();
        self.delivery = 0;
        if labels.is_empty() {
            self.lanes.push(Lane::Selective);
        }
        for label in labels {
            self.lanes.extend(self.exact.get(label).map(|list| Lane::List(*list)));
            self.prefixes.for_each_match(label, |list| self.lanes.push(Lane::List(list)));
        }
        if self.lanes.len() > 1 {
            self.deliveries += 1;
            self.delivery = self.deliveries;
        }
        self.lanes.len()
    }

    /// Returns a lane of the selected ones.
    pub(super) fn lane(&self, index: usize) -> Lane {
        self.lanes[index]
    }

    /// Returns the number of places in a lane. Some of them may be vacant.
    pub(super) fn len(&self, lane: Lane) -> usize {
        match lane {
            Lane::All => self.all.len(),
            Lane::Selective => self.entries.len(),
            Lane::List(list) => self.lists[list].members.len(),
        }
    }

    /// Returns the member at an index of a lane. Returns `None` if the place is vacant, or if the delivery
    /// has reached the member in another lane.
    pub(super) fn visit(&mut self, lane: Lane, at: usize) -> Option<&Member<P>> {
        match lane {
            Lane::All => self.all.get(at),
            Lane::Selective => self.entries[at].as_ref().map(|entry| &entry.member),
            Lane::List(list) => {
                let entry = self.entries[self.lists[list].members[at].0].as_mut()?;
                if self.delivery > 0 && std::mem::replace(&mut entry.seen, self.delivery) == self.delivery {
                    return None;
                }
                Some(&entry.member)
            }
        }
    }
}

/// Removes the member at an index. The last member moves there.
pub(super) fn remove<P: Payload>(members: &mut Vec<Member<P>>, at: usize) {
    let member = members.swap_remove(at);
    member.queue.index.store(usize::MAX, Relaxed);
    if let Some(moved) = members.get(at) {
        moved.queue.index.store(at, Relaxed);
    }
}
