//! The epoll instance: what is watched, and what happened.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, unix::SourceFd};

use crate::net::ConnId;

/// Slots a connection may live in; the ones above name what is not a connection.
pub(super) const MAX_SLOTS: usize = 1 << 24;

/// The slot in the names of the engine's own descriptors.
const OWN_SLOT: u32 = u32::MAX;
const DOORBELL: u32 = 0;
const TIMER: u32 = 1;
const FIRST_LISTENER: u32 = 2;

/// Generations have their place in a token only if it has 64 bits.
const _: () = assert!(usize::BITS == 64, "the epoll engine needs a 64-bit system");

/// What a watched descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Doorbell,
    Timer,
    /// By index.
    Listener(usize),
    Conn(ConnId),
}

impl Source {
    fn token(self) -> Token {
        let own = |generation| ConnId { slot: OWN_SLOT, generation };
        let id = match self {
            Self::Doorbell => own(DOORBELL),
            Self::Timer => own(TIMER),
            Self::Listener(index) => own(FIRST_LISTENER + index as u32),
            Self::Conn(id) => id,
        };
        Token(id.token() as usize)
    }

    fn of(token: Token) -> Self {
        match ConnId::from_token(token.0 as u64) {
            ConnId { slot: OWN_SLOT, generation: DOORBELL } => Self::Doorbell,
            ConnId { slot: OWN_SLOT, generation: TIMER } => Self::Timer,
            ConnId { slot: OWN_SLOT, generation } => Self::Listener((generation - FIRST_LISTENER) as usize),
            id => Self::Conn(id),
        }
    }
}

/// What the kernel says of a descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) source: Source,
    /// There is something to read: bytes, a FIN, an error.
    pub(super) readable: bool,
    /// There is a FIN or an error, which no further edge will tell of.
    pub(super) hung_up: bool,
    /// There is an error.
    pub(super) failed: bool,
    /// There is room to write, or an error.
    pub(super) writable: bool,
}

/// An epoll instance, with the events of the last wait and the doorbell that ends each.
///
/// The doorbell is watched and never read: each write to an eventfd is an edge, also when it was readable before. A
/// descriptor that is closed is watched no more; one that a child process still holds, between its fork and its
/// exec, is, under a name of the past.
pub(super) struct Poller {
    poll: Poll,
    events: Events,
    /// Open as long as it is watched.
    _doorbell: OwnedFd,
}

impl Poller {
    pub(super) fn new(doorbell: BorrowedFd<'_>, batch: usize) -> io::Result<Self> {
        let doorbell = doorbell.try_clone_to_owned()?;
        let poller = Self { poll: Poll::new()?, events: Events::with_capacity(batch), _doorbell: doorbell };
        poller.watch(poller._doorbell.as_fd(), Source::Doorbell)?;
        Ok(poller)
    }

    /// Watches a descriptor for something to read.
    pub(super) fn watch(&self, fd: BorrowedFd<'_>, source: Source) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), source.token(), Interest::READABLE)
    }

    /// Watches a descriptor, watched for something to read already, for room to write as well. What is there
    /// already is told again.
    pub(super) fn watch_writing(&self, fd: BorrowedFd<'_>, source: Source) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().reregister(&mut SourceFd(&fd.as_raw_fd()), source.token(), both)
    }

    /// Watches a descriptor no more. Needed only where another descriptor keeps the same socket open.
    pub(super) fn forget(&self, fd: BorrowedFd<'_>) {
        // It is about to be closed; what it would still tell is of the past.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()));
    }

    /// Takes what happened; with `wait`, waits until something does.
    pub(super) fn poll(&mut self, wait: bool) -> io::Result<()> {
        let timeout = if wait { None } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    /// Returns what the last [`poll`](Self::poll) took.
    pub(super) fn events(&self) -> impl Iterator<Item = Event> {
        self.events.iter().map(|event| {
            let (failed, hung_up) = (event.is_error(), event.is_read_closed());
            Event {
                source: Source::of(event.token()),
                readable: event.is_readable() || hung_up || failed,
                hung_up: hung_up || failed,
                failed,
                writable: event.is_writable() || failed,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_name_of_its_own() {
        let last = ConnId { slot: MAX_SLOTS as u32 - 1, generation: u32::MAX };
        let sources =
            [Source::Doorbell, Source::Timer, Source::Listener(0), Source::Listener(9), Source::Conn(last)];
        for source in sources {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
