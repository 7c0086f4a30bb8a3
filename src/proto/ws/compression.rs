//! The permessage-deflate state of one connection.

use std::fmt;

use super::{
    Fault, Role, Scratch,
    deflate::{Context, Deflater, Direction, Inflater, MAX_WINDOW_BITS, Params, Settings},
};

/// Compression parameters of one connection, and its DEFLATE contexts for directions that keep them between
/// messages.
pub(super) struct Compression {
    outbound: Direction,
    inbound: Direction,
    threshold_bytes: usize,
    level: u8,
    /// Decompressor; created with the first compressed message, if its context is kept between messages.
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

    /// Inflates a message and passes it to `sink` in pieces.
    pub(super) fn inflate(
        &mut self,
        compressed: &[u8],
        scratch: &mut Scratch,
        sink: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self.inbound.context {
            Context::Kept => {
                self.inflater.get_or_insert_default().inflate(compressed, &mut scratch.inflated, sink)
            }
            Context::Fresh => {
                let inflater = scratch.inflater.get_or_insert_default();
                // The reset prevents references to data of other connections.
                inflater.reset();
                inflater.inflate(compressed, &mut scratch.inflated, sink)
            }
        }
    }

    /// Appends a compressed message to `out`. Returns `false` if the message must be sent uncompressed: it is
    /// below the threshold, or compression failed or does not make it shorter. Then `out` may hold bytes to
    /// discard.
    pub(super) fn deflate(&mut self, data: &[u8], out: &mut Vec<u8>, scratch: &mut Scratch) -> bool {
        let Direction { context, window_bits } = self.outbound;
        if data.len() < self.threshold_bytes {
            return false;
        }
        match context {
            Context::Kept => {
                let deflater = self.deflater.get_or_insert_with(|| Deflater::new(self.level, window_bits));
                deflater.deflate(data, out)
            }
            // A kept context requires that the compressed message is sent, because the next one may refer to
            // it. A fresh context allows discarding it.
            Context::Fresh => {
                scratch.deflate_fresh(self.level, window_bits, data, out) && out.len() < data.len()
            }
        }
    }

    /// Returns `true` if the compressed frame of a prepared message suits this connection, and prepares the
    /// context for the frame being sent.
    pub(super) fn record_prepared(&mut self) -> bool {
        let takes = self.outbound.window_bits == MAX_WINDOW_BITS;
        if takes && let Some(deflater) = &mut self.deflater {
            // The peer's window contains the prepared message, which this deflater has not seen.
            deflater.reset();
        }
        takes
    }
}

impl Scratch {
    /// Appends a message, compressed with a fresh context, to `out`. Returns `false` if compression fails.
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
        // The reset prevents references to data of other connections.
        deflater.reset_to(level);
        deflater.deflate(data, out)
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
