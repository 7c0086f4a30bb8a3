//! The ring. It owns all memory that the kernel reads or writes asynchronously.
#![allow(unsafe_code)]

use std::{
    alloc::{Layout, alloc_zeroed, handle_alloc_error},
    io,
    mem::ManuallyDrop,
    net::TcpListener,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    rc::Rc,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use io_uring::{
    IoUring, cqueue, opcode, squeue,
    types::{BufRingEntry, Fd, Timespec},
};

/// Number of receive buffers, shared by all connections; a power of two.
const BUFFERS: u16 = 1024;
/// Size of a receive buffer.
const BUFFER_BYTES: usize = 4096;
/// ID of the only buffer group.
const GROUP: u16 = 7;
/// Entries of the submission queue.
const SUBMISSIONS: u32 = 2048;
/// Entries of the completion queue.
const COMPLETIONS: u32 = 8192;

const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const SLEEP: u64 = 3;

/// Completed operation.
pub(crate) enum Event {
    /// A connection was accepted, or one accept failed.
    Accepted(io::Result<OwnedFd>),
    /// Bytes were received into a buffer. `armed` is `true` while the multishot receive is active.
    Received { slot: usize, buffer: u16, length: usize, armed: bool },
    /// The peer closed the connection or it failed. No more bytes will be received.
    Ended { slot: usize },
    /// All receive buffers were in use. The receive must be queued again.
    OutOfBuffers { slot: usize },
    /// All bytes were sent, or sending failed. The returned buffer is empty.
    Sent { slot: usize, buffer: Vec<u8>, failed: bool },
    /// The sleep has ended.
    Slept { slot: usize },
}

/// An io_uring with a provided-buffer ring and slots for a fixed number of connections.
pub(crate) struct Ring {
    ring: IoUring,
    entries: *mut BufRingEntry,
    buffers: *mut u8,
    tail: u16,
    // Never freed: operations may be in flight when the process exits after an error.
    sending: ManuallyDrop<Box<[Sending]>>,
    sleeps: ManuallyDrop<Box<[Timespec]>>,
}

/// Bytes of one send.
#[derive(Clone)]
pub(crate) enum Bytes {
    /// Buffer of one connection.
    Own(Vec<u8>),
    /// Bytes shared by many connections.
    Shared(Rc<[u8]>),
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Bytes {
    /// Returns the bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(buffer) => buffer,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Bytes in flight on one connection; empty if no send is in flight.
#[derive(Clone, Default)]
struct Sending {
    bytes: Bytes,
    sent: usize,
    fd: i32,
}

impl Ring {
    /// Creates a ring for connections in slots below `slots`.
    pub(crate) fn new(slots: usize) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let entries = allocate(usize::from(BUFFERS) * size_of::<BufRingEntry>()).cast();
        // SAFETY: `entries` is page-aligned, holds BUFFERS entries and is never freed.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, GROUP, 0)? };
        let mut ring = Self {
            ring,
            entries,
            buffers: allocate(usize::from(BUFFERS) * BUFFER_BYTES),
            tail: 0,
            sending: ManuallyDrop::new(vec![Sending::default(); slots].into()),
            sleeps: ManuallyDrop::new(vec![Timespec::new(); slots].into()),
        };
        (0..BUFFERS).for_each(|buffer| ring.recycle(buffer));
        ring.publish();
        Ok(ring)
    }

    /// Accepts connections until the ring is dropped.
    pub(crate) fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build();
        // SAFETY: the operation reads no memory of ours.
        unsafe { self.push(&entry.user_data(ACCEPT << 32)) }
    }

    /// Receives from a connection until it ends.
    pub(crate) fn receive(&mut self, slot: usize, fd: BorrowedFd<'_>) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fd(fd.as_raw_fd()), GROUP).build();
        // SAFETY: the operation writes only into the buffers of GROUP, which are never freed.
        unsafe { self.push(&entry.user_data(RECEIVE << 32 | slot as u64)) }
    }

    /// Sends at least one byte. A slot may have one send in flight.
    ///
    /// # Panics
    ///
    /// If the slot has a send in flight.
    pub(crate) fn send(&mut self, slot: usize, fd: BorrowedFd<'_>, bytes: Bytes) -> io::Result<()> {
        assert!(self.sending[slot].bytes.as_slice().is_empty(), "slot has a send in flight");
        self.sending[slot] = Sending { bytes, sent: 0, fd: fd.as_raw_fd() };
        self.send_rest(slot)
    }

    fn send_rest(&mut self, slot: usize) -> io::Result<()> {
        let Sending { bytes, sent, fd } = &self.sending[slot];
        let rest = &bytes.as_slice()[*sent..];
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(*fd), rest.as_ptr(), length).flags(nosignal()).build();
        // SAFETY: the bytes stay in `sending`, unmoved and unchanged, until the completion is processed.
        // Neither a `Vec` nor an `Rc` moves its bytes, and `sending` is never freed.
        unsafe { self.push(&entry.user_data(SEND << 32 | slot as u64)) }
    }

    /// Starts a timer. A slot may have one timer.
    pub(crate) fn sleep(&mut self, slot: usize, time: Duration) -> io::Result<()> {
        self.sleeps[slot] = Timespec::from(time);
        let entry = opcode::Timeout::new(&raw const self.sleeps[slot]).build();
        // SAFETY: `sleeps` is never moved or freed, and the entry is not written again before its completion.
        unsafe { self.push(&entry.user_data(SLEEP << 32 | slot as u64)) }
    }

    /// Submits the queued entries, waits for at least one completion and appends the completed operations.
    pub(crate) fn wait(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        if let Err(error) = self.ring.submit_and_wait(1)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        let mut partial = Vec::new();
        for completion in self.ring.completion() {
            let slot = (completion.user_data() & 0xffff_ffff) as usize;
            match completion.user_data() >> 32 {
                ACCEPT => events.push(Event::Accepted(accepted(&completion))),
                RECEIVE => events.push(received(slot, &completion)),
                SEND => match self.sending[slot].completed(slot, completion.result()) {
                    Some(event) => events.push(event),
                    None => partial.push(slot),
                },
                _ => events.push(Event::Slept { slot }),
            }
        }
        partial.into_iter().try_for_each(|slot| self.send_rest(slot))
    }

    /// Returns the bytes of a received buffer that has not been recycled.
    pub(crate) fn bytes(&self, buffer: u16, length: usize) -> &[u8] {
        assert!(buffer < BUFFERS && length <= BUFFER_BYTES, "kernel returned an unknown buffer");
        // SAFETY: in bounds by the assertion and zero-initialised. The kernel writes to a buffer only after
        // `recycle`, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.buffers.add(usize::from(buffer) * BUFFER_BYTES), length) }
    }

    /// Returns a buffer to the ring. The kernel can use it after the next [`publish`](Self::publish).
    pub(crate) fn recycle(&mut self, buffer: u16) {
        assert!(buffer < BUFFERS, "unknown buffer");
        let index = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `index` is below BUFFERS, and the kernel reads no entry at or above the published tail. The
        // fields are set one by one because the last two bytes of entry 0 are the tail.
        unsafe {
            let entry = &mut *self.entries.add(index);
            entry.set_addr(self.buffers.add(usize::from(buffer) * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Makes the recycled buffers available to the kernel.
    pub(crate) fn publish(&mut self) {
        // SAFETY: `entries` is the page-aligned base that was registered. The tail is a u16 in it that the
        // kernel only reads, so an atomic store is sufficient.
        unsafe {
            let tail = BufRingEntry::tail(self.entries).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    /// Queues an entry. Submits the queue first if it is full.
    ///
    /// # Safety
    ///
    /// The memory that the entry refers to must stay valid until its last completion.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the caller upholds the contract of this function.
        if unsafe { self.ring.submission().push(entry) }.is_ok() {
            return Ok(());
        }
        self.ring.submit()?;
        // SAFETY: the caller upholds the contract of this function.
        unsafe { self.ring.submission().push(entry) }.map_err(io::Error::other)
    }
}

impl Sending {
    /// Processes one completion. Returns `None` if bytes remain to be sent.
    fn completed(&mut self, slot: usize, result: i32) -> Option<Event> {
        if result > 0 {
            self.sent += result as usize;
            if self.sent < self.bytes.as_slice().len() {
                return None;
            }
        }
        let mut buffer = match std::mem::take(&mut self.bytes) {
            Bytes::Own(buffer) => buffer,
            Bytes::Shared(_) => Vec::new(),
        };
        buffer.clear();
        Some(Event::Sent { slot, buffer, failed: result <= 0 })
    }
}

fn accepted(completion: &cqueue::Entry) -> io::Result<OwnedFd> {
    if completion.result() < 0 {
        return Err(io::Error::from_raw_os_error(-completion.result()));
    }
    // SAFETY: a successful accept completion transfers the ownership of a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(completion.result()) })
}

fn received(slot: usize, completion: &cqueue::Entry) -> Event {
    let flags = completion.flags();
    match (completion.result(), cqueue::buffer_select(flags)) {
        (length @ 1.., Some(buffer)) => {
            Event::Received { slot, buffer, length: length as usize, armed: cqueue::more(flags) }
        }
        (error, _) if -error == rustix::io::Errno::NOBUFS.raw_os_error() => Event::OutOfBuffers { slot },
        _ => Event::Ended { slot },
    }
}

fn nosignal() -> i32 {
    rustix::net::SendFlags::NOSIGNAL.bits() as i32
}

/// Allocates zeroed pages that are never freed.
fn allocate(bytes: usize) -> *mut u8 {
    const PAGE: usize = 4096;
    let Ok(layout) = Layout::from_size_align(bytes.max(PAGE), PAGE) else {
        unreachable!("sizes are constants");
    };
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory
}
