//! Standard output and standard error. Nothing here panics if a stream is closed, and the end of the process
//! waits at most a second for a reader of its logs; must not know the commands.

mod lines;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

pub(super) use lines::LineWriter;

/// Output stream of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Returns the label value used in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Writes some of the bytes and returns their number. Blocks until the stream accepts any.
    ///
    /// It bypasses the buffer and the lock of the standard library: a write that blocks would hold the lock,
    /// and the process would wait for it when it ends.
    fn write(self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Stdout => write(io::stdout().as_fd(), bytes),
            Self::Stderr => write(io::stderr().as_fd(), bytes),
        }
    }
}

/// Prints the result of a command on standard output. A closed stream is no error, so that it changes no exit
/// status. Blocks while the reader is slow.
pub(super) fn print(text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match Stream::Stdout.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(_) => return,
        }
    }
}

/// Prints an error as one line on standard error. Waits at most a second for a slow reader, and 250 ms for
/// one that does not read.
pub(super) fn print_error(error: &str) {
    let line = format!("windlass: {error}\n");
    match LineWriter::start(Stream::Stderr) {
        Ok(lines) => {
            lines.push(line.as_bytes());
            lines.finish();
        }
        // Without a thread the only way is to write here.
        Err(_) => drop(Stream::Stderr.write(line.as_bytes())),
    }
}

fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => return Ok(written),
            Err(Errno::INTR) => {}
            // Another process that shares the stream has made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut writable = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                match poll(&mut writable, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
}
