//! How connections, and the engine, come to their end.

use super::Epoll;
use crate::net::{Closed, ConnId, Connection, Ending, EventHandler};

impl<L: Connection> Epoll<L> {
    /// Ends a connection that is finishing, as far as it is: nothing while bytes are queued; then the write side;
    /// everything once the peer's FIN is there.
    pub(super) fn finish<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId) {
        let Some(conn) = self.slots.find(id) else { return };
        if !conn.drained() {
            return;
        }
        if conn.ended {
            // Closing sends the FIN.
            self.close(handler, id, Closed::Finished);
        } else if conn.link.ending() == Ending::Close {
            // Closing alone would, with bytes unread, take back what is not sent yet.
            conn.shutdown();
            self.close(handler, id, Closed::Finished);
        } else if conn.linger_bytes == 0 {
            conn.shutdown();
            self.close(handler, id, Closed::Lingered);
        } else if !conn.lingering {
            conn.lingering = true;
            conn.shutdown();
        }
    }

    /// Closes a connection; what was noted for it, and events still to come, find it gone.
    pub(super) fn close<C: EventHandler<Conn = L>>(&mut self, handler: &mut C, id: ConnId, why: Closed) {
        let Some(mut conn) = self.slots.remove(id) else { return };
        // A lingering one has been sent whole: a reset would take back what the peer has not read yet.
        if matches!(why, Closed::Aborted) && !conn.lingering {
            conn.reset_on_close();
        }
        drop(conn.fd);
        self.pool.reclaim(conn.link.outbox());
        self.called = true;
        handler.closed(id, conn.link, why);
    }
}

impl<L: Connection> Drop for Epoll<L> {
    fn drop(&mut self) {
        for conn in self.slots.values_mut() {
            conn.reset_on_close();
        }
    }
}
