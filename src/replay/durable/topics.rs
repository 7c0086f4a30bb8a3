//! The topics as the writer knows them: numbers, leases, what is held. No file here, so the rules can be read at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::tables::Row;
use crate::replay::{Durability, ErrorKind, Operation, StoreError};

/// The smallest block of numbers leased at once. A crash leaves a gap of at most one block and a half.
const LEASE: u64 = 1024;
/// The largest; a topic of 100,000 events a second uses half of it in 5 s.
const MAX_LEASE: u64 = 1 << 20;
/// Topics looked at for one that can make room, before an append is refused.
const FORGET_REACH: usize = 64;

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: u32,
    pub(super) name: Bytes,
    /// The number the next event gets.
    pub(super) next: u64,
    /// Numbers below this may have been told without a synced commit to show for it. Not above `next`: there is no lease.
    leased: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) newest_ms: u64,
    /// Time of the oldest event, once somebody has looked.
    pub(super) oldest_ms: Option<u64>,
    /// Events since the last sync that did not ask for one.
    hasty: u64,
}

impl Topic {
    pub(super) fn row(&self) -> Row {
        (self.id, self.next, self.leased, self.events, self.bytes, self.newest_ms)
    }

    /// Takes in an event and returns its number.
    pub(super) fn push(&mut self, size_bytes: u64, now_ms: u64, durability: Durability) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.newest_ms = self.newest_ms.max(now_ms);
        if self.events == 0 {
            self.oldest_ms = Some(self.newest_ms);
        }
        self.events += 1;
        self.bytes += size_bytes;
        if durability < Durability::Fsynced {
            self.hasty += 1;
        }
        seq
    }

    /// Says whether the lease covers all numbers, so that they may be told before a sync.
    fn is_covered(&self) -> bool {
        self.next <= self.leased
    }

    /// Prepares for a sync: says whether the row must be written because it has a new lease.
    fn renew(&mut self) -> bool {
        let hasty = std::mem::take(&mut self.hasty);
        if hasty == 0 {
            return false;
        }
        let block = hasty.saturating_mul(4).next_power_of_two().clamp(LEASE, MAX_LEASE);
        if self.leased.saturating_sub(self.next) >= block / 2 {
            return false;
        }
        self.leased = self.next + block;
        true
    }
}

/// All topics.
#[derive(Debug)]
pub(super) struct Topics {
    ids: HashMap<Bytes, u32>,
    topics: BTreeMap<u32, Topic>,
    /// The largest number a forgotten topic gave out.
    pub(super) floor: u64,
    pub(super) next_id: u64,
    pub(super) total_bytes: u64,
    /// Changed since the last sync.
    dirty: HashSet<u32>,
    /// Where the search for a forgettable topic goes on.
    forget: u32,
    /// Where taking from topics in turn goes on.
    turn: u32,
}

impl Topics {
    pub(super) fn new(floor: u64, next_id: u64) -> Self {
        let (ids, topics, dirty) = Default::default();
        Self { ids, topics, floor, next_id, total_bytes: 0, dirty, forget: 0, turn: 0 }
    }

    /// Takes in a row of the file.
    pub(super) fn load(&mut self, name: &[u8], row: Row) -> Result<(), StoreError> {
        let (id, next, leased, events, bytes, newest_ms) = row;
        let is_odd =
            u64::from(id) >= self.next_id || next == 0 || events >= next || self.topics.contains_key(&id);
        if is_odd {
            let message = "a topic in the file cannot be right";
            return Err(StoreError::new(ErrorKind::Damaged, Operation::Open, message));
        }
        let name = Bytes::copy_from_slice(name);
        self.ids.insert(name.clone(), id);
        self.total_bytes = self.total_bytes.saturating_add(bytes);
        let topic = Topic { id, name, next, leased, events, bytes, newest_ms, oldest_ms: None, hasty: 0 };
        self.topics.insert(id, topic);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn id(&self, name: &[u8]) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// Lists the topics.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.topics.keys().copied().collect()
    }

    /// Leaves out so many numbers of a topic.
    pub(super) fn skip(&mut self, id: u32, count: u64) {
        if let Some(topic) = self.topics.get_mut(&id) {
            topic.next = topic.next.saturating_add(count);
        }
    }

    pub(super) fn at(&self, id: u32) -> Option<&Topic> {
        self.topics.get(&id)
    }

    pub(super) fn at_mut(&mut self, id: u32) -> Option<&mut Topic> {
        self.topics.get_mut(&id)
    }

    /// Adds a topic.
    ///
    /// # Errors
    ///
    /// Four thousand million topics have been made before.
    pub(super) fn add(&mut self, name: &[u8]) -> Result<u32, StoreError> {
        let id = u32::try_from(self.next_id).map_err(|_| {
            StoreError::new(ErrorKind::TooManyTopics, Operation::Append, "no further topic can be numbered")
        })?;
        self.next_id += 1;
        let name = Bytes::copy_from_slice(name);
        let next = self.floor + 1;
        self.ids.insert(name.clone(), id);
        let oldest_ms = None;
        let topic =
            Topic { id, name, next, leased: 0, events: 0, bytes: 0, newest_ms: 0, oldest_ms, hasty: 0 };
        self.topics.insert(id, topic);
        Ok(id)
    }

    /// Removes a topic that holds nothing, if one is found nearby. Its numbers do not come again.
    pub(super) fn forget_one(&mut self) -> Option<Topic> {
        for _ in 0..FORGET_REACH.min(self.topics.len()) {
            let id = after(&self.topics, self.forget)?;
            self.forget = id;
            let topic = self.topics.get(&id)?;
            if topic.events == 0 {
                self.floor = self.floor.max(topic.next.max(topic.leased) - 1);
                self.ids.remove(&topic.name);
                return self.topics.remove(&id);
            }
        }
        None
    }

    /// Returns the next topic in turn.
    pub(super) fn next_in_turn(&mut self) -> Option<&mut Topic> {
        self.turn = after(&self.topics, self.turn)?;
        self.topics.get_mut(&self.turn)
    }

    /// Notes the topics that a transaction changed, and says whether it must be a sync because a lease does not reach.
    pub(super) fn touch(&mut self, ids: &BTreeSet<u32>) -> bool {
        self.dirty.extend(ids);
        ids.iter().filter_map(|id| self.topics.get(id)).any(|topic| !topic.is_covered())
    }

    /// Prepares for a sync: renews leases, and returns the topics whose rows have changed by that.
    pub(super) fn renew(&mut self) -> Vec<u32> {
        let mut ids = std::mem::take(&mut self.dirty);
        ids.retain(|id| self.topics.get_mut(id).is_some_and(Topic::renew));
        ids.into_iter().collect()
    }

    /// Goes on behind all leases; returns the topics that had one.
    pub(super) fn give_up_leases(&mut self) -> Vec<u32> {
        let open = self.topics.values_mut().filter(|topic| topic.leased > topic.next);
        let ids = open.map(|topic| {
            topic.next = topic.leased;
            topic.id
        });
        ids.collect()
    }

    /// Takes back all leases: a synced commit tells what was told. Returns the topics that had one.
    pub(super) fn return_leases(&mut self) -> Vec<u32> {
        let open = self.topics.values_mut().filter(|topic| topic.leased > topic.next);
        let ids = open.map(|topic| {
            topic.leased = 0;
            topic.id
        });
        ids.collect()
    }
}

/// Returns the id after this one, going round.
fn after(topics: &BTreeMap<u32, Topic>, id: u32) -> Option<u32> {
    let next = topics.range(id.saturating_add(1)..).next();
    next.or_else(|| topics.first_key_value()).map(|(id, _)| *id)
}
