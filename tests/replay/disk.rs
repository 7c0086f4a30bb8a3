//! An in-memory disk that can lose power and can fail writes.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use windlass::replay::durable::{Disk, DiskOpener};

use crate::common::Random;

/// Bytes that a disk writes atomically.
const SECTOR: usize = 512;

/// A disk that keeps synced data apart from unsynced changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    /// The contents that reads see.
    live: Vec<u8>,
    /// Changes since the last sync.
    unsynced: Vec<Change>,
    /// Remaining changes and syncs until the power is cut.
    left: Option<usize>,
    is_cut: bool,
    /// Error returned for changes and syncs; reads still succeed.
    refusal: Option<io::ErrorKind>,
    refused: usize,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(len) => image.resize(*len, 0),
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(data);
            }
        }
    }

    /// Splits the change into the parts that survive a power cut independently.
    fn sectors(&self) -> Vec<Change> {
        let Self::Write(offset, data) = self else { return vec![self.clone()] };
        let first = SECTOR - offset % SECTOR;
        let (head, rest) = data.split_at(first.min(data.len()));
        let heads = std::iter::once(Self::Write(*offset, head.to_vec()));
        let rests = rest
            .chunks(SECTOR)
            .enumerate()
            .map(|(at, sector)| Self::Write(offset + head.len() + at * SECTOR, sector.to_vec()));
        heads.chain(rests).collect()
    }
}

impl MemoryDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn disks(&self) -> DiskOpener {
        let disk = self.clone();
        DiskOpener::new(move || match disk.state().is_cut {
            true => Err(power_cut()),
            false => Ok(Box::new(disk.clone())),
        })
    }

    /// Cuts the power after this many changes and syncs.
    pub(crate) fn cut_after(&self, left: usize) {
        self.state().left = Some(left);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.state().is_cut
    }

    /// Fails changes and syncs with this error from now on; `None` ends the failure.
    pub(crate) fn refuse(&self, refusal: Option<io::ErrorKind>) {
        self.state().refusal = refusal;
    }

    pub(crate) fn refused(&self) -> usize {
        self.state().refused
    }

    /// Changes the disk contents directly, as a hardware fault would.
    pub(crate) fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        change(&mut state.live);
        state.synced = state.live.clone();
        state.unsynced.clear();
    }

    /// Returns the disk after a power cut: all synced data and a random part of the unsynced changes.
    pub(crate) fn survivor(&self, random: &mut Random) -> Self {
        let state = self.state();
        let mut image = state.synced.clone();
        // The chance in percent that an unsynced change survives.
        let chance = [0, 10, 50, 90, 100][random.below(5)];
        let is_torn = random.below(2) == 0;
        for change in &state.unsynced {
            let parts = if is_torn { change.sectors() } else { vec![change.clone()] };
            parts.iter().filter(|_| random.below(100) < chance).for_each(|part| part.apply(&mut image));
        }
        let survivor = State { live: image.clone(), synced: image, ..State::default() };
        Self(Arc::new(Mutex::new(survivor)))
    }
}

fn power_cut() -> io::Error {
    io::Error::other("the power is cut")
}

impl State {
    /// Counts one change or sync, cuts the power when the count runs out, and applies the configured failure.
    fn step(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => self.is_cut = true,
            Some(left) => *left -= 1,
            None => (),
        }
        self.is_powered()?;
        if let Some(refusal) = self.refusal {
            self.refused += 1;
            return Err(refusal.into());
        }
        Ok(())
    }

    fn is_powered(&self) -> io::Result<()> {
        if self.is_cut { Err(power_cut()) } else { Ok(()) }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        self.step()?;
        change.apply(&mut self.live);
        self.unsynced.push(change);
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn len_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        state.is_powered()?;
        Ok(state.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.is_powered()?;
        let start = usize::try_from(offset).unwrap();
        let held = state.live.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(held);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state().change(Change::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().change(Change::Length(usize::try_from(len).unwrap()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let State { synced, unsynced, .. } = &mut *state;
        unsynced.drain(..).for_each(|change| change.apply(synced));
        Ok(())
    }
}
