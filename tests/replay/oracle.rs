//! Records the events that a store acknowledged, and checks what it holds after a crash.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use windlass::replay::{
    Continuity, Durability, Epoch, Gap, Page, Position, Query, ReplayStore, Start, Window,
};

use crate::common::Random;

/// Record of one store over all its reopenings.
#[derive(Default)]
pub(crate) struct Oracle {
    epoch: Option<Epoch>,
    topics: HashMap<String, TopicRecord>,
    /// Number of events per topic that retention keeps; `None` if unlimited.
    pub(crate) kept: Option<usize>,
}

#[derive(Default)]
struct TopicRecord {
    /// Acknowledged events by number; `true` if the event must survive.
    acknowledged: BTreeMap<u64, (String, bool)>,
    /// Data of all appends, acknowledged or not.
    attempted: BTreeSet<String>,
    /// Numbers of events that a crash or retention removed.
    gone: BTreeSet<u64>,
    /// Events read so far by number; they must not change.
    read: BTreeMap<u64, String>,
}

impl Oracle {
    /// Creates the record of a store that keeps `kept` events per topic.
    pub(crate) fn keeping(kept: Option<usize>) -> Self {
        Self { kept, ..Self::default() }
    }

    pub(crate) fn attempt(&mut self, topic: &str, data: &str) {
        assert!(
            self.topics.entry(topic.to_owned()).or_default().attempted.insert(data.to_owned()),
            "the test must append distinct data"
        );
    }

    /// Records an acknowledgement, and asserts that positions rise and their epoch stays the same.
    pub(crate) fn acknowledge(
        &mut self,
        topic: &str,
        data: &str,
        position: Position,
        durability: Durability,
    ) {
        let epoch = *self.epoch.get_or_insert(position.epoch());
        assert_eq!(epoch, position.epoch(), "the epoch must stay the same");
        let record = self.topics.entry(topic.to_owned()).or_default();
        assert!(record.attempted.contains(data), "{data} was acknowledged but never appended");
        let last = record.acknowledged.last_key_value().map_or(0, |(seq, _)| *seq);
        assert!(position.seq() > last, "{topic}: {position} was acknowledged after number {last}");
        assert!(
            !record.read.contains_key(&position.seq()),
            "{topic}: {position} was readable before it was acknowledged"
        );
        record.acknowledged.insert(position.seq(), (data.to_owned(), durability == Durability::Fsynced));
    }

    /// Records a flush: all acknowledged events that no crash has removed must survive from now on.
    pub(crate) fn flushed(&mut self) {
        for TopicRecord { acknowledged, gone, .. } in self.topics.values_mut() {
            let held = acknowledged.iter_mut().filter(|(seq, _)| !gone.contains(seq));
            held.for_each(|(_, (_, survives))| *survives = true);
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.topics.values().map(|record| record.acknowledged.len()).sum()
    }

    /// Checks a store that was just reopened.
    pub(crate) fn check(&mut self, store: &dyn ReplayStore, random: &mut Random) {
        for (topic, record) in &mut self.topics {
            let held = read(store, topic, Start::Earliest, random);
            let seqs: BTreeMap<u64, &String> = held.iter().map(|(seq, data)| (*seq, data)).collect();
            assert_eq!(seqs.len(), held.len(), "{topic}: a number was read twice");
            for (seq, (data, survives)) in &record.acknowledged {
                let newer = seqs.range(seq + 1..).count();
                let may_be_trimmed = self.kept.is_some_and(|kept| newer >= kept);
                match seqs.get(seq) {
                    Some(held) => {
                        assert_eq!(*held, data, "{topic}-{seq} holds another event than acknowledged")
                    }
                    None if *survives => {
                        assert!(may_be_trimmed, "{topic}-{seq} was acknowledged as fsynced and is lost");
                    }
                    None => drop(record.gone.insert(*seq)),
                }
            }
            let is_back = |seq: &&u64| self.kept.is_none() && seqs.contains_key(seq);
            assert_eq!(record.gone.iter().find(is_back), None, "{topic}: a lost event reappeared");
            let distinct: BTreeSet<&String> = seqs.values().copied().collect();
            assert_eq!(distinct.len(), seqs.len(), "{topic}: an event is stored twice");
            assert!(
                distinct.iter().all(|data| record.attempted.contains(*data)),
                "{topic}: an event was never appended"
            );
            for (seq, data) in &held {
                let known = record.read.entry(*seq).or_insert_with(|| data.clone());
                assert_eq!(known, data, "{topic}-{seq} changed between two reopenings");
            }
            record.check_gaps(store, topic, self.epoch, &seqs, random);
        }
    }
}

impl TopicRecord {
    /// Reads on from random acknowledged positions, and asserts that exactly the stored events follow.
    fn check_gaps(
        &self,
        store: &dyn ReplayStore,
        topic: &str,
        epoch: Option<Epoch>,
        seqs: &BTreeMap<u64, &String>,
        random: &mut Random,
    ) {
        let Some(epoch) = epoch else { return };
        let acknowledged: Vec<u64> = self.acknowledged.keys().copied().collect();
        for _ in 0..acknowledged.len().min(4) {
            let seq = acknowledged[random.below(acknowledged.len())];
            let after: Vec<u64> = read(store, topic, Start::After(Position::new(epoch, seq)), random)
                .into_iter()
                .map(|(seq, _)| seq)
                .collect();
            let held: Vec<u64> = seqs.range(seq + 1..).map(|(seq, _)| *seq).collect();
            assert_eq!(after, held, "{topic}: events after {seq}");
        }
    }
}

/// Reads the topic to its end in pages of random size, and asserts that every missing event is reported.
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
    assert!(
        seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{topic}: a page is not contiguous: {seqs:?}"
    );
    let Start::After(asked) = start else { return };
    let next = seqs.first().copied().unwrap_or(page.end.seq() + 1);
    match page.continuity {
        Continuity::Complete => {
            assert!(
                seqs.is_empty() || next == asked.seq() + 1,
                "{topic}: {next} follows {asked} without a reported gap"
            )
        }
        Continuity::Gap(Gap { from, to, .. }) => {
            assert_eq!((from.seq(), to.seq()), (asked.seq() + 1, next - 1), "{topic}")
        }
        Continuity::Reset(reset) => panic!("{topic}: {asked} was acknowledged, got {reset:?}"),
    }
    let is_end = seqs.is_empty() && page.continuity == Continuity::Complete;
    assert!(!is_end || page.end == asked, "{topic}: no event after {asked}, but the end is {}", page.end);
}
