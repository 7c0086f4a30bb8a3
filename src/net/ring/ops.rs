//! The entries that a ring submits to the kernel, and the tags that identify their completions.

use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{
    opcode, squeue,
    types::{CancelBuilder, Fd, TimeoutFlags, Timespec},
};

use crate::net::slots::ConnId;

/// Kind of an operation, stored in the top bits of its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The receive of a connection.
    Receive,
    /// The send of a connection.
    Send,
    /// The accept of a listener.
    Accept,
    /// The poll of the doorbell.
    Doorbell,
    /// The timer that ends the ring's wait.
    Timer,
    /// The cancellation of another operation, or a change of the timer. It refers to no memory, so the ring
    /// does not wait for its completion.
    Cancel,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Receive, Self::Send, Self::Accept, Self::Doorbell, Self::Timer, Self::Cancel];
}

/// Number of slots that a tag can address.
pub(super) const MAX_SLOTS: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 28;
const SLOT_SHIFT: u32 = 32;
const KIND_SHIFT: u32 = SLOT_SHIFT + SLOT_BITS;

/// Identification of an operation, packed into its `user_data`: kind (4 bits), slot (28 bits) and generation
/// (32 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    pub(super) id: ConnId,
}

impl Tag {
    /// Returns the tag of a connection's operation.
    pub(super) fn of_conn(kind: Kind, id: ConnId) -> Self {
        Self { kind, id }
    }

    /// Returns the tag of an operation of the ring itself. `index` is the index of a listener, or 0.
    pub(super) fn of_ring(kind: Kind, index: usize) -> Self {
        Self { kind, id: ConnId { slot: index as u32, generation: 0 } }
    }

    /// Packs the tag into `user_data`.
    pub(super) fn pack(self) -> u64 {
        (self.kind as u64) << KIND_SHIFT
            | u64::from(self.id.slot) << SLOT_SHIFT
            | u64::from(self.id.generation)
    }

    /// Unpacks `user_data`. Returns `None` if the value is not a packed tag.
    pub(super) fn unpack(user_data: u64) -> Option<Self> {
        let kind = *Kind::ALL.get((user_data >> KIND_SHIFT) as usize)?;
        let slot = (user_data >> SLOT_SHIFT) as u32 & (MAX_SLOTS as u32 - 1);
        Some(Self { kind, id: ConnId { slot, generation: user_data as u32 } })
    }
}

/// Returns an entry that receives repeatedly into buffers of `group`.
pub(super) fn receive_multishot(fd: BorrowedFd<'_>, group: u16, tag: Tag) -> squeue::Entry {
    opcode::RecvMulti::new(Fd(fd.as_raw_fd()), group).build().user_data(tag.pack())
}

/// Length of a receive that may fill the buffer that the kernel selects.
pub(super) const WHOLE_BUFFER: usize = 0;

/// Returns an entry that receives at most `bytes` bytes once, into a buffer of `group`. `bytes` may be
/// [`WHOLE_BUFFER`].
pub(super) fn receive_single(fd: BorrowedFd<'_>, bytes: usize, group: u16, tag: Tag) -> squeue::Entry {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let receive = opcode::Recv::new(Fd(fd.as_raw_fd()), std::ptr::null_mut(), bytes).buf_group(group);
    receive.build().flags(squeue::Flags::BUFFER_SELECT).user_data(tag.pack())
}

/// Returns an entry that accepts connections repeatedly.
///
/// The accepted sockets stay in blocking mode. On a non-blocking socket the kernel would complete a receive
/// with EAGAIN instead of waiting for bytes.
pub(super) fn accept_multishot(fd: BorrowedFd<'_>, tag: Tag) -> squeue::Entry {
    opcode::AcceptMulti::new(Fd(fd.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build().user_data(tag.pack())
}

/// Returns an entry that accepts one connection.
pub(super) fn accept_single(fd: BorrowedFd<'_>, tag: Tag) -> squeue::Entry {
    let (no_address, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
    opcode::Accept::new(Fd(fd.as_raw_fd()), no_address, no_length)
        .flags(libc::SOCK_CLOEXEC)
        .build()
        .user_data(tag.pack())
}

/// Returns an entry that completes each time `fd` becomes readable.
pub(super) fn poll_readable(fd: BorrowedFd<'_>, tag: Tag) -> squeue::Entry {
    opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLIN as u32).multi(true).build().user_data(tag.pack())
}

/// Returns an entry that completes at the time `when` of CLOCK_MONOTONIC. The kernel reads `when` while it
/// takes the entry.
pub(super) fn timer(when: *const Timespec, tag: Tag) -> squeue::Entry {
    opcode::Timeout::new(when).flags(TimeoutFlags::ABS).build().user_data(tag.pack())
}

/// Returns an entry that moves the armed timer `tag` to the time `when`. It completes as a [`Kind::Cancel`].
pub(super) fn move_timer(when: *const Timespec, tag: Tag) -> squeue::Entry {
    let change = Tag { kind: Kind::Cancel, ..tag };
    opcode::TimeoutUpdate::new(tag.pack(), when).flags(TimeoutFlags::ABS).build().user_data(change.pack())
}

/// Returns an entry that cancels the operation with this tag.
pub(super) fn cancel(tag: Tag) -> squeue::Entry {
    let cancellation = Tag { kind: Kind::Cancel, ..tag };
    opcode::AsyncCancel::new(tag.pack()).build().user_data(cancellation.pack())
}

/// Returns an entry that cancels all operations of the ring.
pub(super) fn cancel_all() -> squeue::Entry {
    opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(Tag::of_ring(Kind::Cancel, 0).pack())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_packing_at_its_limits() {
        for kind in Kind::ALL {
            for (slot, generation) in
                [(0, 0), (1, u32::MAX), (MAX_SLOTS as u32 - 1, 7), (MAX_SLOTS as u32 - 1, u32::MAX)]
            {
                let tag = Tag::of_conn(kind, ConnId { slot, generation });
                assert_eq!(Tag::unpack(tag.pack()), Some(tag));
            }
        }
        assert_eq!(Tag::unpack(u64::MAX), None);
    }
}
