//! Opening the file, making it, closing it; and what redb's errors mean here.

use std::{collections::BTreeSet, path::Path};

use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, backends::FileBackend};

use super::{
    Options,
    disk::Disks,
    files::Directory,
    missed::Missed,
    tables::{EPOCH, EVENTS, FLOOR, FORMAT, FORMAT_HERE, META, NEXT_ID, TOPICS},
    topics::Topics,
};
use crate::replay::{Epoch, ErrorKind, Operation, StoreError, contain::contain};

/// Where the file is.
#[derive(Debug)]
pub(super) enum Place {
    Directory(Directory),
    Disks(Disks),
}

/// After how many ends without a close in a row the whole file is checked: a file that is damaged where redb does not look
/// may end the process, panic within panic, and would do so for ever.
const LEFT_OPEN: u32 = 3;

/// A store just opened.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) epoch: Epoch,
    pub(super) topics: Topics,
    /// Topics whose leases were not given back: the store was not closed, and a gap is told in each.
    pub(super) holes: usize,
}

impl Place {
    pub(super) fn directory(path: &Path) -> Result<Self, StoreError> {
        Directory::open(path).map(Self::Directory)
    }

    /// Says where, for messages.
    fn name(&self) -> String {
        match self {
            Self::Directory(directory) => directory.file_path().display().to_string(),
            Self::Disks(_) => "the disk".to_owned(),
        }
    }

    /// Opens the store, and makes it if there is none.
    pub(super) fn open(&self, options: &Options) -> Result<Opened, StoreError> {
        self.contained(|| {
            self.make_if_missing(options)?;
            let is_odd = matches!(self, Self::Directory(directory) if directory.left_open() >= LEFT_OPEN);
            self.open_there(options, options.verify || is_odd, &Missed::default())
        })
    }

    /// Opens the store that was there before, leaving out a number for each event missed meanwhile.
    pub(super) fn reopen(
        &self,
        options: &Options,
        why: ErrorKind,
        missed: &Missed,
    ) -> Result<Opened, StoreError> {
        self.contained(|| self.open_there(options, why == ErrorKind::Damaged, missed))
    }

    /// Notes that the store was closed.
    pub(super) fn closed(&self) {
        if let Self::Directory(directory) = self {
            directory.close();
        }
    }

    fn contained(&self, open: impl FnOnce() -> Result<Opened, StoreError>) -> Result<Opened, StoreError> {
        // redb checks what it reads, and asserts what it believes: a file damaged in the right place can make it panic.
        let opened = contain(open).unwrap_or_else(|panic| Err(broken(Operation::Open, &panic)));
        opened.map_err(|error| at(error, &self.name()))
    }

    fn make_if_missing(&self, options: &Options) -> Result<(), StoreError> {
        let Self::Directory(directory) = self else { return Ok(()) };
        if directory.has_file()? {
            return Ok(());
        }
        directory.make_file(|file| {
            let backend = FileBackend::new(file).map_err(failed(Operation::Open))?;
            make(&builder(options).create_with_backend(backend).map_err(failed(Operation::Open))?)
        })
    }

    fn open_there(&self, options: &Options, verify: bool, missed: &Missed) -> Result<Opened, StoreError> {
        let mut builder = builder(options);
        builder.set_check_integrity_on_open(verify);
        let database = match self {
            Self::Directory(directory) => {
                let backend = FileBackend::new(directory.open_file()?).map_err(failed(Operation::Open))?;
                builder.create_with_backend(backend).map_err(failed(Operation::Open))?
            }
            Self::Disks(disks) => {
                let disk = disks.open().map_err(failed(Operation::Open))?;
                let database = builder.create_with_backend(disk).map_err(failed(Operation::Open))?;
                make(&database)?;
                database
            }
        };
        load(database, missed)
    }
}

fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder
}

/// Makes the tables of a new store; leaves those of an old one.
fn make(database: &Database) -> Result<(), StoreError> {
    const DOING: Operation = Operation::Open;
    let read = database.begin_read().map_err(failed(DOING))?;
    if read.list_tables().map_err(failed(DOING))?.next().is_some() {
        return Ok(());
    }
    drop(read);
    let epoch = Epoch::random().map_err(failed(DOING))?;
    let mut txn = database.begin_write().map_err(failed(DOING))?;
    {
        let mut meta = txn.open_table(META).map_err(failed(DOING))?;
        for (name, value) in [(FORMAT, FORMAT_HERE), (EPOCH, epoch.to_bits()), (FLOOR, 0), (NEXT_ID, 1)] {
            meta.insert(name, value).map_err(failed(DOING))?;
        }
        txn.open_table(TOPICS).map_err(failed(DOING))?;
        txn.open_table(EVENTS).map_err(failed(DOING))?;
    }
    txn.set_quick_repair(true);
    txn.commit().map_err(failed(DOING))
}

/// Reads what is held in memory, and settles what a crash has left open.
fn load(database: Database, missed: &Missed) -> Result<Opened, StoreError> {
    const DOING: Operation = Operation::Open;
    let read = database.begin_read().map_err(failed(DOING))?;
    let meta = read.open_table(META).map_err(failed(DOING))?;
    let number = |name| match meta.get(name) {
        Ok(Some(value)) => Ok(value.value()),
        Ok(None) => Err(StoreError::new(ErrorKind::Damaged, DOING, format!("no {name} in the file"))),
        Err(error) => Err(failed(DOING)(error)),
    };
    let format = number(FORMAT)?;
    if format != FORMAT_HERE {
        let message = format!("the file has form {format}, this version reads form {FORMAT_HERE}");
        return Err(StoreError::new(ErrorKind::Version, DOING, message));
    }
    let epoch = Epoch::from_bits(number(EPOCH)?);
    let mut topics = Topics::new(number(FLOOR)?, number(NEXT_ID)?);
    let rows = read.open_table(TOPICS).map_err(failed(DOING))?;
    for row in rows.iter().map_err(failed(DOING))? {
        let (name, row) = row.map_err(failed(DOING))?;
        topics.load(name.value(), row.value())?;
    }
    drop((meta, rows, read));
    let holes = settle(&database, &mut topics, missed)?;
    Ok(Opened { database, epoch, topics, holes })
}

/// Goes on behind the leases that were not given back.
fn settle(database: &Database, topics: &mut Topics, missed: &Missed) -> Result<usize, StoreError> {
    const DOING: Operation = Operation::Open;
    let mut open: BTreeSet<u32> = topics.give_up_leases().into_iter().collect();
    open.extend(missed.skip(topics));
    if open.is_empty() {
        return Ok(0);
    }
    let mut txn = database.begin_write().map_err(failed(DOING))?;
    write_rows(&txn, topics, &open, DOING)?;
    txn.set_quick_repair(true);
    txn.commit().map_err(failed(DOING))?;
    Ok(open.len())
}

/// Writes the rows of some topics.
fn write_rows(
    txn: &redb::WriteTransaction,
    topics: &Topics,
    ids: &BTreeSet<u32>,
    doing: Operation,
) -> Result<(), StoreError> {
    let mut rows = txn.open_table(TOPICS).map_err(failed(doing))?;
    for topic in ids.iter().filter_map(|id| topics.at(*id)) {
        rows.insert(&*topic.name, topic.row()).map_err(failed(doing))?;
    }
    Ok(())
}

/// Gives the leases back and ends the database: what is in it is synced.
pub(super) fn close(database: Database, topics: &mut Topics) -> Result<(), StoreError> {
    const DOING: Operation = Operation::Close;
    let closed = contain(|| {
        let open = topics.return_leases().into_iter().collect();
        let mut txn = database.begin_write().map_err(failed(DOING))?;
        write_rows(&txn, topics, &open, DOING)?;
        txn.set_durability(Durability::Immediate).map_err(failed(DOING))?;
        txn.set_quick_repair(true);
        txn.commit().map_err(failed(DOING))?;
        database.close().map_err(failed(DOING))
    });
    closed.unwrap_or_else(|panic| Err(broken(DOING, &panic)))
}

/// Says that redb panicked.
pub(super) fn broken(doing: Operation, panic: &str) -> StoreError {
    StoreError::new(ErrorKind::Damaged, doing, format!("the file cannot be right: {panic}"))
}

/// Turns redb's errors into ours.
pub(super) fn failed<E: Into<redb::Error>>(doing: Operation) -> impl FnOnce(E) -> StoreError {
    move |error| translated(error.into(), doing)
}

fn translated(error: redb::Error, doing: Operation) -> StoreError {
    match error {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::caused(ErrorKind::Damaged, doing, "the file is not one of ours", error)
        }
        redb::Error::Io(error) => StoreError::caused(ErrorKind::Io, doing, "the system refused", error),
        redb::Error::DatabaseAlreadyOpen => {
            StoreError::new(ErrorKind::InUse, doing, "the file is in use by another process")
        }
        redb::Error::UpgradeRequired(version) => {
            let message = format!("the file is of redb's form {version}, which this version does not read");
            StoreError::new(ErrorKind::Version, doing, message)
        }
        error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            StoreError::new(ErrorKind::Unavailable, doing, error.to_string())
        }
        error => StoreError::new(ErrorKind::Damaged, doing, error.to_string()),
    }
}

/// Says which file an error is about.
fn at(error: StoreError, place: &str) -> StoreError {
    let (kind, doing) = (error.kind(), error.operation());
    if error.to_string().contains(place) { error } else { StoreError::caused(kind, doing, place, error) }
}
