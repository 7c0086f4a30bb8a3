//! Record of the appends that failed while the disk was failing.

use std::collections::HashMap;

use bytes::Bytes;

use super::topics::Topics;
use crate::replay::{Append, Durability};

/// Maximum number of topics counted by name. Above it, every topic gets a gap.
const MAX_TOPICS: usize = 4096;

/// Number of failed appends per topic, without those that asked for [`Durability::Fsynced`].
///
/// Subscribers may receive an event below `Fsynced` although its append failed. Each such event uses up a
/// number once the file is open again, so that readers see a gap.
#[derive(Debug, Default)]
pub(super) struct FailedAppends {
    topics: HashMap<Bytes, u64>,
    /// `true` if there were too many topics to count them by name.
    has_unnamed: bool,
}

impl FailedAppends {
    /// Records a failed append, unless it asked for [`Durability::Fsynced`].
    pub(super) fn record(&mut self, append: &Append) {
        if append.durability >= Durability::Fsynced {
            return;
        }
        if let Some(count) = self.topics.get_mut(&append.topic) {
            *count += 1;
        } else if self.topics.len() < MAX_TOPICS {
            self.topics.insert(Bytes::copy_from_slice(&append.topic), 1);
        } else {
            self.has_unnamed = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && !self.has_unnamed
    }

    /// Skips one number per failed append, and one of every topic if there were too many to count by name.
    /// Returns the ids of the topics changed. A topic that does not exist is left out, because it has no
    /// readers.
    pub(super) fn skip_numbers(&self, topics: &mut Topics) -> Vec<u32> {
        if self.has_unnamed {
            topics.ids().into_iter().for_each(|id| topics.skip_numbers(id, 1));
        }
        let mut named = Vec::new();
        for (name, count) in &self.topics {
            if let Some(id) = topics.id(name) {
                topics.skip_numbers(id, *count);
                named.push(id);
            }
        }
        if self.has_unnamed { topics.ids() } else { named }
    }
}
