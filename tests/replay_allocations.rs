//! What an append to the memory store costs the allocator: nothing beyond its event.
//!
//! A binary of its own, since it replaces the allocator.
#![allow(clippy::unwrap_used)]

mod counting;

use bytes::Bytes;
use windlass::replay::{Append, MemoryStore, ReplayStore, Retention, StoreLimits};

const APPENDS: u64 = 10_000;

/// Counts the allocations of so many appends to a full ring.
fn allocations(store: &MemoryStore, event: impl Fn() -> Append) -> u64 {
    let round = || (0..APPENDS).for_each(|_| assert!(store.append(event(), Box::new(|_| ())).is_ok()));
    round();
    let before = counting::allocations();
    round();
    counting::allocations() - before
}

/// One test, because everything else in the process would be counted too.
#[test]
fn an_append_allocates_nothing_of_its_own() {
    let store = MemoryStore::new(Retention::default(), StoreLimits::default()).unwrap();
    let shared = allocations(&store, || Append::new("topic", "an event that is there already").name("name"));
    let fresh = allocations(&store, || Append::new("topic", Bytes::copy_from_slice(b"an event of its own")));
    println!("allocations of {APPENDS} appends: shared bytes {shared}, own bytes {fresh}");
    // A few belong to the test's harness, which runs beside it.
    assert!(shared <= 8, "an append allocates: {shared} in {APPENDS}");
    assert!(fresh <= APPENDS + 8, "an append allocates more than its event: {fresh} in {APPENDS}");
}
