//! Record of the appends that failed while the disk was failing.

use std::collections::HashMap;

use bytes::Bytes;

use super::logs::Logs;
use crate::replay::{Append, Durability};

/// Maximum number of logs counted by name. Above it, every log gets a gap.
const MAX_LOGS: usize = 4096;

/// Number of failed appends per log, without those that asked for [`Durability::Fsynced`].
///
/// Subscribers may receive an event below `Fsynced` although its append failed. Each such event uses up a
/// number once the file is open again, so that readers see a gap.
#[derive(Debug, Default)]
pub(super) struct FailedAppends {
    logs: HashMap<Bytes, u64>,
    /// `true` if there were too many logs to count them by name.
    has_unnamed: bool,
}

impl FailedAppends {
    /// Records a failed append, unless it asked for [`Durability::Fsynced`].
    pub(super) fn record(&mut self, append: &Append) {
        if append.durability >= Durability::Fsynced {
            return;
        }
        if let Some(count) = self.logs.get_mut(&append.log) {
            *count += 1;
        } else if self.logs.len() < MAX_LOGS {
            self.logs.insert(Bytes::copy_from_slice(&append.log), 1);
        } else {
            self.has_unnamed = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.logs.is_empty() && !self.has_unnamed
    }

    /// Skips one number per failed append, and one of every log if there were too many to count by name.
    /// Returns the ids of the logs changed. A log that does not exist is left out, because it has no
    /// readers.
    pub(super) fn skip_numbers(&self, logs: &mut Logs) -> Vec<u64> {
        if self.has_unnamed {
            logs.ids().into_iter().for_each(|id| logs.skip_numbers(id, 1));
        }
        let mut named = Vec::new();
        for (name, count) in &self.logs {
            if let Some(id) = logs.id(name) {
                logs.skip_numbers(id, *count);
                named.push(id);
            }
        }
        if self.has_unnamed { logs.ids() } else { named }
    }
}
