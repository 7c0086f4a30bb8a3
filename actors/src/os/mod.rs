//! Calls to the Linux kernel: eventfd, core affinity, scheduling. Knows no actor and no shard.

mod affinity;
mod eventfd;
mod scheduling;

pub(crate) use affinity::{allowed_cores, pin_thread};
pub(crate) use eventfd::EventFd;
pub(crate) use scheduling::{use_idle_time, use_short_slices};
