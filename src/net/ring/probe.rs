//! A check whether this process may use io_uring with all the features that the engine needs.

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
use crate::net::{engine::EngineOptions, slots::ConnId};

/// The bytes that the probe sends to itself. Each send must arrive as one receive.
const PAYLOAD: &[u8] = b"multishot";

/// Time limit of each receive. A receive of bytes that have arrived takes microseconds.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The error of a system on which the io_uring engine cannot run.
#[derive(Debug)]
pub struct ProbeError {
    /// The step that failed.
    pub step: &'static str,
    /// The error of the system.
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

/// Opens a ring as a shard does, receives twice with one multishot operation, cancels it and closes the ring.
///
/// It runs on a thread of its own, with the rights of the calling thread. The kernel cleans a ring up
/// asynchronously, which can interrupt a system call of the ring's thread (`EINTR`). The caller is not
/// affected.
///
/// # Errors
///
/// Fails at the first step that does not work.
pub fn probe() -> Result<(), ProbeError> {
    let thread = thread::Builder::new().name("io_uring-probe".to_owned()).spawn(run).map_err(at("thread"))?;
    thread.join().unwrap_or_else(|_| Err(at("probe")(io::Error::other("the thread of the probe panicked"))))
}

/// Returns a function that adds the name of the failed step to an error.
fn at(step: &'static str) -> impl Fn(io::Error) -> ProbeError {
    move |cause| ProbeError { step, cause }
}

fn run() -> Result<(), ProbeError> {
    let options = EngineOptions { buffers: 4, buffer_bytes: 64, ..EngineOptions::default() };
    let mut queues = Queues::new().map_err(at("io_uring_setup"))?;
    let mut buffers = Buffers::register(&queues, &options).map_err(at("provided buffers"))?;
    let pair = UnixStream::pair().map_err(at("socketpair"))?;
    let received = receive_twice(&mut queues, &mut buffers, &pair).map_err(at("multishot receive"));
    // SAFETY: the entry refers to no memory and no descriptor.
    unsafe { queues.push(&ops::cancel_all()) }
    let cancelled = drain(&mut queues).map_err(at("cancellation"));
    if queues.in_flight() > 0 {
        // The kernel may still use the buffers and the sockets.
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
    let tag = Tag::of_conn(Kind::Receive, ConnId { slot: 0, generation: 0 });
    // SAFETY: the caller frees the buffers and closes the sockets only if nothing is in flight. Otherwise it
    // leaks them.
    unsafe { queues.push(&ops::receive_multishot(theirs.as_fd(), buffers::GROUP, tag)) }
    for _ in 0..2 {
        ours.write_all(PAYLOAD)?;
        let completion = next(queues)?;
        if completion.result < 0 {
            return Err(io::Error::from_raw_os_error(-completion.result));
        }
        completion.buffer().ok_or(io::ErrorKind::Unsupported)?;
        if buffers.claim(completion) != PAYLOAD || !completion.has_more() {
            return Err(io::Error::other("the receive returned wrong bytes, or ended early"));
        }
        buffers.publish();
    }
    Ok(())
}

fn next(queues: &mut Queues) -> io::Result<Completion> {
    let mut batch = Vec::with_capacity(1);
    queues.enter_for(TIMEOUT)?;
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
    fn the_kernel_of_this_machine_supports_the_engine() {
        super::probe().unwrap();
    }
}
