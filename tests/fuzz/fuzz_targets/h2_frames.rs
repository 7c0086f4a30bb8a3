//! Arbitrary bytes after a client's preface have the same events and output if they are received at once and
//! in two pieces.
#![no_main]

#[path = "../h2_server.rs"]
mod h2_server;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, frames)) = data.split_first() else { return };
    let input = [&h2_server::PREFACE[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0], frames].concat();
    let cut = usize::from(cut) % (input.len() + 1);
    assert_eq!(h2_server::run(&[&input]), h2_server::run(&[&input[..cut], &input[cut..]]));
});
