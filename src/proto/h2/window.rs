//! Flow-control windows (RFC 9113 §5.2, §6.9), for both directions.

/// The window of a stream or a connection before any setting (RFC 9113 §6.9.2), bytes.
pub const DEFAULT_WINDOW_BYTES: u32 = 65_535;

/// The largest window there is, bytes.
pub const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;

/// Error of a window that would exceed [`WINDOW_BYTES_MAX`], or of data that exceeds its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowError;

/// Number of bytes that may be sent; negative after a setting made the window smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWindow(i32);

impl SendWindow {
    /// Makes a window; `bytes` are at most [`WINDOW_BYTES_MAX`].
    pub fn new(bytes: u32) -> Self {
        Self(bytes.min(WINDOW_BYTES_MAX) as i32)
    }

    /// Returns how many bytes may be sent.
    #[inline]
    pub fn room(self) -> usize {
        self.0.max(0) as usize
    }

    /// Subtracts bytes that are sent, at most [`room`](Self::room).
    #[inline]
    pub fn take(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.room());
        self.0 -= bytes.min(self.room()) as i32;
    }

    /// Adds the increment of a WINDOW_UPDATE.
    ///
    /// # Errors
    ///
    /// The window would be larger than any may be.
    pub fn widen(&mut self, increment: u32) -> Result<(), WindowError> {
        self.shift(i64::from(increment))
    }

    /// Adds the difference, which may be negative, that a change of the initial size makes (RFC 9113 §6.9.2).
    ///
    /// # Errors
    ///
    /// The window would be larger than any may be.
    pub fn shift(&mut self, difference: i64) -> Result<(), WindowError> {
        let window = i64::from(self.0) + difference;
        // Two differences of a setting cannot take it below the negative of the largest window.
        self.0 = i32::try_from(window).map_err(|_| WindowError)?;
        Ok(())
    }
}

/// Number of bytes that the peer may send, and of those that it sent and that were not released or announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveWindow {
    /// Bytes that the peer may still send.
    left: u32,
    /// Received bytes that were not released.
    held: u32,
    /// Bytes that were released and not announced to the peer.
    released: u32,
}

impl ReceiveWindow {
    /// Makes a window of so many bytes.
    pub fn new(bytes: u32) -> Self {
        Self { left: bytes, held: 0, released: 0 }
    }

    /// Subtracts received bytes, and counts them as held.
    ///
    /// # Errors
    ///
    /// The bytes are more than the window had. The window is not changed.
    #[inline]
    pub fn take(&mut self, bytes: u32) -> Result<(), WindowError> {
        self.left = self.left.checked_sub(bytes).ok_or(WindowError)?;
        self.held += bytes;
        Ok(())
    }

    /// Releases received bytes, at most those held. Returns the increment of a WINDOW_UPDATE once at least
    /// half of the window was released and not announced, `None` before that.
    #[inline]
    pub fn release(&mut self, bytes: u32) -> Option<u32> {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.released += bytes;
        let size = self.size();
        if self.released < size / 2 {
            return None;
        }
        self.announce()
    }

    /// Releases bytes of a window that several streams share. Returns the increment of a WINDOW_UPDATE once
    /// half of the window was released, or once the released bytes exceed those that the peer may still send.
    /// So bytes that one stream holds for long do not stop the others.
    #[inline]
    pub fn release_shared(&mut self, bytes: u32) -> Option<u32> {
        let increment = self.release(bytes);
        if increment.is_some() || self.released <= self.left { increment } else { self.announce() }
    }

    /// Makes the window larger by `bytes`, at most up to 2^31-1. Does nothing while bytes are held.
    /// Returns by how many bytes it grew; a WINDOW_UPDATE must announce them.
    pub fn grow(&mut self, bytes: u32) -> u32 {
        let growth = if self.held > 0 { 0 } else { bytes.min(WINDOW_BYTES_MAX - self.size()) };
        self.left += growth;
        growth
    }

    fn announce(&mut self) -> Option<u32> {
        let increment = std::mem::take(&mut self.released);
        self.left += increment;
        (increment > 0).then_some(increment)
    }

    /// Returns the size of the window, in bytes.
    pub fn size(self) -> u32 {
        self.left + self.held + self.released
    }

    /// Returns the number of received bytes that were not released.
    pub fn held(self) -> u32 {
        self.held
    }

    /// Returns how many bytes may still come.
    pub fn left(self) -> u32 {
        self.left
    }
}
