//! Calls to the Linux kernel: eventfd, core affinity, scheduling class. Knows no actor and no shard.

mod affinity;
mod eventfd;
mod scheduling;

pub(crate) use affinity::{allowed_cores, pin};
pub(crate) use eventfd::EventFd;
pub(crate) use scheduling::{idle_time_only, short_slices};
