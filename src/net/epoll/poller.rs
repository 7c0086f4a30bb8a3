//! The epoll instance: the watched descriptors and their events.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, unix::SourceFd};

use crate::net::slots::ConnId;

/// Number of slots for connections. Higher slot numbers stand for other descriptors.
pub(super) const MAX_SLOTS: usize = 1 << 24;

/// The slot number in the tokens of the engine's own descriptors. The generation tells them apart.
const OWN_SLOT: u32 = u32::MAX;
const DOORBELL: u32 = 0;
const TIMER: u32 = 1;
const FIRST_LISTENER: u32 = 2;

/// A token holds a slot and a generation, so it needs 64 bits.
const _: () = assert!(usize::BITS == 64, "the epoll engine needs a 64-bit system");

/// A watched descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Doorbell,
    Timer,
    /// A listener, with its index.
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

    fn from_token(token: Token) -> Self {
        match ConnId::from_token(token.0 as u64) {
            ConnId { slot: OWN_SLOT, generation: DOORBELL } => Self::Doorbell,
            ConnId { slot: OWN_SLOT, generation: TIMER } => Self::Timer,
            ConnId { slot: OWN_SLOT, generation } => Self::Listener((generation - FIRST_LISTENER) as usize),
            id => Self::Conn(id),
        }
    }
}

/// An event of a descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) source: Source,
    /// There is something to read: bytes, a FIN or an error.
    pub(super) readable: bool,
    /// There is a FIN or an error. The kernel does not report it again.
    pub(super) hung_up: bool,
    /// There is an error.
    pub(super) failed: bool,
    /// The send buffer has room, or there is an error.
    pub(super) writable: bool,
}

/// An epoll instance, the events of the last wait, and the doorbell that ends a wait.
///
/// The doorbell is watched but never read. Each write to an eventfd is an edge, even if it was readable
/// before.
///
/// Closing a descriptor ends its watch, unless a child process holds a copy between fork and exec. Events of
/// such a descriptor carry an old generation and are ignored.
pub(super) struct Poller {
    poll: Poll,
    events: Events,
    /// Kept open while it is watched.
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

    /// Watches an already watched descriptor for room to write too. The kernel then reports its current state
    /// again.
    pub(super) fn watch_writable(&self, fd: BorrowedFd<'_>, source: Source) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().reregister(&mut SourceFd(&fd.as_raw_fd()), source.token(), both)
    }

    /// Stops watching a descriptor. This is needed only if another descriptor keeps the same socket open.
    pub(super) fn unwatch(&self, fd: BorrowedFd<'_>) {
        // The descriptor is about to be closed. If this fails, later events of it are ignored.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()));
    }

    /// Collects events. With `wait`, waits until there is one or a signal interrupts the wait.
    pub(super) fn poll(&mut self, wait: bool) -> io::Result<()> {
        let timeout = if wait { None } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    /// Iterates over the events that the last [`poll`](Self::poll) collected.
    pub(super) fn events(&self) -> impl Iterator<Item = Event> {
        self.events.iter().map(|event| {
            let (failed, hung_up) = (event.is_error(), event.is_read_closed());
            Event {
                source: Source::from_token(event.token()),
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
    fn every_source_has_its_own_token() {
        let last = ConnId { slot: MAX_SLOTS as u32 - 1, generation: u32::MAX };
        let sources =
            [Source::Doorbell, Source::Timer, Source::Listener(0), Source::Listener(9), Source::Conn(last)];
        for source in sources {
            assert_eq!(Source::from_token(source.token()), source);
        }
    }
}
