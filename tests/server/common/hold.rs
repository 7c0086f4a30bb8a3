//! A handler that blocks its shard until the test releases it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use windlass::{Request, Route, Server, get};

use super::{Peer, connect, eventually};

/// Blocks a shard until released or dropped, so that a failing test releases it too.
pub(crate) struct Hold {
    blocked: Arc<AtomicBool>,
    released: Arc<AtomicBool>,
}

impl Hold {
    pub(crate) fn new() -> Self {
        Self { blocked: Arc::default(), released: Arc::default() }
    }

    /// Returns the route `/hold`, whose handler blocks the shard it runs on.
    pub(crate) fn route(&self) -> Route {
        let (blocked, released) = (self.blocked.clone(), self.released.clone());
        get("/hold", move |_: Request| {
            blocked.store(true, Ordering::SeqCst);
            eventually("the test releases the shard", || released.load(Ordering::SeqCst));
            "held"
        })
    }

    /// Blocks a shard. Returns the client of the blocking request once its handler runs.
    pub(crate) fn block(&self, server: &Server) -> Peer {
        let mut peer = connect(server);
        peer.request("GET", "/hold");
        eventually("the shard is blocked", || self.blocked.load(Ordering::SeqCst));
        peer
    }

    /// Releases the shard.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
