//! How a hub's members are.

use windlass_actors::fanout::{Bounds, Chooser, ChooserOptions, FullQueue, Overflow, Policy};

use crate::ws::Deflate;

/// How a hub's members are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubSettings {
    /// Messages a member's mailbox holds. Default 64.
    pub mailbox_events: usize,
    /// Bytes of frames a member's mailbox holds. Default 256 KiB. An empty one takes one message of any size.
    pub mailbox_bytes: usize,
    /// What happens to a message that finds a member's mailbox full. Default: the member's socket is closed, with code 1013.
    /// `Drop`: the message is lost for it. `Remove`: it is a member no more, its socket stays.
    pub overflow: Policy,
    /// Makes each message's compressed form too, once, for the sockets that agreed on compression. Default: no.
    pub compression: Option<Deflate>,
}

impl Default for HubSettings {
    fn default() -> Self {
        let Bounds { events, bytes } = Bounds::default();
        Self {
            mailbox_events: events,
            mailbox_bytes: bytes,
            overflow: Overflow::Close.into(),
            compression: None,
        }
    }
}

impl HubSettings {
    /// Has a callback say what happens to a member whose mailbox is full. It runs on the blocking threads of the server's
    /// pool, `asking` says how; a member whose callback panics is closed.
    #[must_use]
    pub fn overflow_by(
        self,
        asking: ChooserOptions,
        choose: impl Fn(&FullQueue) -> Overflow + Send + Sync + 'static,
    ) -> Self {
        let asking = ChooserOptions { on_panic: Overflow::Close, ..asking };
        Self { overflow: Chooser::with(asking, choose).into(), ..self }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { events: self.mailbox_events, bytes: self.mailbox_bytes }
    }
}
