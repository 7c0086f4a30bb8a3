//! Counts allocations per append to the memory store: none apart from the event's own bytes.
//!
//! This is a separate test binary because it replaces the global allocator.
#![allow(clippy::unwrap_used)]

mod counting;

use bytes::Bytes;
use windlass::replay::{Append, MemoryStore, ReplayStore, Retention, StoreLimits};

const APPENDS: u64 = 10_000;

/// Counts the allocations of `APPENDS` appends to a store that is already full.
fn allocations(store: &MemoryStore, event: impl Fn() -> Append) -> u64 {
    let round = || (0..APPENDS).for_each(|_| assert!(store.append(event(), Box::new(|_| ())).is_ok()));
    round();
    let before = counting::allocations();
    round();
    counting::allocations() - before
}

/// Runs as a single test, because allocations of parallel tests would be counted too.
#[test]
fn an_append_allocates_only_the_bytes_of_its_event() {
    let store = MemoryStore::new(Retention::default(), StoreLimits::default()).unwrap();
    let shared = allocations(&store, || Append::new("topic", "an event in static memory").name("name"));
    let fresh = allocations(&store, || {
        Append::new("topic", Bytes::copy_from_slice(b"an event copied for each append"))
    });
    let labelled = allocations(&store, || {
        Append::new("log", "an event in static memory").labels(["a label that is not the name of the log"])
    });
    println!(
        "allocations of {APPENDS} appends: shared bytes {shared}, own bytes {fresh}, with a label {labelled}"
    );
    // The test harness runs in the same process and accounts for a few.
    assert!(shared <= 8, "an append must not allocate: {shared} allocations in {APPENDS} appends");
    assert!(labelled <= 8, "a label must not allocate: {labelled} allocations in {APPENDS} appends");
    assert!(
        fresh <= APPENDS + 8,
        "an append may allocate its event only: {fresh} allocations in {APPENDS} appends"
    );
}
