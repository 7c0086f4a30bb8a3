//! The location of the store: a directory, or a disk that a test provides.

use std::path::Path;

use redb::{Builder, backends::FileBackend};

use super::{
    Options,
    database::{Opened, create_tables, load},
    directory::Directory,
    disk::DiskOpener,
    errors::{guard, redb_error},
    failed_appends::FailedAppends,
};
use crate::replay::{ErrorKind, Operation, StoreError};

/// Number of consecutive unclean ends after which the whole file is verified.
///
/// Damage that redb does not detect may end the process with a panic inside a panic. Without the check that
/// would happen at every start.
const VERIFY_AFTER_UNCLEAN_ENDS: u32 = 3;

/// Location of the store.
#[derive(Debug)]
pub(super) enum Location {
    Directory(Directory),
    Disk(DiskOpener),
}

impl Location {
    pub(super) fn directory(path: &Path) -> Result<Self, StoreError> {
        Directory::open(path).map(Self::Directory)
    }

    /// Returns the name used in error messages.
    fn name(&self) -> String {
        match self {
            Self::Directory(directory) => directory.file_path().display().to_string(),
            Self::Disk(_) => "the disk".to_owned(),
        }
    }

    /// Opens the store. Creates it if it does not exist.
    pub(super) fn open(&self, options: &Options) -> Result<Opened, StoreError> {
        self.catch(|| {
            self.create_if_missing(options)?;
            let is_suspect = matches!(self, Self::Directory(directory)
                if directory.unclean_ends() >= VERIFY_AFTER_UNCLEAN_ENDS);
            self.open_existing(options, options.verify || is_suspect, &FailedAppends::default())
        })
    }

    /// Opens the store again after a failure of kind `failure`, and verifies the file if that is
    /// [`ErrorKind::Damaged`]. Skips one number for each failed append.
    pub(super) fn reopen(
        &self,
        options: &Options,
        failure: ErrorKind,
        failed: &FailedAppends,
    ) -> Result<Opened, StoreError> {
        self.catch(|| self.open_existing(options, failure == ErrorKind::Damaged, failed))
    }

    /// Checks that the open file is still the one with the store's name: what is written to a file without a
    /// name is lost when it is closed.
    pub(super) fn check_file(&self) -> Result<(), StoreError> {
        match self {
            Self::Directory(directory) => directory.check_file(),
            Self::Disk(_) => Ok(()),
        }
    }

    /// Returns `true` if the store can grow by `bytes`, as far as the system tells.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        match self {
            Self::Directory(directory) => directory.has_room(bytes),
            Self::Disk(_) => true,
        }
    }

    /// Records that the store was closed cleanly.
    pub(super) fn mark_closed(&self) {
        if let Self::Directory(directory) = self {
            directory.mark_closed();
        }
    }

    fn catch(&self, open: impl FnOnce() -> Result<Opened, StoreError>) -> Result<Opened, StoreError> {
        guard(Operation::Open, open).map_err(|error| name_location(error, &self.name()))
    }

    fn create_if_missing(&self, options: &Options) -> Result<(), StoreError> {
        let Self::Directory(directory) = self else { return Ok(()) };
        if directory.has_file()? {
            return Ok(());
        }
        directory.create_file(|file| {
            let backend = FileBackend::new(file).map_err(redb_error(Operation::Open))?;
            create_tables(
                &builder(options).create_with_backend(backend).map_err(redb_error(Operation::Open))?,
                options,
            )
        })
    }

    fn open_existing(
        &self,
        options: &Options,
        verify: bool,
        failed: &FailedAppends,
    ) -> Result<Opened, StoreError> {
        let mut builder = builder(options);
        builder.set_check_integrity_on_open(verify);
        let database = match self {
            Self::Directory(directory) => {
                let backend =
                    FileBackend::new(directory.open_file()?).map_err(redb_error(Operation::Open))?;
                builder.create_with_backend(backend).map_err(redb_error(Operation::Open))?
            }
            Self::Disk(opener) => {
                let disk = opener.open().map_err(redb_error(Operation::Open))?;
                let database = builder.create_with_backend(disk).map_err(redb_error(Operation::Open))?;
                create_tables(&database, options)?;
                database
            }
        };
        load(database, options, failed)
    }
}

fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder
}

/// Adds the name of the location to an error, unless the message contains it.
fn name_location(error: StoreError, name: &str) -> StoreError {
    if error.to_string().contains(name) { error } else { error.at(name) }
}
