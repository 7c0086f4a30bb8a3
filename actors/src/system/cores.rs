//! Which core each shard runs on.

use std::thread;

use crate::{error::CoresError, os::allowed_cores};

/// Says how many shards there are and where they run.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Cores {
    /// One shard for each core this process may use: the smaller of the allowed cores and the CPU quota.
    #[default]
    PerCore,
    /// So many shards, pinned to the first allowed cores; unpinned if there are fewer cores than that.
    Count(usize),
    /// One shard on each of these cores, named by the system's numbers. A core named twice gets two shards.
    List(Vec<usize>),
    /// So many shards, pinned nowhere.
    Unpinned(usize),
}

impl Cores {
    /// Returns how many shards this gives on this machine. To be asked on a thread that is not pinned.
    ///
    /// # Errors
    ///
    /// The cores cannot be had.
    pub fn shards(&self) -> Result<usize, CoresError> {
        ShardCores::resolve(self).map(|placement| placement.seats.len())
    }
}

/// The cores of a system's shards, in the order of their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardCores {
    /// The core of each shard; `None` leaves it to the kernel.
    pub(crate) seats: Vec<Option<usize>>,
}

impl ShardCores {
    /// Resolves what was asked for. Looks at the calling thread's affinity, so it comes before any pinning.
    pub(crate) fn resolve(cores: &Cores) -> Result<Self, CoresError> {
        let allowed = || -> Result<Vec<usize>, CoresError> { allowed_cores().ok_or(CoresError::Unavailable) };
        let seats = match cores {
            Cores::PerCore => per_core(allowed()?, thread::available_parallelism().map_or(1, usize::from)),
            Cores::Count(count) => counted(*count, allowed()?),
            Cores::List(list) => listed(list, allowed()?)?,
            Cores::Unpinned(count) => vec![None; *count],
        };
        if seats.is_empty() {
            return Err(CoresError::NoShards);
        }
        Ok(Self { seats })
    }
}

fn per_core(mut allowed: Vec<usize>, quota: usize) -> Vec<Option<usize>> {
    allowed.truncate(quota.max(1));
    allowed.into_iter().map(Some).collect()
}

fn counted(count: usize, allowed: Vec<usize>) -> Vec<Option<usize>> {
    if count > allowed.len() {
        // Two loops pinned to one core would starve each other while another core idles: the kernel balances better.
        tracing::warn!(
            shards = count,
            cores = allowed.len(),
            "more shards than cores: shards are not pinned"
        );
        return vec![None; count];
    }
    allowed.into_iter().take(count).map(Some).collect()
}

fn listed(list: &[usize], allowed: Vec<usize>) -> Result<Vec<Option<usize>>, CoresError> {
    match list.iter().find(|core| !allowed.contains(core)) {
        Some(&core) => Err(CoresError::UnknownCore { core, allowed }),
        None => Ok(list.iter().copied().map(Some).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_core_takes_no_more_than_the_quota() {
        assert_eq!(per_core(vec![2, 5, 7], 2), [Some(2), Some(5)]);
        assert_eq!(per_core(vec![2, 5], 8), [Some(2), Some(5)]);
    }

    #[test]
    fn more_shards_than_cores_are_not_pinned() {
        assert_eq!(counted(3, vec![0, 1]), [None, None, None]);
        assert_eq!(counted(1, vec![4, 5]), [Some(4)]);
    }

    #[test]
    fn an_unknown_core_is_named_with_the_allowed_ones() {
        let error = listed(&[1, 9], vec![0, 1]).expect_err("core 9 is not allowed");
        assert_eq!(error, CoresError::UnknownCore { core: 9, allowed: vec![0, 1] });
        assert_eq!(error.to_string(), "core 9 is not one of the cores this process may run on: [0, 1]");
    }

    #[test]
    fn no_shards_is_an_error() {
        assert_eq!(ShardCores::resolve(&Cores::Count(0)), Err(CoresError::NoShards));
        assert_eq!(ShardCores::resolve(&Cores::List(vec![])), Err(CoresError::NoShards));
    }
}
