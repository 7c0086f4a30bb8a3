//! One turn of the ring: act on changed connections, enter the kernel once, handle its completions.

use std::{io, os::fd::AsFd, time::Instant};

use rustix::net::Shutdown;
use windlass_actors::Wait;

use super::{
    Ring,
    operations::{Operations, Socket},
    ops::{Kind, Tag},
    queues::Completion,
};
use crate::net::{
    accept::PendingSocket,
    engine::{Accepted, Closed, Connection, Ending, EventHandler},
    slots::ConnId,
};

/// Maximum number of batches that one turn handles to [catch up](Ring::complete_pending). A batch may be as
/// small as the 20 completions that the kernel makes available at once.
const MAX_PENDING_BATCHES: usize = 256;

/// Upper bound of the margin: with at most a margin of free slots, listeners accept one connection at a time.
const MAX_MARGIN: usize = 1024;

impl<T: Connection> Ring<T> {
    /// Runs one turn, as [`Engine::turn`](crate::net::Engine::turn) describes.
    pub(super) fn run<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, wait: Wait) -> io::Result<()> {
        self.handler_called = false;
        self.is_caught_up = false;
        self.drive_dirty(handler);
        if self.next == self.batch.len() {
            let wait = self.prepare_wait(wait);
            self.queues.enter(wait)?;
            self.batch.clear();
            self.next = 0;
            self.queues.reap(&mut self.batch, self.options.batch);
        }
        handler.batch_started();
        self.handle_batch(handler)?;
        self.open_accepted(handler);
        self.drive_dirty(handler);
        self.arm_accepts();
        Ok(())
    }

    /// Arms the timer. Returns `true` if the turn may wait.
    fn prepare_wait(&mut self, wait: Wait) -> bool {
        let has_work = self.handler_called || self.queues.has_completions() || !self.starved.is_empty();
        if wait == Wait::Poll || has_work || self.can_open() {
            return false;
        }
        let until = if let Wait::Until(until) = wait { Some(until) } else { None };
        let deadline = until.into_iter().chain(self.acceptor.retry_at()).min();
        if let Some(deadline) = deadline {
            self.arm_timer(deadline);
        }
        true
    }

    /// Makes the timer fire at `deadline` or earlier.
    pub(super) fn arm_timer(&mut self, deadline: Instant) {
        if let Some(entry) = self.timer.arm(deadline) {
            // SAFETY: the entry points to boxed memory of `timer`, which the kernel reads while it takes the
            // entry.
            unsafe { self.queues.push(&entry) }
        }
    }

    /// Handles the completions that are left in the batch.
    fn handle_batch<H: EventHandler<Conn = T>>(&mut self, handler: &mut H) -> io::Result<()> {
        self.handle_completions(handler)?;
        let returned = self.buffers.publish();
        let all_handled = !self.starved.is_empty() && !self.queues.has_completions();
        // Then all bytes are free that no completion has named.
        self.feed_starved(if all_handled { self.buffers.free_bytes() } else { returned });
        Ok(())
    }

    fn handle_completions<H: EventHandler<Conn = T>>(&mut self, handler: &mut H) -> io::Result<()> {
        while let Some(&completion) = self.batch.get(self.next) {
            self.next += 1;
            self.handle(handler, completion)?;
        }
        Ok(())
    }

    /// Handles all completions that are pending now, once in a turn. Returns `false` if there are too many
    /// for a turn.
    ///
    /// A turn handles one batch, and the kernel completes only a part of what is ready before it ends a wait.
    /// After a pause of the process both may leave bytes behind that arrived in time. The operations that are
    /// queued are submitted first: a receive among them may complete at once. After that none is submitted
    /// and no buffer is given back before the end, so that there is an end of the completions.
    pub(super) fn complete_pending<H>(&mut self, handler: &mut H) -> io::Result<bool>
    where
        H: EventHandler<Conn = T>,
    {
        if !self.is_caught_up {
            self.queues.enter(false)?;
        }
        for _ in 0..MAX_PENDING_BATCHES {
            if self.is_caught_up {
                break;
            }
            self.handle_completions(handler)?;
            self.queues.run_task_work()?;
            self.batch.clear();
            self.next = 0;
            self.queues.reap(&mut self.batch, self.options.batch);
            self.is_caught_up = self.batch.is_empty();
        }
        self.handle_completions(handler)?;
        // Starved connections are not resumed here: the bytes of each that is judged are read directly.
        self.buffers.publish();
        Ok(self.is_caught_up)
    }

    fn handle<H: EventHandler<Conn = T>>(
        &mut self,
        handler: &mut H,
        completion: Completion,
    ) -> io::Result<()> {
        let Some(Tag { kind, id }) = Tag::unpack(completion.user_data) else { return Ok(()) };
        match kind {
            Kind::Receive => self.received(handler, id, completion),
            Kind::Send => self.sent(handler, id, completion),
            Kind::Accept => self.accepted(handler, id.slot as usize, completion),
            Kind::Doorbell => return self.doorbell.completed(completion, &mut self.queues),
            Kind::Timer => {
                self.timer.completed(completion)?;
                self.recheck();
            }
            Kind::Cancel => self.cancelled(id, completion),
        }
        Ok(())
    }

    /// Handles the connections whose state may have changed, in the order in which they were marked. The
    /// connection that changed first is thus answered first.
    fn drive_dirty<H: EventHandler<Conn = T>>(&mut self, handler: &mut H) {
        // `drive` may close its connection but never marks another, so the list does not grow in this loop.
        let mut at = 0;
        while let Some(&id) = self.dirty.get(at) {
            at += 1;
            self.drive(handler, id);
        }
        self.dirty.clear();
    }

    /// Aborts, sends, ends or receives, as the connection's state requests.
    fn drive<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.dirty = false;
        if socket.is_closing() {
            return;
        }
        let ending = socket.conn.ending();
        if ending == Ending::Abort {
            self.close(handler, id, Closed::Aborted);
            return;
        }
        if !socket.io.sending {
            self.send(id);
        }
        if ending.follows_last_bytes() {
            self.finish(handler, id);
        }
        self.receive(id);
    }

    /// Calls `f` with an open connection whose outbox has a buffer, and marks it. Returns `false` if the
    /// connection is gone or closing.
    pub(super) fn with_conn(&mut self, id: ConnId, f: impl FnOnce(&mut T)) -> bool {
        let Some(socket) = self.sockets.get_mut(id).filter(|socket| !socket.is_closing()) else {
            return false;
        };
        self.pool.supply(socket.conn.outbox());
        f(&mut socket.conn);
        self.pool.reclaim(socket.conn.outbox());
        self.mark_dirty(id);
        true
    }

    /// Marks a connection whose state may have changed.
    pub(super) fn mark_dirty(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get_mut(id).filter(|socket| !socket.dirty) {
            socket.dirty = true;
            self.dirty.push(id);
        }
    }

    fn accepted<H>(&mut self, handler: &mut H, listener: usize, completion: Completion)
    where
        H: EventHandler<Conn = T>,
    {
        if let Err(error) = self.acceptor.completed(listener, completion) {
            self.handler_called = true;
            handler.accept_failed(&error);
        }
    }

    /// Returns `true` if an accepted socket can be opened here or handed over.
    pub(super) fn can_open(&self) -> bool {
        !self.acceptor.queue.is_empty() && (self.has_free_slot() || self.can_hand_over)
    }

    fn has_free_slot(&self) -> bool {
        self.sockets.len() < self.options.max_connections
    }

    /// Opens or hands over accepted sockets, up to the limit of one turn.
    fn open_accepted<H: EventHandler<Conn = T>>(&mut self, handler: &mut H) {
        self.can_hand_over = !self.has_free_slot() && handler.can_hand_over();
        for _ in 0..self.options.accepts_per_turn {
            if !self.can_open() {
                return;
            }
            let Some(pending) = self.acceptor.queue.pop() else { return };
            let Some(pending) = pending.keep_or_hand_over(handler) else { continue };
            if !self.has_free_slot() {
                self.can_hand_over = false;
                return self.acceptor.queue.put_back(pending);
            }
            let PendingSocket { fd, listener, is_adopted } = pending;
            let accepted = Accepted { fd: fd.as_fd(), listener, is_adopted };
            let conn = handler.open(self.sockets.next_id(), accepted);
            let socket = Socket::new(conn, fd, Operations::new(), self.options.linger_bytes);
            let id = self.sockets.insert(socket);
            self.mark_dirty(id);
        }
    }

    /// Submits or cancels accepts, as the connection limit requires. Listeners use multishot accepts while
    /// more than a quarter of the slots, or more than [`MAX_MARGIN`] slots, are free.
    pub(super) fn arm_accepts(&mut self) {
        let free = self.options.max_connections.saturating_sub(self.sockets.len());
        let room = free.max(usize::from(self.can_hand_over));
        let margin = self.options.max_connections.div_ceil(4).min(MAX_MARGIN);
        self.acceptor.arm(&mut self.queues, room, margin);
    }

    /// Handles the completion of a cancellation. An operation that is already running cannot be cancelled. If
    /// its connection is closing, this shuts down the socket, which ends the operation.
    fn cancelled(&mut self, id: ConnId, completion: Completion) {
        if completion.result != -libc::EALREADY {
            return;
        }
        if let Some(socket) = self.sockets.get_mut(id).filter(|socket| socket.is_closing()) {
            socket.shut_down(Shutdown::Both);
        }
    }
}
