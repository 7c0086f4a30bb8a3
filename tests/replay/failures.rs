//! DiskOpener that fill up, files that are not ours, files that are damaged.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use windlass::replay::{
    Append, Continuity, Durability, ErrorKind, Operation, ReplayStore, Start, StoreError,
    durable::{DiskOpener, DurableStore, ErrorHook, Options},
};

use crate::{
    common::{Random, Scratch, append, held, page, rounds, seed},
    disk::Platter,
};

fn noting() -> (Options, Arc<Mutex<Vec<StoreError>>>) {
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
    let (mut options, errors) = noting();
    options.buffered_interval = Duration::from_secs(3600);
    let platter = Platter::default();
    let store = DurableStore::open_on(platter.disks(), options).unwrap();
    store.append_blocking(fsynced("safe")).unwrap();
    // A lease for the next, which shall be lost.
    append(&store, "topic", "safe too, it took the lease");
    let lost = append(&store, "topic", "lost");
    assert_eq!(held(&store, "topic").len(), 3);

    platter.refuse(Some(io::ErrorKind::StorageFull));
    let error = store.append_blocking(fsynced("refused")).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Io, Operation::Append), "{error}");
    assert!(error.to_string().contains("no storage space"), "{error}");
    let error = store.append_blocking(fsynced("refused")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Io), "{error:?}");
    assert!(platter.refused() > 0);

    platter.refuse(None);
    let begun = Instant::now();
    let back = loop {
        match store.append_blocking(fsynced("back")) {
            Ok(appended) => break appended.position,
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(20), "the store does not recover"),
        }
        std::thread::yield_now();
    };
    assert!(back.seq() > lost.seq(), "{back} after {lost}");
    assert_eq!(held_all(&store), ["safe", "safe too, it took the lease", "back"]);
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

/// Reads over the gaps that lie between.
fn held_all(store: &DurableStore) -> Vec<String> {
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

/// Whoever fans out hands on what was not to be fsynced, without an id: it is in nobody's history.
#[test]
fn an_append_below_fsynced_that_failed_is_a_gap() {
    let platter = Platter::default();
    let store = DurableStore::open_on(platter.disks(), Options::default()).unwrap();
    let last = store.append_blocking(fsynced("safe")).unwrap().position;
    platter.refuse(Some(io::ErrorKind::StorageFull));
    let buffered = || Append::new("topic", "not in the history").durability(Durability::Buffered);
    for _ in 0..3 {
        store.append_blocking(buffered()).unwrap_err();
    }
    platter.refuse(None);
    let begun = Instant::now();
    while store.counters().reopened == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the store does not recover");
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
fn a_sync_that_nobody_waits_for_tells_its_failure() {
    let (mut options, errors) = noting();
    options.buffered_interval = Duration::from_millis(1);
    let platter = Platter::default();
    let store = DurableStore::open_on(platter.disks(), options).unwrap();
    store.append_blocking(Append::new("topic", "a").durability(Durability::Buffered)).unwrap();
    store.flush_blocking().unwrap();
    platter.refuse(Some(io::ErrorKind::Other));
    drop(store.append_blocking(Append::new("topic", "b").durability(Durability::Buffered)));
    let begun = Instant::now();
    while errors.lock().unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody was told");
        std::thread::yield_now();
    }
    assert!(store.flush_blocking().is_err());
    assert!(store.close().is_err(), "closing cannot have gone well");
}

#[test]
fn a_file_that_is_not_ours_is_named_and_left_alone() {
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
fn a_path_that_cannot_be_is_named() {
    let error = DurableStore::open(Path::new("/dev/null/data"), Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("/dev/null/data"), "{error}");
}

#[test]
fn an_empty_file_and_a_half_made_one_are_made_anew() {
    let scratch = Scratch::new("half");
    fs::write(scratch.path().join("replay.redb"), b"").unwrap();
    fs::write(scratch.path().join("replay.redb.new"), b"half a file").unwrap();
    let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
    append(&store, "topic", "a");
    drop(store);
    assert_eq!(held(&DurableStore::open(scratch.path(), Options::default()).unwrap(), "topic"), ["a"]);
}

#[test]
fn a_file_replaced_while_in_use_is_not_taken_for_ours() {
    let (mine, other) = (Platter::default(), Platter::default());
    drop(DurableStore::open_on(other.disks(), Options::default()).unwrap());
    let current = Arc::new(Mutex::new(mine.clone()));
    let (options, errors) = noting();
    let opened = Arc::clone(&current);
    let disks = DiskOpener::new(move || Ok(Box::new(opened.lock().unwrap().clone())));
    let store = DurableStore::open_on(disks, options).unwrap();
    store.append_blocking(fsynced("a")).unwrap();
    *current.lock().unwrap() = other;
    mine.refuse(Some(io::ErrorKind::Other));
    store.append_blocking(fsynced("b")).unwrap_err();
    let begun = Instant::now();
    let is_told = || errors.lock().unwrap().iter().any(|error| error.to_string().contains("replaced"));
    while !is_told() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody was told");
        std::thread::yield_now();
    }
    store.append_blocking(fsynced("c")).unwrap_err();
}

/// Whatever bytes of the file are changed: a checked opening refuses it, or what it gives is right.
#[test]
fn damage_is_found_by_a_check_and_never_a_panic() {
    let mut random = Random::new(seed());
    let platter = Platter::default();
    let mut options = Options::default();
    (options.readers, options.verify) = (1, true);
    let store = DurableStore::open_on(platter.disks(), options.clone()).unwrap();
    for number in 0..300 {
        append(&store, "topic", &format!("event {number}"));
    }
    let whole = held_all(&store);
    drop(store);
    let (mut refused, mut opened) = (0, 0);
    for _ in 0..rounds() * 60 {
        let copy = platter.survivor(&mut Random::new(0));
        let most = 1 + random.below(200);
        let changes = 1 + random.below(most);
        copy.damage(|image| damage(image, changes, &mut random));
        match DurableStore::open_on(copy.disks(), options.clone()) {
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Version), "{error:?}");
                refused += 1;
            }
            Ok(store) => {
                assert_eq!(held_all(&store), whole);
                store.append_blocking(fsynced("after the damage")).unwrap();
                opened += 1;
            }
        }
    }
    println!("{refused} refused, {opened} opened");
    assert!(refused > 0);
}

/// Changes bytes where pages are in use: the first ones.
fn damage(image: &mut [u8], changes: usize, random: &mut Random) {
    let reach = image.len().min(200_000);
    for _ in 0..changes {
        let at = random.below(reach);
        image[at] = image[at].wrapping_add(u8::try_from(1 + random.below(255)).unwrap());
    }
}

/// A file that ends the process each time it is used is looked at more closely in the end.
#[test]
fn a_file_left_open_again_and_again_is_checked() {
    let scratch = Scratch::new("left");
    let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
    for number in 0..300 {
        append(&store, "topic", &format!("event {number}"));
    }
    drop(store);
    let path = scratch.path().join("replay.redb");
    let mut image = fs::read(&path).unwrap();
    // In the middle of an event: nobody notices but who checks.
    let at = image.windows(9).position(|bytes| bytes == b"event 250").unwrap();
    image[at] = b'E';
    fs::write(&path, &image).unwrap();
    assert_eq!(held_all(&DurableStore::open(scratch.path(), Options::default()).unwrap()).len(), 300);
    fs::write(scratch.path().join("replay.lock"), "1 3\n").unwrap();
    let error = DurableStore::open(scratch.path(), Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}
