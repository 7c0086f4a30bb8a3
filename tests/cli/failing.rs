//! A shard of the running binary fails: its thread's system call for events is made to fail from outside.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use crate::common::{Serving, eventually};

/// System calls with which a shard waits for events, on either engine.
const WAITS: &str = "io_uring_enter,epoll_wait,epoll_pwait,epoll_pwait2";

/// Returns the number of the thread with this name.
fn thread_named(process: u32, name: &str) -> String {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads = threads.map(|thread| thread.unwrap());
    let is_wanted = |path: &std::path::Path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let found = threads.find(|thread| is_wanted(&thread.path())).expect("the thread exists");
    found.file_name().into_string().unwrap()
}

/// Makes every wait of a thread fail with `EBADF`. Returns `None` if `strace` is not installed.
fn fail_waits(thread: &str) -> Option<Child> {
    let inject = format!("inject={WAITS}:error=EBADF");
    let arguments = ["-p", thread, "-o", "/dev/null", "-e", &format!("trace={WAITS}"), "-e", &inject];
    Command::new("strace").args(arguments).stderr(Stdio::null()).spawn().ok()
}

#[test]
fn a_failed_shard_ends_the_process_with_status_1() {
    for engine in ["io_uring", "epoll"] {
        let mut serving = Serving::start(&["--engine", engine]);
        // Interrupting the wait makes the thread wait anew.
        let Some(mut strace) = fail_waits(&thread_named(serving.id(), "windlass-1")) else { return };
        eventually("the shard fails or strace may not trace", || {
            serving.has("shard failed") || strace.try_wait().unwrap().is_some()
        });
        let status = serving.ended();
        let _ = strace.kill();
        strace.wait().unwrap();
        let lines = serving.lines();
        assert_eq!(status.code(), Some(1), "{engine}: {lines:?}");
        for words in ["a shard has failed, stopping", "drain complete", "windlass: shard 1: "] {
            assert!(serving.has(words), "{engine}: {words}: {lines:?}");
        }
    }
}
