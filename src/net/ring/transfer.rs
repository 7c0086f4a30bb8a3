//! Receiving and sending on connections.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::RecvFlags,
};
use windlass_actors::clock;

use super::{
    Ring,
    buffers::GROUP,
    operations::Receive,
    ops::{self, Kind, Tag, WHOLE_BUFFER},
    queues::Completion,
    recheck::Recheck,
    starved::Place,
};
use crate::net::{
    engine::{Closed, Connection, EventHandler},
    slots::ConnId,
};

/// Maximum number of bytes that [`Ring::receive_now`] receives: enough for a head of usual size.
const RECEIVE_NOW_BYTES: usize = 16 * 1024;

/// Maximum number of connections that one turn looks at. Each costs a system call.
const LOOKS_PER_TURN: usize = 256;

impl<T: Connection> Ring<T> {
    /// Handles the completion of a receive.
    pub(super) fn received<H>(&mut self, handler: &mut H, id: ConnId, completion: Completion)
    where
        H: EventHandler<Conn = T>,
    {
        let len = usize::try_from(completion.result).unwrap_or(0);
        // The buffer is claimed even if the connection is gone. Otherwise it would be lost.
        let bytes = self.buffers.claim(completion);
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if !completion.has_more() {
            socket.io.receive = Receive::Idle;
        }
        let place = socket.io.place.take();
        if socket.is_closing() {
            self.free_if_complete(handler, id);
            return;
        }
        match completion.result {
            1.. if socket.delivers() => {
                let was_paused = !socket.conn.wants_read();
                if !std::mem::replace(&mut socket.dirty, true) {
                    self.dirty.push(id);
                }
                self.pool.supply(socket.conn.outbox());
                handler.received(id, &mut socket.conn, bytes);
                if was_paused {
                    self.pause(id);
                } else if self.starved.is_greedy(len) {
                    self.cancel_receive(id);
                } else if completion.has_more() {
                    self.note_received(id);
                }
            }
            1.. => self.discard(handler, id, len),
            0 => self.fin_received(handler, id),
            error if error == -libc::ENOBUFS => self.starve(id, place),
            error => self.receive_failed(handler, id, -error),
        }
    }

    /// Queues a connection whose receive found no free buffer.
    fn starve(&mut self, id: ConnId, place: Option<Place>) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.io.receive = Receive::Starved;
        socket.io.place = Some(self.starved.push(id, place));
    }

    /// Submits the receives of starved connections, as far as there are free buffers for them. They come
    /// before those of all other connections in the next system call.
    pub(super) fn feed_starved(&mut self, free_bytes: usize) {
        self.starved.divide(free_bytes);
        let mut left = free_bytes;
        while left > 0
            && let Some(id) = self.starved.pop()
        {
            let share = self.starved.share().unwrap_or(self.buffers.buffer_bytes());
            let starved = self.sockets.get_mut(id).filter(|socket| socket.io.receive == Receive::Starved);
            if let Some(socket) = starved {
                socket.io.receive = Receive::Idle;
                self.receive(id);
                left = left.saturating_sub(share);
            }
        }
    }

    /// Receives what has come, at most [`RECEIVE_NOW_BYTES`], for a connection that wants bytes and has no
    /// receive in the kernel. Always returns `true`, as [`Engine::catch_up`](crate::net::Engine::catch_up)
    /// does when a connection may be judged.
    ///
    /// Must be called only when all completions are handled: an earlier receive may have taken bytes that
    /// come before these.
    pub(super) fn receive_now<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) -> bool {
        let Some(socket) = self.sockets.get_mut(id) else { return true };
        if socket.io.receive.in_kernel() || !socket.wants_bytes() {
            return true;
        }
        let mut buffer = [0; RECEIVE_NOW_BYTES];
        match rustix::net::recv(&socket.fd, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.fin_received(handler, id),
            Ok((count, _)) if socket.delivers() => {
                if !std::mem::replace(&mut socket.dirty, true) {
                    self.dirty.push(id);
                }
                self.pool.supply(socket.conn.outbox());
                handler.received(id, &mut socket.conn, &buffer[..count]);
            }
            Ok((count, _)) => self.discard(handler, id, count),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => self.close(handler, id, Closed::Failed(error.into())),
        }
        true
    }

    /// Cancels the receive of a connection that does not want to read. Bytes received before the cancellation
    /// still arrive.
    ///
    /// It is called only when bytes have arrived during a pause. A shorter pause costs no cancellation.
    fn pause(&mut self, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.io.receive == Receive::Armed && !socket.wants_bytes() {
            self.cancel_receive(id);
        }
    }

    /// Discards bytes that an ending connection has received.
    fn discard<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId, bytes: usize) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let lifts = handler.discarded(id, &mut socket.conn, bytes);
        if !socket.count_discarded(bytes, lifts) {
            self.mark_dirty(id);
            return;
        }
        if socket.is_lingering() {
            self.close(handler, id, Closed::Lingered);
        } else {
            // Queued bytes are still sent, but nothing more is read.
            self.pause(id);
        }
    }

    /// Handles the peer's FIN.
    fn fin_received<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.fin_received = true;
        if socket.delivers() {
            self.pool.supply(socket.conn.outbox());
            handler.fin_received(id, &mut socket.conn);
        }
        self.mark_dirty(id);
    }

    fn receive_failed<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId, errno: i32) {
        match errno {
            // The receive was cancelled or interrupted. It is submitted again if the connection wants bytes.
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => self.mark_dirty(id),
            _ => self.close(handler, id, Closed::Failed(io::Error::from_raw_os_error(errno))),
        }
    }

    /// Submits a receive if the connection wants bytes and no receive is in the kernel.
    ///
    /// The first receive completes only once. Many connections end after their first request, and a multishot
    /// receive would have to be cancelled then. While buffers are scarce, every receive completes once and is
    /// limited to its share.
    pub(super) fn receive(&mut self, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let share = self.starved.share();
        let (fd, tag) = (socket.fd.as_fd(), Tag::of_conn(Kind::Receive, id));
        let entry = match (socket.io.receive, share) {
            (Receive::Armed | Receive::Cancelling | Receive::Starved, _) => return,
            (Receive::New | Receive::Idle, Some(share)) => ops::receive_single(fd, share, GROUP, tag),
            (Receive::New, None) => ops::receive_single(fd, WHOLE_BUFFER, GROUP, tag),
            (Receive::Idle, None) => ops::receive_multishot(fd, GROUP, tag),
        };
        if socket.wants_bytes() {
            socket.io.receive = Receive::Armed;
            // SAFETY: the buffers live at least as long as the ring. The socket is closed when the connection
            // leaves its slot, which `in_kernel` prevents until the last completion.
            unsafe { self.queues.push(&entry) }
        }
    }

    /// Cancels the receive in the kernel. Its last completion follows.
    pub(super) fn cancel_receive(&mut self, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.io.receive == Receive::Armed {
            socket.io.receive = Receive::Cancelling;
            // SAFETY: the entry refers to no memory and no descriptor.
            unsafe { self.queues.push(&ops::cancel(Tag::of_conn(Kind::Receive, id))) }
        }
    }

    /// Submits a send of the bytes that are left from the last one, or of the outbox. An empty outbox returns
    /// its buffer to the pool.
    pub(super) fn send(&mut self, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.io.outgoing.is_empty() {
            socket.io.outgoing.load(socket.conn.outbox(), &mut self.pool);
        }
        let last = socket.conn.ending().follows_last_bytes() && socket.conn.outbox().is_empty();
        match socket.io.outgoing.entry(socket.fd.as_fd(), Tag::of_conn(Kind::Send, id), last) {
            Some(entry) => {
                socket.io.sending = true;
                // SAFETY: while `sending` is set, `outgoing` is not changed and the connection keeps its
                // slot.
                unsafe { self.queues.push(&entry) }
            }
            None => self.pool.reclaim(socket.conn.outbox()),
        }
    }

    /// Handles the completion of a send.
    pub(super) fn sent<H>(&mut self, handler: &mut H, id: ConnId, completion: Completion)
    where
        H: EventHandler<Conn = T>,
    {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.io.sending = false;
        if socket.is_closing() {
            self.free_if_complete(handler, id);
            return;
        }
        match completion.result {
            bytes @ 1.. => {
                socket.io.outgoing.advance(bytes as usize, &mut self.pool);
                while let Some(buffer) = self.pool.pop_lent() {
                    handler.buffer_sent(buffer);
                }
                let drained = socket.is_drained();
                self.pool.supply(socket.conn.outbox());
                handler.sent(id, &mut socket.conn, bytes as usize, drained);
                // After most replies the connection is idle, and only its buffer has to be taken back.
                if drained && socket.is_idle() {
                    self.pool.reclaim(socket.conn.outbox());
                } else {
                    self.mark_dirty(id);
                }
            }
            0 => self.close(handler, id, Closed::Failed(io::ErrorKind::WriteZero.into())),
            error => match -error {
                libc::EINTR | libc::EAGAIN => self.mark_dirty(id),
                errno => self.close(handler, id, Closed::Failed(io::Error::from_raw_os_error(errno))),
            },
        }
    }
}

impl<T: Connection> Ring<T> {
    /// Notes that the multishot receive of a connection has delivered bytes and goes on.
    pub(super) fn note_received(&mut self, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        match socket.io.recheck {
            Recheck::Active => {}
            Recheck::Silent => socket.io.recheck = Recheck::Active,
            Recheck::Off => {
                socket.io.recheck = Recheck::Silent;
                let at = self.rechecks.push(id, clock::now());
                self.arm_timer(at);
            }
        }
    }

    /// Looks at the connections whose time has come. Called when the timer has fired.
    pub(super) fn recheck(&mut self) {
        if self.rechecks.next_at().is_none() {
            return;
        }
        let now = clock::now();
        for _ in 0..LOOKS_PER_TURN {
            let Some(id) = self.rechecks.pop(now) else { break };
            self.recheck_one(id, now);
        }
        if let Some(at) = self.rechecks.next_at() {
            self.arm_timer(at);
        }
    }

    /// Cancels the receive of a silent connection whose socket is readable. It is submitted again when the
    /// cancellation completes, and then finds what it has missed.
    fn recheck_one(&mut self, id: ConnId, now: Instant) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.io.recheck == Recheck::Active {
            socket.io.recheck = Recheck::Silent;
            self.rechecks.push(id, now);
            return;
        }
        socket.io.recheck = Recheck::Off;
        if socket.io.receive == Receive::Armed && socket.wants_bytes() && is_readable(socket.fd.as_fd()) {
            self.cancel_receive(id);
        }
    }
}

/// Returns `true` if a receive on the socket would not wait.
fn is_readable(socket: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(socket, PollFlags::IN | PollFlags::RDHUP)];
    match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(ready) => ready > 0,
        // Submitting the receive anew does no harm.
        Err(Errno::INTR) => true,
        Err(_) => false,
    }
}
