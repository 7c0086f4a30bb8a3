//! The number of shards, and the core to which each is pinned.

use std::thread;

use crate::{error::CoresError, os::allowed_cores};

/// Number of shards, and the cores that they run on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Cores {
    /// One shard for each core that this process may use, pinned. A CPU quota below the number of allowed
    /// cores limits the number of shards.
    #[default]
    PerCore,
    /// This number of shards, pinned to the first allowed cores. If there are fewer cores, no shard is
    /// pinned.
    Count(usize),
    /// One shard on each listed core, pinned. The numbers are those of the operating system. A core that is
    /// listed twice gets two shards.
    List(Vec<usize>),
    /// This number of shards, not pinned.
    Unpinned(usize),
}

impl Cores {
    /// Returns the number of shards on this machine.
    ///
    /// Call it on a thread that is not pinned, because it reads the affinity of the calling thread.
    ///
    /// # Errors
    ///
    /// There would be no shard, a listed core is not allowed, or the kernel does not report the allowed
    /// cores.
    pub fn shards(&self) -> Result<usize, CoresError> {
        self.resolve().map(|cores| cores.len())
    }

    /// Returns the core of each shard, ordered by shard. `None` stands for a shard that is not pinned.
    ///
    /// Called before any thread is pinned, because it reads the affinity of the calling thread.
    pub(super) fn resolve(&self) -> Result<Vec<Option<usize>>, CoresError> {
        let allowed = || allowed_cores().ok_or(CoresError::Unavailable);
        let cores = match self {
            Self::PerCore => per_core(allowed()?, thread::available_parallelism().map_or(1, usize::from)),
            Self::Count(count) => first_cores(*count, allowed()?),
            Self::List(list) => listed_cores(list, allowed()?)?,
            Self::Unpinned(count) => vec![None; *count],
        };
        if cores.is_empty() {
            return Err(CoresError::NoShards);
        }
        Ok(cores)
    }
}

fn per_core(mut allowed: Vec<usize>, quota: usize) -> Vec<Option<usize>> {
    allowed.truncate(quota.max(1));
    allowed.into_iter().map(Some).collect()
}

fn first_cores(count: usize, allowed: Vec<usize>) -> Vec<Option<usize>> {
    if count > allowed.len() {
        // Two shards pinned to one core would starve each other while another core is idle. The kernel
        // balances better.
        tracing::warn!(
            shards = count,
            cores = allowed.len(),
            "more shards than cores, shards are not pinned"
        );
        return vec![None; count];
    }
    allowed.into_iter().take(count).map(Some).collect()
}

fn listed_cores(list: &[usize], allowed: Vec<usize>) -> Result<Vec<Option<usize>>, CoresError> {
    match list.iter().find(|core| !allowed.contains(core)) {
        Some(&core) => Err(CoresError::UnknownCore { core, allowed }),
        None => Ok(list.iter().copied().map(Some).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_core_gives_no_more_shards_than_the_quota() {
        assert_eq!(per_core(vec![2, 5, 7], 2), [Some(2), Some(5)]);
        assert_eq!(per_core(vec![2, 5], 8), [Some(2), Some(5)]);
    }

    #[test]
    fn more_shards_than_cores_are_not_pinned() {
        assert_eq!(first_cores(3, vec![0, 1]), [None, None, None]);
        assert_eq!(first_cores(1, vec![4, 5]), [Some(4)]);
    }

    #[test]
    fn an_unknown_core_is_reported_with_the_allowed_ones() {
        let error = listed_cores(&[1, 9], vec![0, 1]).expect_err("core 9 is not allowed");
        assert_eq!(error, CoresError::UnknownCore { core: 9, allowed: vec![0, 1] });
        assert_eq!(error.to_string(), "this process may not run on core 9, allowed cores: [0, 1]");
    }

    #[test]
    fn no_shards_is_an_error() {
        assert_eq!(Cores::Count(0).resolve(), Err(CoresError::NoShards));
        assert_eq!(Cores::List(vec![]).resolve(), Err(CoresError::NoShards));
    }
}
