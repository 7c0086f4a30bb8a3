//! The directory: `replay.redb`, and `replay.lock`, which one process holds.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use crate::replay::{ErrorKind, Operation, StoreError};

/// What others may do with the events: nothing.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A directory that this process alone uses, for as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked for as long as it is open. redb locks its file too, but lets go of it when the file is opened again after a
    /// failure. Holds the process's number, and how often in a row the directory was left without a close.
    lock: File,
    left_open: u32,
}

impl Directory {
    /// Makes the directory if it is missing, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        make(path).map_err(failed(path, "cannot make the directory"))?;
        let (lock, left_open) = lock(&path.join("replay.lock"))?;
        Ok(Self { path: path.to_owned(), lock, left_open })
    }

    /// Returns how often in a row the directory was left without a close before it was opened now.
    pub(super) fn left_open(&self) -> u32 {
        self.left_open
    }

    /// Notes that the directory is left as it should be.
    pub(super) fn close(&self) {
        // Without the note the next opening may look closer, that is all.
        drop(note(&self.lock, 0));
    }

    pub(super) fn file_path(&self) -> PathBuf {
        self.path.join("replay.redb")
    }

    /// Says whether there is a file with anything in it.
    pub(super) fn has_file(&self) -> Result<bool, StoreError> {
        match fs::metadata(self.file_path()) {
            Ok(metadata) => Ok(metadata.len() > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&self.file_path(), "cannot look at the file")(error)),
        }
    }

    /// Opens the file that is there.
    pub(super) fn open_file(&self) -> Result<File, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(self.file_path());
        file.map_err(failed(&self.file_path(), "cannot open the file"))
    }

    /// Makes the file under another name, so that a crash meanwhile leaves none that is half made.
    pub(super) fn make_file<E>(&self, fill: impl FnOnce(File) -> Result<(), E>) -> Result<(), StoreError>
    where
        StoreError: From<E>,
    {
        let (new, path) = (self.path.join("replay.redb.new"), self.file_path());
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(FILE_MODE).open(&new);
        fill(file.map_err(failed(&new, "cannot make the file"))?)?;
        let named = File::open(&new).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&new, &path));
        named.and_then(|()| sync(&self.path)).map_err(failed(&path, "cannot make the file"))
    }
}

/// Makes a directory and those above it.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
    // A directory survives a power cut once the one that names it is synced.
    path.parent().filter(|above| !above.as_os_str().is_empty()).map_or(Ok(()), sync)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Takes the lock, or says who has it. Returns also how often in a row it was left without a close.
fn lock(path: &Path) -> Result<(File, u32), StoreError> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
    let file = file.map_err(failed(path, "cannot open the lock"))?;
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    // Numbers that another process may not have written yet, or a crash not wholly: a courtesy, nothing depends on them.
    let mut text = String::new();
    drop((&file).take(40).read_to_string(&mut text));
    let mut numbers = text.split_whitespace().map_while(|number| number.parse::<u32>().ok());
    let (holder, left_open) = (numbers.next(), numbers.next().unwrap_or(0));
    match locked {
        Ok(()) => (),
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(path, holder)),
        Err(error) => return Err(failed(path, "cannot lock")(error.into())),
    }
    note(&file, left_open.saturating_add(1)).map_err(failed(path, "cannot write the lock"))?;
    Ok((file, left_open))
}

fn note(lock: &File, left_open: u32) -> io::Result<()> {
    lock.set_len(0)?;
    lock.write_all_at(format!("{} {left_open}\n", std::process::id()).as_bytes(), 0)
}

fn in_use(path: &Path, holder: Option<u32>) -> StoreError {
    let holder = holder.map_or_else(|| "another".to_owned(), |id| id.to_string());
    let directory = path.parent().unwrap_or(path).display();
    let message = format!("{directory} is in use by process {holder}");
    StoreError::new(ErrorKind::InUse, Operation::Open, message)
}

/// Says which path an error is about.
fn failed(path: &Path, what: &str) -> impl FnOnce(io::Error) -> StoreError {
    let message = format!("{what} {}", path.display());
    move |error| StoreError::caused(ErrorKind::Io, Operation::Open, message, error)
}
