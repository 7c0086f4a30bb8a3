//! Hub settings.

use windlass_actors::fanout::{Bounds, Chooser, ChooserOptions, FullQueue, Overflow, Policy};

use crate::ws::Deflate;

/// Hub settings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubSettings {
    /// Capacity of a member's mailbox, messages. Default 64.
    pub mailbox_events: usize,
    /// Capacity of a member's mailbox, bytes of frames. Default 256 KiB. An empty mailbox accepts one message
    /// of any size.
    pub mailbox_bytes: usize,
    /// Action when a member's mailbox is full. Default [`Overflow::Close`].
    ///
    /// - [`Overflow::Drop`] drops the message for this member.
    /// - [`Overflow::Remove`] removes the member from the hub and leaves its socket open.
    /// - [`Overflow::Close`] closes the member's socket with code 1013.
    pub overflow: Policy,
    /// Compression of messages, for sockets that negotiated it. Each message is compressed once. Default
    /// `None`.
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
    /// Sets a callback that selects the action when a member's mailbox is full.
    ///
    /// The callback runs on the blocking threads of the server's pool, with these `options`. If it panics,
    /// the member's socket is closed.
    #[must_use]
    pub fn overflow_by(
        self,
        options: ChooserOptions,
        choose: impl Fn(&FullQueue) -> Overflow + Send + Sync + 'static,
    ) -> Self {
        let options = ChooserOptions { on_panic: Overflow::Close, ..options };
        Self { overflow: Chooser::with(options, choose).into(), ..self }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { events: self.mailbox_events, bytes: self.mailbox_bytes }
    }
}
