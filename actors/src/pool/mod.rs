//! A pool of threads for work that a shard must not do: blocking calls, long computations, code that needs
//! tokio. This folder must not know shards or actors.
//!
//! A pool has two lanes, each with a bounded queue. In the async lane a few workers interleave many jobs. In
//! the blocking lane a job has a thread to itself. Neither lane ever waits for the other.

mod builder;
mod call;
mod counters;
mod handle;
mod job;
mod lane;
mod queue;
mod queued_job;
mod worker;

pub use builder::PoolBuilder;
pub use call::JobOutput;
pub use counters::LaneStats;
pub use handle::{Pool, PoolReport, PoolStats};
pub use job::{BlockingJob, Job, JobFuture, Refusal, Rejected};
pub use queued_job::JobHandle;
