//! `windlass doctor`: its checks, fixes, and exit status, which is 1 if a check failed and else 0.

use std::process::{Command, Output};

use crate::{
    common::{run, windlass},
    refused::without_io_uring,
};

/// Returns the status of each check, and the whole output.
fn checks(output: &Output) -> (Vec<(String, String)>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.stderr.is_empty(), "{}", output.stderr.escape_ascii());
    let mut checks = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        let mut words = line.split_whitespace();
        let status = words.next().unwrap().to_owned();
        checks.push((words.next().unwrap().to_owned(), status));
    }
    (checks, text)
}

fn status(checks: &[(String, String)], name: &str) -> String {
    checks.iter().find(|(check, _)| check == name).unwrap_or_else(|| panic!("no {name}")).1.clone()
}

#[test]
fn every_check_is_printed_with_a_fix_unless_it_is_ok() {
    let output = run(&["doctor"]);
    let (checks, text) = checks(&output);
    let names: Vec<_> = checks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["kernel", "io_uring", "memlock", "nofile", "cores", "backlog", "migration"]);
    let troubled = checks.iter().filter(|(_, status)| status != "ok").count();
    assert_eq!(
        text.lines().filter(|line| line.trim_start().starts_with("fix: ")).count(),
        troubled,
        "{text}"
    );
    let failed = checks.iter().any(|(_, status)| status == "FAIL");
    assert_eq!(output.status.code(), Some(i32::from(failed)), "{text}");
    assert_eq!(status(&checks, "io_uring"), "ok", "the server tests need io_uring: {text}");
}

#[test]
fn a_seccomp_filter_is_detected_with_its_fix() {
    let output = without_io_uring(windlass(&["doctor"]));
    let (checks, text) = checks(&output);
    assert_eq!((status(&checks, "io_uring").as_str(), output.status.code()), ("warn", Some(0)), "{text}");
    assert!(
        text.contains("the server uses epoll instead"),
        "the output must name the engine used instead: {text}"
    );
    assert!(text.contains("a seccomp filter is active") && text.contains("seccomp=profile.json"), "{text}");
}

#[test]
fn a_low_memlock_limit_is_detected_with_its_fix() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -l 64 && exec \"$0\" doctor", env!("CARGO_BIN_EXE_windlass")]);
    let output = command.output().unwrap();
    let (checks, text) = checks(&output);
    assert_eq!((status(&checks, "memlock").as_str(), output.status.code()), ("warn", Some(0)), "{text}");
    assert!(text.contains("hard 64 KiB") && text.contains("LimitMEMLOCK=infinity"), "{text}");
}

#[test]
fn a_low_descriptor_limit_is_detected() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" doctor", env!("CARGO_BIN_EXE_windlass")]);
    let (checks, text) = checks(&command.output().unwrap());
    assert_eq!(status(&checks, "nofile"), "FAIL", "{text}");
}
