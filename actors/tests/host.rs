//! Hosts that cannot start say why, and do not panic or hang.
#![cfg(feature = "glommio")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::{
    env,
    process::{Command, Output},
};

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use windlass_actors::{Cores, Host, System};

const CHILD: &str = "WINDLASS_ACTORS_CHILD";

/// Runs the test called `name` again in a process of its own.
fn child(name: &str) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap()
}

fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Tries to start two shards on glommio and prints the outcome; then does it on tokio.
fn try_to_start() {
    let start = |host| System::builder().host(host).cores(Cores::Unpinned(2)).start();
    match start(Host::Glommio) {
        Ok(_) => println!("glommio started"),
        Err(error) => println!("refused: {error}"),
    }
    assert!(start(Host::Tokio).is_ok());
}

fn printed(name: &str) -> String {
    let output = child(name);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    text
}

#[test]
fn too_little_locked_memory_is_named() {
    if is_child() {
        let little = Some(64 * 1024);
        setrlimit(Resource::Memlock, Rlimit { current: little, maximum: little }).unwrap();
        return try_to_start();
    }
    let text = printed("too_little_locked_memory_is_named");
    assert!(text.contains("refused: shard 0: cannot start: glommio: "), "{text}");
    assert!(text.contains("shard 1: cannot start: glommio: "), "{text}");
    assert!(text.to_lowercase().contains("memlock"), "{text}");
}

#[test]
fn a_forbidden_io_uring_is_told_and_tokio_serves() {
    if is_child() {
        let rules = [(libc::SYS_io_uring_setup, vec![])].into_iter().collect();
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let arch = env::consts::ARCH.try_into().unwrap();
        let filter: BpfProgram =
            SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap().try_into().unwrap();
        apply_filter(&filter).unwrap();
        return try_to_start();
    }
    let text = printed("a_forbidden_io_uring_is_told_and_tokio_serves");
    assert!(text.contains("refused: shard 0: cannot start: glommio: "), "{text}");
}
