//! Knows what a store acknowledged, and judges what it holds after a crash.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use windlass::replay::{
    Continuity, Durability, Epoch, Gap, Page, Position, Query, ReplayStore, Start, Window,
};

use crate::common::Random;

/// What was told over all lives of a store.
#[derive(Default)]
pub(crate) struct Oracle {
    epoch: Option<Epoch>,
    topics: HashMap<String, Told>,
    /// How many events of a topic retention keeps.
    pub(crate) kept: Option<usize>,
}

#[derive(Default)]
struct Told {
    /// What was acknowledged, by number, and whether it must survive.
    acknowledged: BTreeMap<u64, (String, bool)>,
    /// What was appended, acknowledged or not.
    attempted: BTreeSet<String>,
    /// What a crash took, or retention.
    gone: BTreeSet<u64>,
    /// What was read once at a number must not change.
    read: BTreeMap<u64, String>,
}

impl Oracle {
    /// Judges a store that keeps so many events of a topic.
    pub(crate) fn keeping(kept: Option<usize>) -> Self {
        Self { kept, ..Self::default() }
    }

    pub(crate) fn attempt(&mut self, topic: &str, data: &str) {
        assert!(
            self.topics.entry(topic.to_owned()).or_default().attempted.insert(data.to_owned()),
            "data comes twice"
        );
    }

    /// Notes what a completion told.
    pub(crate) fn acknowledge(
        &mut self,
        topic: &str,
        data: &str,
        position: Position,
        durability: Durability,
    ) {
        let epoch = *self.epoch.get_or_insert(position.epoch());
        assert_eq!(epoch, position.epoch(), "the epoch changed");
        let told = self.topics.entry(topic.to_owned()).or_default();
        assert!(told.attempted.contains(data), "{data} was never appended");
        let last = told.acknowledged.last_key_value().map_or(0, |(seq, _)| *seq);
        assert!(position.seq() > last, "{topic}: {position} was told after number {last}");
        assert!(
            !told.read.contains_key(&position.seq()),
            "{topic}: {position} was in a page before it was told"
        );
        told.acknowledged.insert(position.seq(), (data.to_owned(), durability == Durability::Fsynced));
    }

    /// Notes that all acknowledged so far, and not lost in an earlier crash, must survive.
    pub(crate) fn flushed(&mut self) {
        for Told { acknowledged, gone, .. } in self.topics.values_mut() {
            let held = acknowledged.iter_mut().filter(|(seq, _)| !gone.contains(seq));
            held.for_each(|(_, (_, survives))| *survives = true);
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.topics.values().map(|told| told.acknowledged.len()).sum()
    }

    /// Judges the store, just opened.
    pub(crate) fn judge(&mut self, store: &dyn ReplayStore, random: &mut Random) {
        for (topic, told) in &mut self.topics {
            let held = read(store, topic, Start::Earliest, random);
            let seqs: BTreeMap<u64, &String> = held.iter().map(|(seq, data)| (*seq, data)).collect();
            assert_eq!(seqs.len(), held.len(), "{topic}: a number comes twice");
            for (seq, (data, survives)) in &told.acknowledged {
                let newer = seqs.range(seq + 1..).count();
                let may_be_trimmed = self.kept.is_some_and(|kept| newer >= kept);
                match seqs.get(seq) {
                    Some(held) => assert_eq!(*held, data, "{topic}-{seq} is another event"),
                    None if *survives => {
                        assert!(may_be_trimmed, "{topic}-{seq} was acknowledged as safe and is gone");
                    }
                    None => drop(told.gone.insert(*seq)),
                }
            }
            let is_back = |seq: &&u64| self.kept.is_none() && seqs.contains_key(seq);
            assert_eq!(told.gone.iter().find(is_back), None, "{topic}: an event that was lost is back");
            let distinct: BTreeSet<&String> = seqs.values().copied().collect();
            assert_eq!(distinct.len(), seqs.len(), "{topic}: an event is there twice");
            assert!(
                distinct.iter().all(|data| told.attempted.contains(*data)),
                "{topic}: an event nobody appended"
            );
            for (seq, data) in &held {
                let known = told.read.entry(*seq).or_insert_with(|| data.clone());
                assert_eq!(known, data, "{topic}-{seq} changed between two openings");
            }
            told.judge_gaps(store, topic, self.epoch, &seqs, random);
        }
    }
}

impl Told {
    /// From any position ever told the store goes on, telling exactly what is missing.
    fn judge_gaps(
        &self,
        store: &dyn ReplayStore,
        topic: &str,
        epoch: Option<Epoch>,
        seqs: &BTreeMap<u64, &String>,
        random: &mut Random,
    ) {
        let Some(epoch) = epoch else { return };
        let told: Vec<u64> = self.acknowledged.keys().copied().collect();
        for _ in 0..told.len().min(4) {
            let seq = told[random.below(told.len())];
            let after: Vec<u64> = read(store, topic, Start::After(Position::new(epoch, seq)), random)
                .into_iter()
                .map(|(seq, _)| seq)
                .collect();
            let held: Vec<u64> = seqs.range(seq + 1..).map(|(seq, _)| *seq).collect();
            assert_eq!(after, held, "{topic}: events after {seq}");
        }
    }
}

/// Reads a topic to its end, in pages of any size, holding that nothing is missing unannounced.
fn read(store: &dyn ReplayStore, topic: &str, start: Start, random: &mut Random) -> Vec<(u64, String)> {
    let mut query = Query::new(topic.to_owned(), start);
    let mut events = Vec::new();
    loop {
        query.window = Window { events: 1 + random.below(100), ..Window::default() };
        let page = store.read_blocking(query.clone()).unwrap();
        assert_joins(topic, query.start, &page);
        events.extend(
            page.events
                .iter()
                .map(|event| (event.position.seq(), String::from_utf8(event.data.to_vec()).unwrap())),
        );
        if !page.has_more() {
            return events;
        }
        query.start = Start::After(page.resume);
    }
}

fn assert_joins(topic: &str, start: Start, page: &Page) {
    let seqs: Vec<u64> = page.events.iter().map(|event| event.position.seq()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{topic}: a page with a break: {seqs:?}");
    let Start::After(asked) = start else { return };
    let next = seqs.first().copied().unwrap_or(page.end.seq() + 1);
    match page.continuity {
        Continuity::Complete => {
            assert!(seqs.is_empty() || next == asked.seq() + 1, "{topic}: {asked} then {next}, no gap")
        }
        Continuity::Gap(Gap { from, to }) => {
            assert_eq!((from.seq(), to.seq()), (asked.seq() + 1, next - 1), "{topic}")
        }
        Continuity::Reset(reset) => panic!("{topic}: {asked} was told and is {reset:?}"),
    }
    let is_end = seqs.is_empty() && page.continuity == Continuity::Complete;
    assert!(!is_end || page.end == asked, "{topic}: nothing after {asked}, the end is {}", page.end);
}
