//! Disk interface, so that tests can replace the file.

use std::{fmt, io, sync::Arc};

/// Storage that behaves like a file. Tests implement it to simulate failures and power cuts.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Returns the length in bytes.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// The disk failed, or it ends before `out` is full.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes bytes at `offset`. The range must lie within the length.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Sets the length in bytes. Extends with zeros.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Syncs everything written, so that it survives a power cut.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn sync(&self) -> io::Result<()>;
}

/// Function that opens a disk, as a path opens a file. Each call opens the same disk.
#[derive(Clone)]
pub struct DiskOpener(Arc<dyn Fn() -> io::Result<Box<dyn Disk>> + Send + Sync>);

impl DiskOpener {
    /// Creates an opener from a function.
    pub fn new(open: impl Fn() -> io::Result<Box<dyn Disk>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    pub(super) fn open(&self) -> io::Result<RedbDisk> {
        (self.0)().map(RedbDisk)
    }
}

impl fmt::Debug for DiskOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskOpener")
    }
}

/// Adapter from [`Disk`] to redb.
#[derive(Debug)]
pub(super) struct RedbDisk(Box<dyn Disk>);

impl redb::StorageBackend for RedbDisk {
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
