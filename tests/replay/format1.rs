//! Files of format 1 are migrated, and a migration that is interrupted continues.
//!
//! The two files were written by the last version with format 1: topics with up to 20 events, with and
//! without names, fsynced and buffered. `format1-closed.redb` was closed. `format1-killed.redb` is a copy of
//! the open file after its last sync, so it has leases.

use std::{collections::BTreeMap, fs};

use windlass::replay::{
    Append, Continuity, Durability, Epoch, Position, Query, ReplayStore, Start,
    durable::{DurableStore, Options},
};

use crate::{
    common::{Random, Scratch, rounds, seed},
    disk::MemoryDisk,
};

const CLOSED: &[u8] = include_bytes!("format1-closed.redb");
const KILLED: &[u8] = include_bytes!("format1-killed.redb");
const EPOCH: u64 = 0x8bb6_a82e_8bff_db1b;

fn options() -> Options {
    let mut options = Options::default();
    options.retention.events = 20;
    (options.readers, options.cache_bytes) = (1, 1 << 20);
    options
}

/// Names and data of the events of a topic, by number.
type Events = BTreeMap<u64, (Option<String>, String)>;

fn read(store: &DurableStore, topic: &'static str) -> Events {
    let page = store.read_blocking(Query::new(topic, Start::Earliest)).unwrap();
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let events = page.events.iter().map(|event| {
        assert_eq!(event.labels.as_slice(), [topic], "the only label is the topic's name");
        assert_eq!(event.position.epoch(), Epoch::from_bits(EPOCH));
        (event.position.seq(), (event.name.as_ref().map(text), text(&event.data)))
    });
    events.collect()
}

fn numbered(name: Option<&str>, prefix: &str, numbers: std::ops::Range<u64>) -> Events {
    let event = |number| (number + 1, (name.map(str::to_owned), format!("{prefix} {number}")));
    numbers.map(event).collect()
}

/// Asserts that the store holds what the fixtures hold.
fn check(store: &DurableStore) {
    let mut news = numbered(None, "news", 0..10);
    for (seq, (name, _)) in &mut news {
        *name = ((seq - 1) % 3 == 0).then(|| "headline".to_owned());
    }
    assert_eq!(read(store, "news"), news);
    assert_eq!(read(store, "prices/gold"), numbered(None, "gold", 10..30));
    assert_eq!(read(store, "prices/tin"), numbered(Some(""), "tin", 0..3));
    let binary = (Some("bytes".to_owned()), "\u{0}\u{1}\u{2}".to_owned());
    assert_eq!(read(store, "binary"), Events::from([(1, binary)]));
    assert_eq!(read(store, "empty"), Events::from([(1, (None, String::new()))]));
    let before = Position::new(Epoch::from_bits(EPOCH), 4);
    let page = store.read_blocking(Query::new("prices/gold", Start::After(before))).unwrap();
    assert!(
        matches!(page.continuity, Continuity::Gap(gap) if gap.from.seq() == 5 && gap.to.seq() == 10),
        "{page:?}"
    );
}

#[test]
fn a_file_of_format_1_is_migrated_with_its_positions() {
    for (image, next_gold) in [(CLOSED, Some(31)), (KILLED, None)] {
        let scratch = Scratch::new("format1");
        fs::write(scratch.path().join("replay.redb"), image).unwrap();
        for reopened in 0..2 {
            let store = DurableStore::open(scratch.path(), options()).unwrap();
            check(&store);
            assert_eq!(store.crash_gaps() > 0, next_gold.is_none() && reopened == 0);
            store.close().unwrap();
        }
        let store = DurableStore::open(scratch.path(), options()).unwrap();
        let fsynced = |log: &'static str| {
            let append = Append::new(log, "new").durability(Durability::Fsynced);
            store.append_blocking(append).unwrap().position.seq()
        };
        assert_eq!(fsynced("news"), 11, "fsynced events need no lease");
        let gold = fsynced("prices/gold");
        assert!(next_gold.map_or(gold > 31, |next| gold == next), "{gold}");
    }
}

#[test]
fn a_migration_that_loses_power_continues() {
    let seed = seed();
    let mut cuts = 0;
    for round in 0..rounds() * 40 {
        let mut random = Random::new(seed + round);
        let mut disk = MemoryDisk::default();
        disk.damage(|image| *image = KILLED.to_vec());
        for _ in 0..3 {
            disk.cut_after(random.below(60));
            drop(DurableStore::open_on(disk.disks(), options()));
            cuts += usize::from(disk.is_cut());
            disk = disk.survivor(&mut random);
        }
        check(&DurableStore::open_on(disk.disks(), options()).unwrap());
    }
    assert!(cuts > 20, "too few power cuts to prove anything: {cuts}");
}
