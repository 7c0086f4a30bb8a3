//! The example runs, and does not only compile.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "../examples/counter.rs"]
mod counter;

#[test]
fn the_counter_example_runs_to_its_end() {
    counter::main().unwrap();
}
