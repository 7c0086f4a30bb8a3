//! A host that cannot start returns an error with the cause. It neither panics nor hangs.
#![cfg(feature = "glommio")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::{
    env,
    process::{Command, Output},
};

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use windlass_actors::{Cores, Host, System};

const CHILD: &str = "WINDLASS_ACTORS_CHILD";

/// Runs the test `name` again in a child process.
fn child(name: &str) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap()
}

fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Starts two shards on glommio and prints the outcome. Then starts two shards on tokio.
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
fn too_little_locked_memory_is_reported() {
    if is_child() {
        let little = Some(64 * 1024);
        setrlimit(Resource::Memlock, Rlimit { current: little, maximum: little }).unwrap();
        return try_to_start();
    }
    let text = printed("too_little_locked_memory_is_reported");
    assert!(text.contains("refused: shard 0: cannot start: glommio: "), "{text}");
    assert!(text.contains("shard 1: cannot start: glommio: "), "{text}");
    assert!(text.to_lowercase().contains("memlock"), "{text}");
}

#[test]
fn a_forbidden_io_uring_is_reported_and_tokio_still_works() {
    if is_child() {
        let rules = [(libc::SYS_io_uring_setup, vec![])].into_iter().collect();
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let arch = env::consts::ARCH.try_into().unwrap();
        let filter: BpfProgram =
            SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap().try_into().unwrap();
        apply_filter(&filter).unwrap();
        return try_to_start();
    }
    let text = printed("a_forbidden_io_uring_is_reported_and_tokio_still_works");
    assert!(text.contains("refused: shard 0: cannot start: glommio: "), "{text}");
}
