//! Failures of the durable store: full disks, foreign files and damaged files.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use windlass::replay::{
    Append, Continuity, Durability, ErrorKind, GapReason, Operation, ReplayStore, Start, StoreError,
    durable::{DiskOpener, DurableStore, ErrorHook, Options},
};

use crate::{
    common::{Random, Scratch, append, page, rounds, seed, stored_data},
    disk::MemoryDisk,
};

fn recording_errors() -> (Options, Arc<Mutex<Vec<StoreError>>>) {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let (noted, mut options) = (Arc::clone(&errors), Options::default());
    options.on_error = ErrorHook::new(move |error: &StoreError| noted.lock().unwrap().push(error.clone()));
    (options, errors)
}

fn fsynced(data: &str) -> Append {
    Append::new("topic", data.to_owned()).durability(Durability::Fsynced)
}

#[test]
fn a_full_disk_fails_appends_until_there_is_room_and_loses_nothing_fsynced() {
    let (mut options, errors) = recording_errors();
    options.buffered_interval = Duration::from_secs(3600);
    let disk = MemoryDisk::default();
    let store = DurableStore::open_on(disk.disks(), options).unwrap();
    store.append_blocking(fsynced("safe")).unwrap();
    // The buffered append takes a lease and is synced; the one after it may be lost.
    append(&store, "topic", "safe because it took the lease");
    let lost = append(&store, "topic", "lost");
    assert_eq!(stored_data(&store, "topic").len(), 3);

    disk.refuse(Some(io::ErrorKind::StorageFull));
    let error = store.append_blocking(fsynced("refused")).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Io, Operation::Append), "{error}");
    assert!(error.to_string().contains("no storage space"), "{error}");
    let error = store.append_blocking(fsynced("refused")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Io), "{error:?}");
    assert!(disk.refused() > 0);

    disk.refuse(None);
    let begun = Instant::now();
    let back = loop {
        match store.append_blocking(fsynced("back")) {
            Ok(appended) => break appended.position,
            Err(_) => assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the store must recover once the disk has room"
            ),
        }
        std::thread::yield_now();
    };
    assert!(back.seq() > lost.seq(), "{back} after {lost}");
    assert_eq!(read_across_gaps(&store), ["safe", "safe because it took the lease", "back"]);
    let after = page(&store, "topic", Start::After(lost));
    assert!(
        matches!(after.continuity, Continuity::Gap(gap) if gap.from.seq() == lost.seq() + 1),
        "{after:?}"
    );
    let counters = store.counters();
    assert!(counters.lost >= 1 && counters.reopened >= 1, "{counters:?}");
    let told = errors.lock().unwrap();
    assert!(
        told.iter().any(|error| error.operation() == Operation::Sync && error.to_string().contains("lost"))
    );
}

/// Reads the whole topic page by page, continuing after gaps.
fn read_across_gaps(store: &DurableStore) -> Vec<String> {
    let mut query = windlass::replay::Query::new("topic", Start::Earliest);
    let mut all = Vec::new();
    loop {
        let page = store.read_blocking(query.clone()).unwrap();
        all.extend(page.events.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()));
        if !page.has_more() {
            return all;
        }
        query.start = Start::After(page.resume);
    }
}

/// The broker delivers failed appends below fsynced without an id, so the history must report them as a gap.
#[test]
fn an_append_below_fsynced_that_failed_is_a_gap() {
    let disk = MemoryDisk::default();
    let store = DurableStore::open_on(disk.disks(), Options::default()).unwrap();
    let last = store.append_blocking(fsynced("safe")).unwrap().position;
    disk.refuse(Some(io::ErrorKind::StorageFull));
    let buffered = || Append::new("topic", "not in the history").durability(Durability::Buffered);
    for _ in 0..3 {
        store.append_blocking(buffered()).unwrap_err();
    }
    disk.refuse(None);
    let begun = Instant::now();
    while store.counters().reopened == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the store must recover once the disk has room");
        std::thread::yield_now();
    }
    let next = store.append_blocking(fsynced("next")).unwrap().position;
    assert_eq!(next.seq(), last.seq() + 4);
    let missing = page(&store, "topic", Start::After(last));
    assert!(
        matches!(missing.continuity, Continuity::Gap(gap) if gap.from.seq() == 2 && gap.to.seq() == 4),
        "{missing:?}"
    );
    assert_eq!(missing.events.len(), 1);
}

#[test]
fn an_append_that_failed_while_the_file_had_no_name_is_a_gap() {
    let scratch = Scratch::new("nameless");
    let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
    let last = store.append_blocking(fsynced("safe")).unwrap().position;
    let (file, away) = (scratch.path().join("replay.redb"), scratch.path().join("away"));
    fs::rename(&file, &away).unwrap();
    let buffered = || Append::new("topic", "not in the history").durability(Durability::Buffered);
    for _ in 0..3 {
        assert_eq!(store.append_blocking(buffered()).unwrap_err().kind(), ErrorKind::Detached);
    }
    fs::rename(&away, &file).unwrap();
    let next = store.append_blocking(fsynced("next")).unwrap().position;
    assert_eq!(next.seq(), last.seq() + 4);
    let missing = page(&store, "topic", Start::After(last));
    assert!(
        matches!(missing.continuity, Continuity::Gap(gap) if gap.from.seq() == 2 && gap.to.seq() == 4),
        "{missing:?}"
    );
    drop(store);
    let reopened = DurableStore::open(scratch.path(), Options::default()).unwrap();
    assert_eq!(reopened.append_blocking(fsynced("later")).unwrap().position.seq(), last.seq() + 5);
}

#[test]
fn a_failed_background_sync_is_reported_to_the_error_hook() {
    let (mut options, errors) = recording_errors();
    options.buffered_interval = Duration::from_millis(1);
    let disk = MemoryDisk::default();
    let store = DurableStore::open_on(disk.disks(), options).unwrap();
    store.append_blocking(Append::new("topic", "a").durability(Durability::Buffered)).unwrap();
    store.flush_blocking().unwrap();
    disk.refuse(Some(io::ErrorKind::Other));
    drop(store.append_blocking(Append::new("topic", "b").durability(Durability::Buffered)));
    let begun = Instant::now();
    while errors.lock().unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the error hook must report the failed sync");
        std::thread::yield_now();
    }
    assert!(store.flush_blocking().is_err());
    assert!(store.close().is_err(), "close must report the failed sync");
}

#[test]
fn a_foreign_file_is_named_in_the_error_and_left_unchanged() {
    let scratch = Scratch::new("foreign");
    let path = scratch.path().join("replay.redb");
    let text = b"These are somebody's notes, not a database. ".repeat(100);
    fs::write(&path, &text).unwrap();
    let error = DurableStore::open(scratch.path(), Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&path).unwrap(), text);
}

#[test]
fn an_impossible_path_is_named_in_the_error() {
    let error = DurableStore::open(Path::new("/dev/null/data"), Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("/dev/null/data"), "{error}");
}

#[test]
fn empty_and_partly_created_files_are_replaced() {
    let scratch = Scratch::new("half");
    fs::write(scratch.path().join("replay.redb"), b"").unwrap();
    fs::write(scratch.path().join("replay.redb.new"), b"half a file").unwrap();
    let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
    append(&store, "topic", "a");
    drop(store);
    assert_eq!(stored_data(&DurableStore::open(scratch.path(), Options::default()).unwrap(), "topic"), ["a"]);
}

#[test]
fn a_file_replaced_while_open_is_not_adopted() {
    let (mine, other) = (MemoryDisk::default(), MemoryDisk::default());
    drop(DurableStore::open_on(other.disks(), Options::default()).unwrap());
    let current = Arc::new(Mutex::new(mine.clone()));
    let (options, errors) = recording_errors();
    let opened = Arc::clone(&current);
    let disks = DiskOpener::new(move || Ok(Box::new(opened.lock().unwrap().clone())));
    let store = DurableStore::open_on(disks, options).unwrap();
    store.append_blocking(fsynced("a")).unwrap();
    *current.lock().unwrap() = other;
    mine.refuse(Some(io::ErrorKind::Other));
    store.append_blocking(fsynced("b")).unwrap_err();
    let begun = Instant::now();
    let is_reported = || errors.lock().unwrap().iter().any(|error| error.to_string().contains("replaced"));
    while !is_reported() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the error hook must report the replaced file");
        std::thread::yield_now();
    }
    store.append_blocking(fsynced("c")).unwrap_err();
}

/// Changes random bytes of the file. Opening with verification must report damage, or the events must be
/// intact.
#[test]
fn damage_is_found_by_verification_and_causes_no_panic() {
    let mut random = Random::new(seed());
    let disk = MemoryDisk::default();
    let mut options = Options::default();
    (options.readers, options.verify) = (1, true);
    let store = DurableStore::open_on(disk.disks(), options.clone()).unwrap();
    for number in 0..300 {
        append(&store, "topic", &format!("event {number}"));
    }
    let whole = read_across_gaps(&store);
    drop(store);
    let (mut refused, mut opened) = (0, 0);
    for _ in 0..rounds() * 60 {
        let copy = disk.survivor(&mut Random::new(0));
        let most = 1 + random.below(200);
        let changes = 1 + random.below(most);
        copy.damage(|image| damage(image, changes, &mut random));
        match DurableStore::open_on(copy.disks(), options.clone()) {
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Version), "{error:?}");
                refused += 1;
            }
            Ok(store) => {
                assert_eq!(read_across_gaps(&store), whole);
                store.append_blocking(fsynced("after the damage")).unwrap();
                opened += 1;
            }
        }
    }
    println!("{refused} refused, {opened} opened");
    assert!(refused > 0);
}

/// Changes bytes among the first pages, which are in use.
fn damage(image: &mut [u8], changes: usize, random: &mut Random) {
    let reach = image.len().min(200_000);
    for _ in 0..changes {
        let at = random.below(reach);
        image[at] = image[at].wrapping_add(u8::try_from(1 + random.below(255)).unwrap());
    }
}

/// A process that crashes on every start leaves the lock file behind each time; the store then verifies the
/// file on open.
#[test]
fn a_file_left_open_three_times_is_verified() {
    let scratch = Scratch::new("left");
    let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
    for number in 0..300 {
        append(&store, "topic", &format!("event {number}"));
    }
    drop(store);
    let path = scratch.path().join("replay.redb");
    let mut image = fs::read(&path).unwrap();
    // The changed byte is inside an event. Without verification only readers of the event find it.
    let at = image.windows(9).position(|bytes| bytes == b"event 250").unwrap();
    image[at] = b'E';
    fs::write(&path, &image).unwrap();
    let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
    let read = read_across_gaps(&store);
    assert_eq!(read.len(), 299);
    assert!(!read.iter().any(|data| data.ends_with("250")));
    let before = page(&store, "topic", Start::Earliest).events[249].position;
    let after = page(&store, "topic", Start::After(before));
    assert!(
        matches!(after.continuity, Continuity::Gap(gap)
            if gap.reason == GapReason::Corrupt && gap.from == gap.to),
        "{after:?}"
    );
    assert!(store.counters().damaged > 0);
    drop(store);
    fs::write(scratch.path().join("replay.lock"), "1 3\n").unwrap();
    let error = DurableStore::open(scratch.path(), Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}
