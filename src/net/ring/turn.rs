//! One turn: look at what changed, enter the kernel once, hand over what completed.

use std::{io, os::fd::AsFd};

use super::{
    Ring,
    conn::{Conn, Phase, Receive},
    ops::{Kind, Tag},
    queues::Completion,
};
use crate::net::{Accepted, Closed, ConnId, Connection, Ending, EventHandler, Wait, accept::Taken};

/// Multishot accepts go on until a quarter of the connection limit is left, or of this if that is less.
const MARGIN_OF: usize = 4096;

impl<L: Connection> Ring<L> {
    /// Runs a turn.
    pub(super) fn run<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, wait: Wait) -> io::Result<()> {
        self.called = false;
        self.settle_dirty(handler);
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
        self.settle_dirty(handler);
        self.arm_accepts();
        Ok(())
    }

    /// Arms the deadline and says whether to wait at all.
    fn prepare_wait(&mut self, wait: Wait) -> bool {
        if wait == Wait::Poll || self.called || self.queues.ready() || self.may_open() {
            return false;
        }
        let until = if let Wait::Until(until) = wait { Some(until) } else { None };
        let deadline = until.into_iter().chain(self.acceptor.retry()).min();
        if let Some(entry) = deadline.and_then(|deadline| self.timer.arm(deadline)) {
            // SAFETY: the entry points to boxed memory of `deadline`, read while the entry is taken.
            unsafe { self.queues.push(&entry) }
        }
        true
    }

    fn handle_batch<C: EventHandler<Conn = L>>(&mut self, handler: &mut C) -> io::Result<()> {
        while let Some(&completion) = self.batch.get(self.next) {
            self.next += 1;
            self.handle(handler, completion)?;
        }
        let returned = self.buffers.publish();
        self.feed_starved(returned);
        Ok(())
    }

    fn handle<C: EventHandler<Conn = L>>(
        &mut self,
        handler: &mut C,
        completion: Completion,
    ) -> io::Result<()> {
        let Some(Tag { kind, id }) = Tag::unpack(completion.user_data) else { return Ok(()) };
        match kind {
            Kind::Receive => self.received(handler, id, completion),
            Kind::Send => self.sent(handler, id, completion),
            Kind::Accept => self.accepted(handler, id.slot as usize, completion),
            Kind::Doorbell => return self.doorbell.rung(completion, &mut self.queues),
            Kind::Timer => return self.timer.fired(completion),
            Kind::Cancel => self.cancelled(id, completion),
        }
        Ok(())
    }

    /// Re-arms receives that found no buffer, as many as there can be buffers for.
    fn feed_starved(&mut self, returned: usize) {
        // With no completion left, no buffer is taken.
        let mut free = if self.queues.ready() { returned } else { self.buffers.count() };
        while free > 0 {
            let Some(id) = self.starved.pop_front() else { return };
            if let Some(conn) = self.slots.find(id).filter(|conn| conn.receive == Receive::Starved) {
                conn.receive = Receive::Idle;
                self.mark(id);
                free -= 1;
            }
        }
    }

    /// Acts on what connections want since they were last looked at, in the order of their marks: whoever asked first is
    /// answered first.
    fn settle_dirty<C: EventHandler<Conn = L>>(&mut self, handler: &mut C) {
        // Settling one may close it, never mark another: the list does not grow meanwhile.
        let mut at = 0;
        while let Some(&id) = self.dirty.get(at) {
            at += 1;
            self.settle(handler, id);
        }
        self.dirty.clear();
    }

    fn settle<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        conn.dirty = false;
        if conn.closing() {
            return;
        }
        let ending = conn.link.ending();
        if ending == Ending::Abort {
            self.close(handler, id, Closed::Aborted);
            return;
        }
        if !conn.sending {
            self.send(id);
        }
        if ending.follows_last_bytes() {
            self.finish(handler, id);
        }
        self.receive(id);
    }

    /// Shows a live connection to `f` with a buffer in its outbox, then looks at it later. False when it is gone.
    pub(super) fn show(&mut self, id: ConnId, f: impl FnOnce(&mut L)) -> bool {
        let Some(conn) = self.slots.find(id).filter(|conn| !conn.closing()) else { return false };
        self.pool.lend(conn.link.outbox());
        f(&mut conn.link);
        self.pool.reclaim(conn.link.outbox());
        self.mark(id);
        true
    }

    /// Puts a connection on the list of those to look at.
    pub(super) fn mark(&mut self, id: ConnId) {
        if let Some(conn) = self.slots.find(id).filter(|conn| !conn.dirty) {
            conn.dirty = true;
            self.dirty.push(id);
        }
    }

    fn accepted<C: EventHandler<Conn = L>>(
        &mut self,
        handler: &mut C,
        listener: usize,
        completion: Completion,
    ) {
        if let Err(error) = self.acceptor.completed(listener, completion) {
            self.called = true;
            handler.accept_failed(&error);
        }
    }

    /// Says whether an accepted socket waits and there is a slot for it.
    pub(super) fn may_open(&self) -> bool {
        self.acceptor.queued() && (self.has_slot() || self.elsewhere)
    }

    fn has_slot(&self) -> bool {
        self.slots.len() < self.options.max_connections
    }

    /// Opens accepted sockets: a bounded number, so that a storm of them does not starve connections.
    fn open_accepted<C: EventHandler<Conn = L>>(&mut self, handler: &mut C) {
        self.elsewhere = !self.has_slot() && handler.can_hand_over();
        for _ in 0..self.options.accepts_per_turn {
            if !self.may_open() {
                return;
            }
            let Some(taken) = self.acceptor.next() else { return };
            let Some(taken) = taken.unless_handed_over(handler) else { continue };
            if !self.has_slot() {
                self.elsewhere = false;
                return self.acceptor.put_back(taken);
            }
            let Taken { fd, listener, is_adopted } = taken;
            let link = handler.open(self.slots.next_id(), Accepted { fd: fd.as_fd(), listener, is_adopted });
            let id = self.slots.insert(Conn::new(link, fd, self.options.linger_bytes));
            self.mark(id);
        }
    }

    /// Keeps an accept in the kernel as the connection limit allows.
    pub(super) fn arm_accepts(&mut self) {
        let room =
            self.options.max_connections.saturating_sub(self.slots.len()).max(usize::from(self.elsewhere));
        let margin = self.options.max_connections.min(MARGIN_OF).div_ceil(4);
        self.acceptor.arm(&mut self.queues, room, margin);
    }

    /// Reacts to a cancellation that found its operation running: a shutdown ends that one too.
    fn cancelled(&mut self, id: ConnId, completion: Completion) {
        if completion.result != -libc::EALREADY {
            return;
        }
        if let Some(conn) = self.slots.find(id).filter(|conn| matches!(conn.phase, Phase::Closing(_))) {
            conn.shutdown(rustix::net::Shutdown::Both);
        }
    }
}
