//! Threads without io_uring, which seccomp denies as container runtimes do.

use std::thread;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// Runs `f` on a thread that may not use io_uring. Its child threads and processes inherit the restriction.
pub(crate) fn without_io_uring<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let denied = move || {
        let rules = [(libc::SYS_io_uring_setup, vec![])].into_iter().collect();
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap();
        apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        f()
    };
    thread::spawn(denied).join().unwrap()
}
