//! The directory of the store: `replay.redb`, and `replay.lock`, which one process at a time holds.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Resource, getrlimit},
};

use crate::replay::{ErrorKind, Operation, StoreError};

/// File permissions: only the owner can read the events.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Directory that this process holds exclusively while the value exists.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Lock file, locked while it is open. redb locks its own file too, but releases it when the file is
    /// reopened after a failure. The lock file contains the process id and the number of consecutive unclean
    /// ends.
    lock: File,
    unclean_ends: u32,
    /// Device and inode of the file that was opened last. `None` if none was.
    opened: Mutex<Option<(u64, u64)>>,
}

impl Directory {
    /// Creates the directory if it is missing, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        create_directory(path).map_err(io_error(path, "cannot create the directory"))?;
        let (lock, unclean_ends) = lock(&path.join("replay.lock"))?;
        Ok(Self { path: path.to_owned(), lock, unclean_ends, opened: Mutex::default() })
    }

    /// Returns how many times in a row, up to this opening, a process ended without closing the store.
    pub(super) fn unclean_ends(&self) -> u32 {
        self.unclean_ends
    }

    /// Records that the store was closed cleanly.
    pub(super) fn mark_closed(&self) {
        // If this fails, the only effect is that a later opening may verify the file.
        drop(write_lock(&self.lock, 0));
    }

    pub(super) fn file_path(&self) -> PathBuf {
        self.path.join("replay.redb")
    }

    /// Returns `true` if the file exists and is not empty. Fails if it is not a regular file.
    pub(super) fn has_file(&self) -> Result<bool, StoreError> {
        match fs::metadata(self.file_path()) {
            Ok(metadata) if !metadata.is_file() => Err(not_a_file(&self.file_path())),
            Ok(metadata) => Ok(metadata.len() > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error(&self.file_path(), "cannot read the metadata of")(error)),
        }
    }

    /// Opens the existing file.
    pub(super) fn open_file(&self) -> Result<File, StoreError> {
        let path = self.file_path();
        let file = open_regular(OpenOptions::new().read(true).write(true), &path, "cannot open the file")?;
        let metadata = file.metadata().map_err(io_error(&path, "cannot read the metadata of"))?;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some((metadata.dev(), metadata.ino()));
        Ok(file)
    }

    /// Checks that the file with the store's name is the one that was opened last. Fails with
    /// [`ErrorKind::Detached`] if it is not, or with the system's error if that cannot be told.
    pub(super) fn check_file(&self) -> Result<(), StoreError> {
        let path = self.file_path();
        let Some(opened) = *self.opened.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(()) };
        let damage = match fs::metadata(&path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == opened => return Ok(()),
            Ok(_) => "was replaced by another file",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "was deleted or moved away",
            // The directory may be inaccessible for a while, which says nothing about the file.
            Err(error) => return Err(io_error(&path, "cannot find the file")(error)),
        };
        let message = format!(
            "{} {damage} while it was in use: put it back, or restart the server to begin a new history",
            path.display()
        );
        Err(StoreError::new(ErrorKind::Detached, Operation::Append, message))
    }

    /// Returns `true` if the file can grow by `bytes`, as far as the system tells.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let has_space = rustix::fs::statvfs(&self.path)
            .map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes);
        let len = fs::metadata(self.file_path()).map_or(0, |metadata| metadata.len());
        has_space && getrlimit(Resource::Fsize).current.is_none_or(|limit| len.saturating_add(bytes) <= limit)
    }

    /// Creates the file: `fill` writes it under a temporary name, so that a crash cannot leave a partial
    /// file.
    pub(super) fn create_file<E>(&self, fill: impl FnOnce(File) -> Result<(), E>) -> Result<(), StoreError>
    where
        StoreError: From<E>,
    {
        let (new, path) = (self.path.join("replay.redb.new"), self.file_path());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        fill(open_regular(&mut options, &new, "cannot create the file")?)?;
        let renamed =
            File::open(&new).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&new, &path));
        renamed.and_then(|()| sync_directory(&self.path)).map_err(io_error(&path, "cannot create the file"))
    }
}

/// Creates a directory and its missing parents.
fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
    // A new directory survives a power cut only if its parent is synced.
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Locks the lock file. Returns it with its number of consecutive unclean ends, and stores one more until
/// [`Directory::mark_closed`].
///
/// # Errors
///
/// Another process holds the lock, or a system call fails.
fn lock(path: &Path) -> Result<(File, u32), StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    let file = open_regular(&mut options, path, "cannot open the lock file")?;
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    // The content may be missing or incomplete after a crash. Only messages and the file check depend on it.
    let mut text = String::new();
    drop((&file).take(40).read_to_string(&mut text));
    let mut numbers = text.split_whitespace().map_while(|number| number.parse::<u32>().ok());
    let (holder, unclean_ends) = (numbers.next(), numbers.next().unwrap_or(0));
    match locked {
        Ok(()) => (),
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(path, holder)),
        Err(error) => return Err(io_error(path, "cannot lock")(error.into())),
    }
    // The lock is held whatever the file says. On a full disk the store itself reports the problem.
    drop(write_lock(&file, unclean_ends.saturating_add(1)));
    Ok((file, unclean_ends))
}

/// Opens a file, which must be a regular one: a FIFO or a device could block forever.
fn open_regular(options: &mut OpenOptions, path: &Path, action: &str) -> Result<File, StoreError> {
    let opened = options.custom_flags(libc::O_NONBLOCK).open(path);
    let opened = opened.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    match opened {
        Ok((file, metadata)) if metadata.is_file() => Ok(file),
        // ENXIO: a socket, or a device that does not exist.
        Err(error) if error.raw_os_error() != Some(libc::ENXIO) => Err(io_error(path, action)(error)),
        _ => Err(not_a_file(path)),
    }
}

fn not_a_file(path: &Path) -> StoreError {
    let message = format!("{} is not a regular file: move it away, or use another directory", path.display());
    StoreError::new(ErrorKind::Io, Operation::Open, message)
}

/// Writes the process id and the number of consecutive unclean ends.
fn write_lock(lock: &File, unclean_ends: u32) -> io::Result<()> {
    // Of fixed width, so that a full disk cannot refuse to overwrite it.
    lock.write_all_at(format!("{:10} {unclean_ends:10}\n", std::process::id()).as_bytes(), 0)?;
    lock.set_len(22)
}

fn in_use(path: &Path, holder: Option<u32>) -> StoreError {
    let holder = holder.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"));
    let directory = path.parent().unwrap_or(path).display();
    let message = format!("{directory} is in use by {holder}: stop it, or use another directory");
    StoreError::new(ErrorKind::InUse, Operation::Open, message)
}

/// Returns a function that adds the failed action and the path to a system error, for use with `map_err`.
fn io_error(path: &Path, action: &str) -> impl FnOnce(io::Error) -> StoreError {
    let message = format!("{action} {}", path.display());
    move |error| StoreError::with_source(ErrorKind::Io, Operation::Open, message, error)
}
