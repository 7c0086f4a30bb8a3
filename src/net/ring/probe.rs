//! Tries out whether this process may use io_uring, and all of it that a ring needs.

use std::{
    fmt, io,
    io::Write,
    os::{fd::AsFd, unix::net::UnixStream},
    thread,
    time::Duration,
};

use super::{
    buffers::{self, Buffers},
    ops::{self, Kind, Tag},
    queues::{Completion, Queues},
};
use crate::net::{ConnId, EngineOptions};

/// What the probe sends itself; each time it must come back as one receive.
const GREETING: &[u8] = b"multishot";

/// A receive on a socket with bytes takes microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says what io_uring does not do here.
#[derive(Debug)]
pub struct ProbeError {
    /// What was tried.
    pub step: &'static str,
    /// What the system answered.
    pub cause: io::Error,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)
    }
}

impl std::error::Error for ProbeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Opens a ring as a shard would, receives twice with one multishot operation, cancels it, and closes all again.
///
/// On a thread of its own, with the calling thread's rights: the kernel ends a ring behind its owner's back, and what
/// the owner waits for meanwhile may end with `EINTR`.
///
/// # Errors
///
/// The first thing that did not work.
pub fn probe() -> Result<(), ProbeError> {
    let thread =
        thread::Builder::new().name("io_uring-probe".to_owned()).spawn(attempt).map_err(at("thread"))?;
    thread.join().unwrap_or_else(|_| Err(at("attempt")(io::Error::other("it panicked"))))
}

/// Names the step an error comes from.
fn at(step: &'static str) -> impl Fn(io::Error) -> ProbeError {
    move |cause| ProbeError { step, cause }
}

fn attempt() -> Result<(), ProbeError> {
    let few = EngineOptions { buffers: 4, buffer_bytes: 64, ..EngineOptions::default() };
    let mut queues = Queues::new().map_err(at("io_uring_setup"))?;
    let mut buffers = Buffers::offered(&queues, &few).map_err(at("provided buffers"))?;
    let pair = UnixStream::pair().map_err(at("socketpair"))?;
    let received = receive_twice(&mut queues, &mut buffers, &pair).map_err(at("multishot receive"));
    // SAFETY: names neither memory nor a descriptor.
    unsafe { queues.push(&ops::cancel_all()) }
    let cancelled = drain(&mut queues).map_err(at("cancellation"));
    if queues.in_flight() > 0 {
        // The kernel may still use them.
        buffers.leak();
        std::mem::forget(pair);
    }
    received.and(cancelled)
}

fn receive_twice(
    queues: &mut Queues,
    buffers: &mut Buffers,
    pair: &(UnixStream, UnixStream),
) -> io::Result<()> {
    let (mut ours, theirs) = (&pair.0, &pair.1);
    let tag = Tag::of(Kind::Receive, ConnId { slot: 0, generation: 0 });
    // SAFETY: the caller frees the buffers and closes the sockets only when nothing is in flight, or leaks them.
    unsafe { queues.push(&ops::receive(theirs.as_fd(), buffers::GROUP, tag)) }
    for _ in 0..2 {
        ours.write_all(GREETING)?;
        let completion = next(queues)?;
        if completion.result < 0 {
            return Err(io::Error::from_raw_os_error(-completion.result));
        }
        completion.buffer().ok_or(io::ErrorKind::Unsupported)?;
        if buffers.claim(completion) != GREETING || !completion.more() {
            return Err(io::Error::other("it did not receive what was sent, or ended after it"));
        }
        buffers.publish();
    }
    Ok(())
}

fn next(queues: &mut Queues) -> io::Result<Completion> {
    let mut batch = Vec::with_capacity(1);
    queues.enter_for(PATIENCE)?;
    queues.reap(&mut batch, 1);
    batch.pop().ok_or_else(|| io::ErrorKind::TimedOut.into())
}

fn drain(queues: &mut Queues) -> io::Result<()> {
    while queues.in_flight() > 0 {
        next(queues)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_these_tests_run_on_has_what_a_ring_needs() {
        super::probe().unwrap();
    }
}
