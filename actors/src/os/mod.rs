//! Calls to the Linux kernel: eventfd, core affinity, scheduling. This folder must not know shards or actors.

mod affinity;
mod eventfd;
mod scheduling;

pub(crate) use affinity::{allowed_cores, pin_thread};
pub(crate) use eventfd::EventFd;
pub(crate) use scheduling::{use_idle_time, use_short_slices};
