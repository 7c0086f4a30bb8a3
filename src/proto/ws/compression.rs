//! permessage-deflate on one connection: which context serves which direction.

use std::fmt;

use super::{
    Fault, Role, Scratch,
    deflate::{Context, Deflater, Direction, Inflater, MAX_WINDOW_BITS, Params, Settings},
};

/// The terms of one connection, and the contexts that it keeps, if any.
pub(super) struct Compression {
    outbound: Direction,
    inbound: Direction,
    threshold_bytes: usize,
    level: u8,
    /// Made with the first compressed message, if the context is kept.
    inflater: Option<Inflater>,
    deflater: Option<Deflater>,
}

impl Compression {
    pub(super) fn new(role: Role, params: Params, settings: &Settings) -> Self {
        let (outbound, inbound) = match role {
            Role::Server => (params.server, params.client),
            Role::Client { .. } => (params.client, params.server),
        };
        let Settings { threshold_bytes, level, .. } = *settings;
        Self { outbound, inbound, threshold_bytes, level, inflater: None, deflater: None }
    }

    /// Inflates a message; `take` gets it in pieces.
    pub(super) fn inflate(
        &mut self,
        compressed: &[u8],
        scratch: &mut Scratch,
        take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self.inbound.context {
            Context::Kept => {
                self.inflater.get_or_insert_default().message(compressed, &mut scratch.inflated, take)
            }
            Context::Fresh => {
                let inflater = scratch.inflater.get_or_insert_default();
                // Whatever another connection left there must be out of reach.
                inflater.reset();
                inflater.message(compressed, &mut scratch.inflated, take)
            }
        }
    }

    /// Compresses a message onto `out`; false if it goes as it is.
    pub(super) fn deflate(&mut self, data: &[u8], out: &mut Vec<u8>, scratch: &mut Scratch) -> bool {
        let Direction { context, window_bits } = self.outbound;
        if data.len() < self.threshold_bytes {
            return false;
        }
        match context {
            Context::Kept => {
                let deflater = self.deflater.get_or_insert_with(|| Deflater::new(self.level, window_bits));
                deflater.message(data, out)
            }
            // With a kept context the next message may refer to this one, so it must be sent; here it need
            // not.
            Context::Fresh => {
                scratch.deflate_fresh(self.level, window_bits, data, out) && out.len() < data.len()
            }
        }
    }

    /// Says whether messages compressed once for everybody are sent; `None` if that has to be noted each
    /// time.
    pub(super) fn sends_shared(&self) -> Option<bool> {
        match self.outbound {
            Direction { window_bits: MAX_WINDOW_BITS, context: Context::Fresh } => Some(true),
            Direction { window_bits: MAX_WINDOW_BITS, context: Context::Kept } => None,
            Direction { .. } => Some(false),
        }
    }

    /// Says whether a message compressed once for everybody may be sent, and takes note that it is.
    pub(super) fn takes_shared(&mut self) -> bool {
        let takes = self.outbound.window_bits == MAX_WINDOW_BITS;
        if takes && let Some(deflater) = &mut self.deflater {
            // The peer's window has moved past what this one knows.
            deflater.reset();
        }
        takes
    }
}

impl Scratch {
    /// Compresses a message that stands for itself.
    pub(super) fn deflate_fresh(
        &mut self,
        level: u8,
        window_bits: u8,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let index = self.deflaters.iter().position(|deflater| deflater.window_bits() == window_bits);
        let index = index.unwrap_or_else(|| {
            self.deflaters.push(Deflater::new(level, window_bits));
            self.deflaters.len() - 1
        });
        let deflater = &mut self.deflaters[index];
        // Whatever another connection left there must be out of reach.
        deflater.reset_to(level);
        deflater.message(data, out)
    }
}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compression")
            .field("outbound", &self.outbound)
            .field("inbound", &self.inbound)
            .finish_non_exhaustive()
    }
}
