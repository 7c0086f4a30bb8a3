//! The example is run, not only compiled.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

#[path = "../examples/counter.rs"]
mod counter;

#[test]
fn the_counter_example_runs_to_its_end() {
    counter::main().unwrap();
}
