//! Looks a name up: opens the file, checks what it is, and reads it if it is small. May block, so it runs on
//! the pool.

use std::{
    io::{self, ErrorKind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use rustix::io::Errno;

use super::{
    coding::Coding,
    disk::{FileKind, FileStat, FileSystem, OpenedFile},
    entry::{Content, Entry, Found, OpenFile, OpenFiles, Representation},
    settings::Settings,
};

/// Number of times that a small file is read if it changes meanwhile.
const READS: usize = 3;

/// Pause between two logged errors of the same route.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// Maximum number of open files of a route. Further requests for files that are not small get 503.
const OPEN_FILES: usize = 4096;

/// Looks files up for one route.
pub(super) struct Lookup {
    files: Box<dyn FileSystem>,
    pub(super) settings: Settings,
    open: Arc<OpenFiles>,
    /// Time of the last logged error.
    logged: Mutex<Option<Instant>>,
}

impl Lookup {
    pub(super) fn new(files: Box<dyn FileSystem>, settings: Settings) -> Self {
        Self { files, settings, open: Arc::default(), logged: Mutex::default() }
    }

    /// Looks up a name. One that is empty or ends with a slash is that of a directory, whose index file is
    /// returned. `known` is an earlier result for the name, whose content is reused if the file is the same.
    pub(super) fn find(&self, name: &str, known: Option<&Entry>) -> Found {
        let found = if name.is_empty() || name.ends_with('/') {
            let indexes = self.settings.index.iter().map(|index| format!("{name}{index}"));
            let found = indexes.map(|file| self.find_file(&file, known));
            found.into_iter().find(|found| !matches!(found, Found::Missing)).unwrap_or(Found::Missing)
        } else {
            self.find_file(name, known)
        };
        match (&found, self.settings.fallback_for(name)) {
            (Found::Missing, Some(fallback)) => self.find_file(fallback, known),
            _ => found,
        }
    }

    fn find_file(&self, name: &str, known: Option<&Entry>) -> Found {
        self.load(name, known).unwrap_or_else(|found| found)
    }

    fn load(&self, name: &str, known: Option<&Entry>) -> Result<Found, Found> {
        let plain = self.representation(name, known.map(|known| &known.plain))?;
        let mut coded = Vec::new();
        if self.settings.precompressed {
            for coding in Coding::ALL {
                let same = |(other, _): &&(Coding, Representation)| *other == coding;
                let known = known.and_then(|known| known.coded.iter().find(same)).map(|(_, known)| known);
                let file = format!("{name}{}", coding.suffix());
                // A compressed file that is older than the original is that of an earlier one.
                match self.representation(&file, known) {
                    Ok(each) if each.stat.modified >= plain.stat.modified => coded.push((coding, each)),
                    Ok(_) | Err(Found::Missing | Found::Directory | Found::Forbidden) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        let content_type = self.settings.content_type_of(name);
        let cache_control = self.settings.cache_control_of(name);
        Ok(Found::File(Arc::new(Entry { content_type, cache_control, plain, coded })))
    }

    fn representation(&self, name: &str, known: Option<&Representation>) -> Result<Representation, Found> {
        let file = self.files.open(name).map_err(|error| self.failed(name, &error))?;
        let now = SystemTime::now();
        let stat = file.stat().map_err(|error| self.failed(name, &error))?;
        match stat.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Found::Directory),
            FileKind::Other => return Err(Found::Missing),
        }
        if let Some(known) = known.filter(|known| known.stat == stat && known.validators.is_strong) {
            return Ok(known.clone());
        }
        if stat.len_bytes <= self.settings.cache_file_bytes as u64 {
            let max_bytes = self.settings.cache_file_bytes as u64;
            let (stat, bytes) =
                read(file.as_ref(), stat, max_bytes).map_err(|error| self.failed(name, &error))?;
            return Ok(Representation::new(stat, Content::Cached(bytes), now));
        }
        let count = self.open.add(OPEN_FILES).ok_or(Found::Unavailable("open_files"))?;
        let open = Arc::new(OpenFile::new(file, stat, count));
        Ok(Representation::new(stat, Content::Open(open), now))
    }

    /// Returns the result for a file that cannot be opened or read. Logs an error of the system, at most once
    /// a second.
    fn failed(&self, name: &str, error: &io::Error) -> Found {
        const LOOP: i32 = Errno::LOOP.raw_os_error();
        const XDEV: i32 = Errno::XDEV.raw_os_error();
        const NO_DEVICE: i32 = Errno::NXIO.raw_os_error();
        match (error.kind(), error.raw_os_error()) {
            (ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename, _) => {
                Found::Missing
            }
            // Links that lead out of the root or in a circle, and sockets.
            (_, Some(LOOP | XDEV | NO_DEVICE)) => Found::Missing,
            (ErrorKind::PermissionDenied, _) => Found::Forbidden,
            (ErrorKind::WouldBlock, _) => Found::Unavailable("changing"),
            _ => {
                let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
                if logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
                    *logged = Some(Instant::now());
                    let what = "cannot read a static file, answering 503: check the disk";
                    tracing::error!(%error, ?name, "{what}");
                }
                Found::Unavailable("io")
            }
        }
    }
}

/// Reads a whole file of at most `max_bytes`. Returns its state and its content. Starts again if the file
/// changes meanwhile.
fn read(file: &dyn OpenedFile, mut stat: FileStat, max_bytes: u64) -> io::Result<(FileStat, Bytes)> {
    for _ in 0..READS {
        let mut content = vec![0; usize::try_from(stat.len_bytes).unwrap_or(0)];
        let mut at = 0;
        while at < content.len() {
            match file.read_at(&mut content[at..], at as u64)? {
                0 => break,
                count => at += count,
            }
        }
        let after = file.stat()?;
        if at == content.len() && after == stat {
            return Ok((stat, content.into()));
        }
        if after.len_bytes > max_bytes {
            break;
        }
        stat = after;
    }
    Err(io::Error::new(ErrorKind::WouldBlock, "the file is being changed"))
}
