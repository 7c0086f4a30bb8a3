//! Power cuts: no event acknowledged as fsynced is lost, and no position is used twice.
//!
//! After a kill the page cache survives; after a power cut the disk loses all or some of the unsynced
//! changes.

use std::{sync::mpsc, time::Duration};

use windlass::replay::{
    Append, Durability, ReplayStore,
    durable::{DurableStore, Options},
};

use crate::{
    common::{Random, rounds, seed},
    disk::MemoryDisk,
    kill::{check_labels, labelled},
    oracle::Oracle,
};

/// Number of stores per round, and how often each store is opened.
const STORES: u64 = 60;
const LIVES: usize = 6;
const TOPICS: [&str; 4] = ["a", "b", "c", "labels"];

fn options(random: &mut Random) -> Options {
    let mut options = Options::default();
    options.readers = 1;
    options.buffered_interval = Duration::from_millis(random.next() % 5);
    options.unsynced_events = [3, 50, 10_000][random.below(3)];
    options.cache_bytes = 1 << 20;
    options
}

#[test]
fn a_power_cut_loses_nothing_acknowledged_as_fsynced() {
    let seed = seed();
    let (mut cuts, mut acknowledged) = (0, 0);
    for round in 0..rounds() * STORES {
        let mut random = Random::new(seed + round);
        let mut options = options(&mut random);
        let mut oracle = Oracle::keeping([None, Some(20)][random.below(2)]);
        if let Some(kept) = oracle.kept {
            options.retention.events = kept;
        }
        let mut disk = MemoryDisk::default();
        // The store file exists before the first cut. The tests in `failures` cover an interrupted creation.
        drop(DurableStore::open_on(disk.disks(), options.clone()).unwrap());
        let mut number = 0;
        for _ in 0..LIVES {
            if random.below(4) > 0 {
                disk.cut_after(random.below(120));
            }
            live(&disk, &options, &mut oracle, &mut random, &mut number);
            cuts += usize::from(disk.is_cut());
            disk = disk.survivor(&mut random);
        }
        let store = DurableStore::open_on(disk.disks(), options).unwrap();
        oracle.check(&store, &mut random);
        check_labels(&store);
        acknowledged += oracle.acknowledged();
    }
    println!("{cuts} power cuts, {acknowledged} events acknowledged");
    assert!(cuts > 100 && acknowledged > 1000, "too few power cuts or events to prove anything");
}

/// Opens and checks the store, then appends until the power is cut or enough was appended.
fn live(disk: &MemoryDisk, options: &Options, oracle: &mut Oracle, random: &mut Random, number: &mut usize) {
    // The power may be cut while the store is being opened.
    let Ok(store) = DurableStore::open_on(disk.disks(), options.clone()) else {
        return assert!(disk.is_cut(), "opening may fail only after a power cut");
    };
    if !disk.is_cut() {
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| oracle.check(&store, random)));
        // The writer thread runs meanwhile and may trigger the cut during the check.
        if let Err(verdict) = judged
            && !disk.is_cut()
        {
            std::panic::resume_unwind(verdict);
        }
    }
    for _ in 0..1 + random.below(8) {
        let is_one_by_one = random.below(2) == 0;
        let count = 1 + random.below(if is_one_by_one { 5 } else { 60 });
        append(&store, oracle, random, number, count, is_one_by_one);
        if random.below(6) == 0 && store.flush_blocking().is_ok() {
            oracle.flushed();
        }
        if disk.is_cut() {
            return;
        }
    }
    // Half of the lives without a cut end without a close: the disk image is used as it is.
    if random.below(2) == 0 {
        disk.cut_after(0);
    } else if store.close().is_ok() {
        oracle.flushed();
    }
}

/// Appends `count` events, waiting for each outcome or for all at the end, and records the outcomes.
fn append(
    store: &DurableStore,
    oracle: &mut Oracle,
    random: &mut Random,
    number: &mut usize,
    count: usize,
    is_one_by_one: bool,
) {
    let (sender, outcomes) = mpsc::channel();
    let record = |oracle: &mut Oracle| {
        let (topic, data, outcome): (&str, String, Result<windlass::replay::Appended, _>) =
            outcomes.recv().unwrap();
        if let Ok(appended) = outcome {
            oracle.acknowledge(topic, &data, appended.position, appended.durability);
        }
    };
    for _ in 0..count {
        *number += 1;
        let topic = TOPICS[random.below(TOPICS.len())];
        let data = format!("{topic} {number} {}", "x".repeat(random.below(600)));
        let durability = [Durability::None, Durability::Buffered, Durability::Fsynced][random.below(3)];
        oracle.attempt(topic, &data);
        let event = match topic {
            "labels" => labelled(*number, &number.to_string(), &data),
            topic => Append::new(topic, data.clone()),
        };
        let (sender, event) = (sender.clone(), event.durability(durability));
        let done = Box::new(move |outcome| sender.send((topic, data, outcome)).unwrap());
        assert!(store.append(event, done).is_ok());
        if is_one_by_one {
            record(oracle);
        }
    }
    (0..if is_one_by_one { 0 } else { count }).for_each(|_| record(oracle));
}
