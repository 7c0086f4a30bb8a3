//! Closing connections, and dropping the engine.

use super::Epoll;
use crate::net::{
    engine::{Closed, Connection, EventHandler},
    slots::ConnId,
};

impl<T: Connection> Epoll<T> {
    /// Takes the next step of an orderly end, once all bytes are sent.
    pub(super) fn finish<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.is_drained()
            && let Some(why) = socket.finish()
        {
            self.close(handler, id, why);
        }
    }

    /// Closes a connection. Entries in the engine's lists, and later events, do not find it.
    pub(super) fn close<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId, why: Closed) {
        let Some(mut socket) = self.sockets.remove(id) else { return };
        socket.prepare_close(&why);
        drop(socket.fd);
        self.pool.reclaim(socket.conn.outbox());
        self.skip_wait = true;
        handler.closed(id, socket.conn, why);
    }
}

impl<T: Connection> Drop for Epoll<T> {
    fn drop(&mut self) {
        for socket in self.sockets.values_mut() {
            socket.reset_on_close();
        }
    }
}
