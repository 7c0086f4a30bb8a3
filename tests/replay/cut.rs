//! A power cut at any moment loses nothing that was acknowledged as fsynced, and no position comes twice.
//!
//! A kill leaves the page cache; here the disk forgets what was not synced, whole or in part.

use std::{sync::mpsc, time::Duration};

use windlass::replay::{
    Append, Durability, ReplayStore,
    durable::{DurableStore, Options},
};

use crate::{
    common::{Random, rounds, seed},
    disk::Platter,
    oracle::Oracle,
};

/// Stores per round, and lives of each.
const STORES: u64 = 60;
const LIVES: usize = 6;
const TOPICS: [&str; 3] = ["a", "b", "c"];

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
        let mut platter = Platter::default();
        // The first life of a store begins with its file in place: making one is `files`' affair, by renaming.
        drop(DurableStore::open_on(platter.disks(), options.clone()).unwrap());
        let mut number = 0;
        for _ in 0..LIVES {
            if random.below(4) > 0 {
                platter.cut_after(random.below(120));
            }
            live(&platter, &options, &mut oracle, &mut random, &mut number);
            cuts += usize::from(platter.is_cut());
            platter = platter.survivor(&mut random);
        }
        let store = DurableStore::open_on(platter.disks(), options).unwrap();
        oracle.judge(&store, &mut random);
        acknowledged += oracle.acknowledged();
    }
    println!("{cuts} power cuts, {acknowledged} events acknowledged");
    assert!(cuts > 100 && acknowledged > 1000, "the test tested nothing");
}

/// One life of a store: opened, judged, appended to, until the power is cut or enough was done.
fn live(platter: &Platter, options: &Options, oracle: &mut Oracle, random: &mut Random, number: &mut usize) {
    // The cut may come while the last one is being settled.
    let Ok(store) = DurableStore::open_on(platter.disks(), options.clone()) else {
        return assert!(platter.is_cut(), "a store that was cut does not open");
    };
    if !platter.is_cut() {
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| oracle.judge(&store, random)));
        // What the writer does meanwhile, on its own, may cut the power under the judge.
        if let Err(verdict) = judged
            && !platter.is_cut()
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
        if platter.is_cut() {
            return;
        }
    }
    // Half of the lives that were not cut end without a close: their disk is taken as it is.
    if random.below(2) == 0 {
        platter.cut_after(0);
    } else if store.close().is_ok() {
        oracle.flushed();
    }
}

/// Appends so many events, one after the other or all at once, and notes what is told.
fn append(
    store: &DurableStore,
    oracle: &mut Oracle,
    random: &mut Random,
    number: &mut usize,
    count: usize,
    is_one_by_one: bool,
) {
    let (told, tells) = mpsc::channel();
    let note = |oracle: &mut Oracle| {
        let (topic, data, outcome): (&str, String, Result<windlass::replay::Appended, _>) =
            tells.recv().unwrap();
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
        let (told, event) = (told.clone(), Append::new(topic, data.clone()).durability(durability));
        let done = Box::new(move |outcome| told.send((topic, data, outcome)).unwrap());
        assert!(store.append(event, done).is_ok());
        if is_one_by_one {
            note(oracle);
        }
    }
    (0..if is_one_by_one { 0 } else { count }).for_each(|_| note(oracle));
}
