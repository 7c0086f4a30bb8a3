//! The result of a drain.

use std::{collections::BTreeMap, fmt, time::Duration};

use windlass_actors::StopReport;

use crate::conn::DrainCounts;

/// The result of [`Server::drain`](crate::Server::drain).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DrainReport {
    /// Number of connections that ended without being cut. Includes connections that were accepted after the
    /// drain began, from the kernel's queue, and those that their peers ended.
    pub drained: u64,
    /// Number of connections that were reset when the grace had passed, by what they were doing.
    /// `peer_stalled` are those reset earlier by the write timeout.
    pub cut: BTreeMap<&'static str, u64>,
    /// Number of shards that did not report in time, because a handler does not return. Their connections
    /// are neither in [`drained`](Self::drained) nor in [`cut`](Self::cut).
    pub shards_stuck: usize,
    /// Duration of the drain.
    pub duration: Duration,
    /// Report of the actor system. Actors and shards have 1 s to end after the last connection.
    ///
    /// The drain does not wait for the threads of the pool. A sync handler that never returns is not in the
    /// report, and its thread ends with the process.
    pub system: StopReport,
}

impl DrainReport {
    /// Returns the sum of [`cut`](Self::cut).
    pub fn cut_total(&self) -> u64 {
        self.cut.values().sum()
    }

    /// Adds the counts of a shard.
    pub(super) fn add(&mut self, counts: &DrainCounts) {
        self.drained += counts.drained;
        for (activity, count) in &counts.cut {
            *self.cut.entry(activity).or_default() += count;
        }
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drained {} connections, cut {}", self.drained, self.cut_total())?;
        for (index, (activity, count)) in self.cut.iter().enumerate() {
            write!(f, "{}{activity} {count}", if index == 0 { " (" } else { ", " })?;
        }
        let close = if self.cut.is_empty() { "" } else { ")" };
        write!(f, "{close}, took {:.3} s", self.duration.as_secs_f64())?;
        if self.shards_stuck > 0 {
            write!(f, "; {} shards did not report their connections", self.shards_stuck)?;
        }
        let system = &self.system;
        write!(
            f,
            "; stopped {} actors, which handled {} messages meanwhile and dropped {}",
            system.actors_stopped, system.messages_drained, system.messages_dropped
        )?;
        if !self.system.is_clean() {
            write!(f, "; the actor system did not stop cleanly: {:?}", self.system)?;
        }
        Ok(())
    }
}
