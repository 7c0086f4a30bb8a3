//! A short time slice for a shard's thread.
//!
//! Linux gives every thread slices of a few milliseconds, and a thread that computes keeps its slice when another
//! wakes up. A shard runs for microseconds and then waits, so under jobs that compute each of its wakes would wait
//! for a clock tick: measured with 16 burning threads on its core, at nice 10, the median request took 2 ms. From
//! Linux 6.12 on a thread may ask for shorter slices, without any privilege, and then preempts longer ones when it
//! wakes: the median is 0.1 ms. Older kernels accept the call and change nothing.

use std::{io, mem};

use rustix::process::getpriority_process;

/// The shortest slice the kernel grants, nanoseconds.
const SLICE_NANOS: u64 = 100_000;

/// Asks for short slices for the calling thread, leaving its nice value as it is.
///
/// # Errors
///
/// The kernel refuses: under a seccomp filter, say. The thread runs on as before.
#[allow(unsafe_code, reason = "no crate wraps sched_setattr(2) for ordinary threads")]
pub(super) fn shorten() -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: mem::size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: getpriority_process(None)?,
        sched_priority: 0,
        sched_runtime: SLICE_NANOS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `size` bytes of `attributes`, which are all initialized and live until the call
    // returns, and keeps no pointer. Pid 0 means the calling thread; it writes no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
