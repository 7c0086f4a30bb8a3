//! I/O engine selection of the binary without io_uring.

use std::process::Command;

use crate::without_io_uring::without_io_uring;

/// Runs the binary with io_uring denied.
fn windlass(args: &'static [&'static str]) -> std::process::Output {
    without_io_uring(move || Command::new(env!("CARGO_BIN_EXE_windlass")).args(args).output().unwrap())
}

#[test]
fn the_binary_exits_with_status_2_if_the_configured_engine_cannot_run() {
    let output = windlass(&["--listen", "127.0.0.1:0", "--shards", "1", "--engine", "io_uring"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("windlass: the engine io_uring cannot run here: "), "{text}");
    assert!(last.contains("windlass doctor"), "{text}");

    let output = windlass(&["--engine", "kqueue"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("auto, io_uring or epoll") && text.lines().count() == 1, "{text}");
}

#[test]
fn doctor_only_warns_if_another_engine_can_replace_the_missing_one() {
    let output = windlass(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("warn  io_uring"), "{text}");
    assert!(!text.contains("FAIL  io_uring"), "{text}");
}
