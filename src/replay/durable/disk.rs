//! Where the file's bytes are: a file, or whatever a test puts in its place.

use std::{fmt, io, sync::Arc};

/// Stores bytes as a file does, so that tests can fail and cut the power.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Returns the length.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Fills `out` from an offset on.
    ///
    /// # Errors
    ///
    /// The disk fails, or has fewer bytes.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes bytes within the length.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Cuts off, or adds zeros.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes all that was written survive a power cut.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn sync(&self) -> io::Result<()>;
}

/// Opens the same disk again and again, as a path does with a file.
#[derive(Clone)]
pub struct Disks(Arc<dyn Fn() -> io::Result<Box<dyn Disk>> + Send + Sync>);

impl Disks {
    /// Opens the disk by a function.
    pub fn new(open: impl Fn() -> io::Result<Box<dyn Disk>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    pub(super) fn open(&self) -> io::Result<OnDisk> {
        (self.0)().map(OnDisk)
    }
}

impl fmt::Debug for Disks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disks")
    }
}

/// A disk as redb wants it.
#[derive(Debug)]
pub(super) struct OnDisk(Box<dyn Disk>);

impl redb::StorageBackend for OnDisk {
    fn len(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
