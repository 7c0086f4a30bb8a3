//! Opening and reading files below a directory, behind a trait.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::{Errno, ReadWriteFlags},
};

/// Number of times that an open is tried again while another process renames folders of the path.
const RACES: usize = 16;

/// Kind of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A device, a FIFO or a socket. These are never served.
    Other,
}

/// State of an open file, as far as it tells whether the content is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Kind of the file.
    pub kind: FileKind,
    /// Length in bytes.
    pub len_bytes: u64,
    /// Device and inode.
    pub identity: (u64, u64),
    /// Time of the last change of the content: seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
}

/// Source of files. All methods may block.
pub trait FileSystem: Send + Sync + 'static {
    /// Opens a file for reading. `name` is relative, without `.`, `..` and empty segments.
    ///
    /// # Errors
    ///
    /// Those of the system. A name that leads out of the root has the error of `EXDEV`.
    fn open(&self, name: &str) -> io::Result<Box<dyn OpenedFile>>;
}

/// An open file.
pub trait OpenedFile: Send + Sync {
    /// Returns the state of the file. May block, except directly after a successful
    /// [`read_resident`](Self::read_resident).
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn stat(&self) -> io::Result<FileStat>;

    /// Reads at an offset. May block. Returns 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads at an offset what is in memory, without blocking. Returns 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// Nothing there is in memory, or the file system cannot tell.
    fn read_resident(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A directory of the system.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    resolve: ResolveFlags,
}

impl Disk {
    /// Prepares to serve the files below a directory. Symbolic links that lead out of it are not followed,
    /// and without `follow_symlinks` none is.
    ///
    /// # Errors
    ///
    /// A text: the directory cannot be opened, or the kernel lacks `openat2`.
    pub(super) fn below(root: PathBuf, follow_symlinks: bool) -> Result<Self, String> {
        let links = if follow_symlinks { ResolveFlags::empty() } else { ResolveFlags::NO_SYMLINKS };
        Self::with(root, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | links)
    }

    /// Prepares to serve files of a directory whose names the program chooses, so that links may lead out of
    /// it.
    ///
    /// # Errors
    ///
    /// See [`below`](Self::below).
    pub(super) fn trusted(root: PathBuf) -> Result<Self, String> {
        Self::with(root, ResolveFlags::NO_MAGICLINKS)
    }

    fn with(root: PathBuf, resolve: ResolveFlags) -> Result<Self, String> {
        let disk = Self { root, resolve };
        let name = disk.root.display();
        let root =
            disk.open_root().map_err(|error| format!("cannot open the directory `{name}`: {error}"))?;
        // The root itself, which any kernel with openat2 opens.
        match rustix::fs::openat2(&root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Ok(_) => Ok(disk),
            Err(Errno::NOSYS | Errno::PERM) => Err(
                "static files need the system call openat2: use Linux 5.6 or newer, and a container runtime \
                 whose seccomp filter allows it"
                    .to_owned(),
            ),
            Err(error) => Err(format!("cannot open the directory `{name}`: {error}")),
        }
    }

    /// Opens the root anew, so that a link that was switched to another directory takes effect.
    fn open_root(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(rustix::fs::CWD, &self.root, flags, Mode::empty())
    }
}

impl FileSystem for Disk {
    fn open(&self, name: &str) -> io::Result<Box<dyn OpenedFile>> {
        let root = self.open_root()?;
        // O_NONBLOCK: an open of a FIFO must not wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        for _ in 0..RACES {
            match rustix::fs::openat2(&root, Path::new(name), flags, Mode::empty(), self.resolve) {
                Ok(fd) => return Ok(Box::new(DiskFile(File::from(fd)))),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::AGAIN.into())
    }
}

/// An open file of the system.
#[derive(Debug)]
struct DiskFile(File);

impl OpenedFile for DiskFile {
    fn stat(&self) -> io::Result<FileStat> {
        let stat = rustix::fs::fstat(&self.0)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            _ => FileKind::Other,
        };
        Ok(FileStat {
            kind,
            len_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            identity: (stat.st_dev, stat.st_ino),
            modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn read_resident(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let buffers = &mut [IoSliceMut::new(buffer)];
        Ok(rustix::io::preadv2(&self.0, buffers, offset, ReadWriteFlags::NOWAIT)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_exist_is_an_error_with_its_name() {
        let error = Disk::below("/nonexistent/files".into(), true).unwrap_err();
        assert!(error.contains("`/nonexistent/files`"), "{error}");
        assert!(Disk::below("/proc/self/status".into(), true).unwrap_err().contains("directory"));
    }

    #[test]
    fn files_of_proc_are_never_resident() {
        let disk = Disk::below("/proc/self".into(), true).unwrap();
        let file = disk.open("status").unwrap();
        assert_eq!(file.stat().unwrap().kind, FileKind::Regular);
        assert!(file.read_resident(&mut [0; 10], 0).is_err());
        assert!(disk.open("root/etc/passwd").is_err(), "a magic link leads out");
    }
}
