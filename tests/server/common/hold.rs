//! A handler that holds its shard as long as the test likes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use windlass::{Request, Route, Server, get};

use super::{Peer, connect, eventually};

/// Lets the shard go when it is dropped, also by a test that fails.
pub(crate) struct Hold {
    held: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Hold {
    pub(crate) fn new() -> Self {
        Self { held: Arc::default(), over: Arc::default() }
    }

    /// Makes the route whose request holds the shard it is on: `/hold`.
    pub(crate) fn route(&self) -> Route {
        let (held, over) = (self.held.clone(), self.over.clone());
        get("/hold", move |_: Request| {
            held.store(true, Ordering::SeqCst);
            eventually("the test lets go", || over.load(Ordering::SeqCst));
            "held"
        })
    }

    /// Holds a shard; returns once it is held, with who asked for it.
    pub(crate) fn begin(&self, server: &Server) -> Peer {
        let mut peer = connect(server);
        peer.request("GET", "/hold");
        eventually("the shard is held", || self.held.load(Ordering::SeqCst));
        peer
    }

    /// Lets the shard go.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end();
    }
}
