//! The operations a ring asks of the kernel, and the tag by which their completions are told apart.

use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{
    opcode, squeue,
    types::{CancelBuilder, Fd, TimeoutFlags, Timespec},
};

use crate::net::ConnId;

/// What an operation does; the top bits of its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A multishot receive of a connection.
    Receive,
    /// The one send in flight of a connection.
    Send,
    /// An accept of a listener.
    Accept,
    /// The poll of the doorbell.
    Doorbell,
    /// The deadline, or a change of it.
    Timer,
    /// The cancellation of another operation. It refers to no memory, so nobody waits for it.
    Cancel,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Receive, Self::Send, Self::Accept, Self::Doorbell, Self::Timer, Self::Cancel];
}

/// Slots a tag can name.
pub(super) const MAX_SLOTS: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 28;
const SLOT_SHIFT: u32 = 32;
const KIND_SHIFT: u32 = SLOT_SHIFT + SLOT_BITS;

/// The `user_data` of an operation: kind (4 bits), slot (28 bits), generation (32 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    pub(super) id: ConnId,
}

impl Tag {
    /// Tags an operation of a connection.
    pub(super) fn of(kind: Kind, id: ConnId) -> Self {
        Self { kind, id }
    }

    /// Tags an operation of the ring itself: `index` is a listener's, or 0.
    pub(super) fn own(kind: Kind, index: usize) -> Self {
        Self { kind, id: ConnId { slot: index as u32, generation: 0 } }
    }

    /// Packs the tag into `user_data`.
    pub(super) fn pack(self) -> u64 {
        (self.kind as u64) << KIND_SHIFT
            | u64::from(self.id.slot) << SLOT_SHIFT
            | u64::from(self.id.generation)
    }

    /// Unpacks `user_data`; `None` for a value no tag packs to.
    pub(super) fn unpack(user_data: u64) -> Option<Self> {
        let kind = *Kind::ALL.get((user_data >> KIND_SHIFT) as usize)?;
        let slot = (user_data >> SLOT_SHIFT) as u32 & (MAX_SLOTS as u32 - 1);
        Some(Self { kind, id: ConnId { slot, generation: user_data as u32 } })
    }
}

/// Receives again and again into buffers of `group`.
pub(super) fn receive(fd: BorrowedFd<'_>, group: u16, tag: Tag) -> squeue::Entry {
    opcode::RecvMulti::new(Fd(fd.as_raw_fd()), group).build().user_data(tag.pack())
}

/// Receives once into a buffer of `group`.
pub(super) fn receive_once(fd: BorrowedFd<'_>, group: u16, tag: Tag) -> squeue::Entry {
    // The length is that of the buffer chosen.
    let receive = opcode::Recv::new(Fd(fd.as_raw_fd()), std::ptr::null_mut(), 0).buf_group(group);
    receive.build().flags(squeue::Flags::BUFFER_SELECT).user_data(tag.pack())
}

/// Accepts again and again. The sockets stay blocking ones: on a non-blocking one the kernel would answer EAGAIN
/// instead of waiting for readiness by itself.
pub(super) fn accept_many(fd: BorrowedFd<'_>, tag: Tag) -> squeue::Entry {
    opcode::AcceptMulti::new(Fd(fd.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build().user_data(tag.pack())
}

/// Accepts one connection.
pub(super) fn accept_one(fd: BorrowedFd<'_>, tag: Tag) -> squeue::Entry {
    let (no_address, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
    opcode::Accept::new(Fd(fd.as_raw_fd()), no_address, no_length)
        .flags(libc::SOCK_CLOEXEC)
        .build()
        .user_data(tag.pack())
}

/// Tells each time `fd` became readable.
pub(super) fn poll_readable(fd: BorrowedFd<'_>, tag: Tag) -> squeue::Entry {
    opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLIN as u32).multi(true).build().user_data(tag.pack())
}

/// Completes at `when` on CLOCK_MONOTONIC. The kernel reads `when` while it takes the entry.
pub(super) fn timer(when: *const Timespec, tag: Tag) -> squeue::Entry {
    opcode::Timeout::new(when).flags(TimeoutFlags::ABS).build().user_data(tag.pack())
}

/// Moves the armed timer `tag` to `when`; the change completes as a [`Kind::Cancel`].
pub(super) fn move_timer(when: *const Timespec, tag: Tag) -> squeue::Entry {
    let change = Tag { kind: Kind::Cancel, ..tag };
    opcode::TimeoutUpdate::new(tag.pack(), when).flags(TimeoutFlags::ABS).build().user_data(change.pack())
}

/// Cancels the operation `tag`.
pub(super) fn cancel(tag: Tag) -> squeue::Entry {
    let cancellation = Tag { kind: Kind::Cancel, ..tag };
    opcode::AsyncCancel::new(tag.pack()).build().user_data(cancellation.pack())
}

/// Cancels everything on the ring.
pub(super) fn cancel_all() -> squeue::Entry {
    opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(Tag::own(Kind::Cancel, 0).pack())
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
                let tag = Tag::of(kind, ConnId { slot, generation });
                assert_eq!(Tag::unpack(tag.pack()), Some(tag));
            }
        }
        assert_eq!(Tag::unpack(u64::MAX), None);
    }
}
