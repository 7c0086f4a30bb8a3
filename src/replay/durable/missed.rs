//! What could not be appended while the disk failed, and may have been handed on without a position all the same.

use std::collections::HashMap;

use bytes::Bytes;

use super::topics::Topics;
use crate::replay::{Append, Durability};

/// Topics that are counted by name. With more, every topic tells a gap.
const NAMED: usize = 4096;

/// Events per topic that are missing in the history without a number to show for it.
///
/// Whoever fans out may hand on an event below fsynced whose append failed. Each such event takes a number when the
/// file is open again, so that those who come back are told a gap.
#[derive(Debug, Default)]
pub(super) struct Missed {
    topics: HashMap<Bytes, u64>,
    has_others: bool,
}

impl Missed {
    /// Notes an append that failed.
    pub(super) fn note(&mut self, append: &Append) {
        if append.durability >= Durability::Fsynced {
            return;
        }
        if let Some(count) = self.topics.get_mut(&append.topic) {
            *count += 1;
        } else if self.topics.len() < NAMED {
            self.topics.insert(Bytes::copy_from_slice(&append.topic), 1);
        } else {
            self.has_others = true;
        }
    }

    /// Leaves numbers out, and returns the topics concerned. One that never had an event has nobody to tell.
    pub(super) fn skip(&self, topics: &mut Topics) -> Vec<u32> {
        if self.has_others {
            topics.ids().into_iter().for_each(|id| topics.skip(id, 1));
        }
        let mut named = Vec::new();
        for (name, count) in &self.topics {
            if let Some(id) = topics.id(name) {
                topics.skip(id, *count);
                named.push(id);
            }
        }
        if self.has_others { topics.ids() } else { named }
    }
}
