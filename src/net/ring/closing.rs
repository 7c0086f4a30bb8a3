//! Closing connections, and dropping the ring.

use std::time::{Duration, Instant};

use rustix::net::Shutdown;

use super::{
    Ring,
    operations::Receive,
    ops::{self, Kind, Tag},
};
use crate::net::{
    engine::{Closed, Connection, EventHandler},
    slots::ConnId,
    socket::Phase,
};

/// Longest time that dropping a ring waits for the kernel's completions. It usually takes microseconds.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

impl<T: Connection> Ring<T> {
    /// Takes the next step of an orderly end, once all bytes are sent.
    pub(super) fn finish<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.is_drained()
            && let Some(why) = socket.finish()
        {
            self.close(handler, id, why);
        }
    }

    /// Closes a connection: at once, or when the kernel has completed the operations that this cancels.
    pub(super) fn close<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId, why: Closed) {
        let Some(socket) = self.sockets.get_mut(id).filter(|socket| !socket.is_closing()) else { return };
        socket.prepare_close(&why);
        socket.phase = Phase::Closing(why);
        if socket.io.sending {
            // SAFETY: the entry refers to no memory and no descriptor.
            unsafe { self.queues.push(&ops::cancel(Tag::of_conn(Kind::Send, id))) }
        }
        if socket.io.receive == Receive::Armed {
            self.cancel_receive(id);
        }
        self.free_if_complete(handler, id);
    }

    /// Frees the slot of a closing connection if the kernel owes it no completion.
    pub(super) fn free_if_complete<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        if self.sockets.get_mut(id).is_none_or(|socket| socket.io.in_kernel() > 0) {
            return;
        }
        let Some(mut socket) = self.sockets.remove(id) else { return };
        drop(socket.fd);
        socket.io.outgoing.recycle(&mut self.pool);
        if let Phase::Closing(why) = socket.phase {
            self.handler_called = true;
            handler.closed(id, socket.conn, why);
        }
    }

    /// Cancels every operation and waits for the last completion. Returns `false` if one is missing after
    /// [`DRAIN_LIMIT`].
    fn drain(&mut self) -> bool {
        let until = Instant::now() + DRAIN_LIMIT;
        for socket in self.sockets.values_mut() {
            socket.reset_on_close();
        }
        self.take_accepted(self.next);
        // SAFETY: the entry refers to no memory and no descriptor.
        unsafe { self.queues.push(&ops::cancel_all()) }
        while self.queues.in_flight() > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.queues.enter_for(left).is_err() {
                return false;
            }
            self.batch.clear();
            self.queues.reap(&mut self.batch, usize::MAX);
            self.take_accepted(0);
        }
        true
    }

    /// Moves the sockets of unhandled accept completions to the accept queue, which closes them when it is
    /// dropped.
    fn take_accepted(&mut self, from: usize) {
        for &completion in &self.batch[from..] {
            if let Some(Tag { kind: Kind::Accept, id }) = Tag::unpack(completion.user_data) {
                let _ = self.acceptor.completed(id.slot as usize, completion);
            }
        }
    }
}

impl<T: Connection> Drop for Ring<T> {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.drain() {
            return;
        }
        self.buffers.leak();
        for socket in self.sockets.values_mut() {
            socket.shut_down(Shutdown::Both);
            socket.io.outgoing.leak();
        }
    }
}
