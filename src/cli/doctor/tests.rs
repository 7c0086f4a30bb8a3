//! Checks of invented systems, and of this one with io_uring forbidden.

use super::{
    facts::{Limit, Trial, cpus_of, group_of},
    *,
};

/// A system without problems.
fn healthy() -> Facts {
    Facts {
        release: "6.12.9-generic".into(),
        trial: Trial::Works,
        io_uring_disabled: Some(0),
        io_uring_group: Some(-1),
        status: "Name:\twindlass\nSeccomp:\t0\nSeccomp_filters:\t0\n".into(),
        may_lock: false,
        memlock: Limit { soft: Some(8 << 20), hard: Some(8 << 20) },
        nofile: Limit { soft: Some(1024), hard: Some(524_288) },
        allowed_cpus: 4,
        quota_cpus: None,
        default_shards: 4,
        somaxconn: Some(4096),
        tcp_migrate_req: Some(1),
    }
}

fn find(facts: &Facts, needs: &Needs, name: &str) -> Check {
    let report = judge(facts, needs);
    let found: Vec<_> = report.checks().iter().filter(|check| check.name == name).collect();
    assert_eq!(found.len(), 1, "{name}");
    found[0].clone()
}

/// Asserts a status and words of the fix or of what was found.
fn expect(facts: &Facts, name: &str, status: Status, words: &[&str]) {
    let check = find(facts, &Needs::default(), name);
    assert_eq!(check.status, status, "{check:?}");
    assert_eq!(check.fix.is_some(), status != Status::Ok, "{check:?}");
    let text = format!("{} {}", check.found, check.fix.unwrap_or_default());
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
}

fn refused(errno: i32) -> Facts {
    Facts { trial: Trial::Failed { step: "io_uring_setup", errno }, ..healthy() }
}

#[test]
fn a_healthy_machine_is_all_ok() {
    let report = judge(&healthy(), &Needs::default());
    assert!(report.checks().iter().all(|check| check.status == Status::Ok), "{report}");
    assert_eq!(report.exit_status(), 0);
    assert_eq!(report.to_string().lines().count(), 7);
}

#[test]
fn kernels_are_compared_by_number() {
    for (release, status) in [
        ("6.1.0-13-amd64", Status::Ok),
        ("10.0", Status::Ok),
        ("5.15.0-91-generic", Status::Fail),
        ("6.0.9", Status::Fail),
        ("weird", Status::Warn),
    ] {
        expect(&Facts { release: release.into(), ..healthy() }, "kernel", status, &[release]);
    }
}

#[test]
fn each_failure_of_io_uring_has_its_own_fix() {
    let filtered = |errno| Facts { status: "Seccomp:\t2\n".into(), ..refused(errno) };
    let everybody = Facts { io_uring_disabled: Some(2), ..refused(libc::EPERM) };
    let others = Facts { io_uring_disabled: Some(1), io_uring_group: Some(1234), ..refused(libc::EPERM) };
    let cases: [(Facts, &[&str]); 9] = [
        (everybody, &["kernel.io_uring_disabled = 2", "sysctl -w kernel.io_uring_disabled=0"]),
        (others, &["kernel.io_uring_disabled = 1", "(group 1234)", "set kernel.io_uring_group"]),
        (filtered(libc::EPERM), &["seccomp filter is active", "allow io_uring_setup"]),
        (filtered(libc::ENOSYS), &["seccomp filter is active", "seccompProfile"]),
        (refused(libc::EPERM), &["security module"]),
        (refused(libc::ENOSYS), &["no io_uring", "CONFIG_IO_URING"]),
        (refused(libc::ENOMEM), &["limited to 8192 KiB", "LimitMEMLOCK", "cgroup's memory"]),
        (refused(libc::EINVAL), &["too old"]),
        (refused(libc::EMFILE), &["ulimit -n"]),
    ];
    for (facts, words) in cases {
        expect(&facts, "io_uring", Status::Fail, words);
        assert_eq!(judge(&facts, &Needs::default()).exit_status(), 1);
    }
}

#[test]
fn missing_io_uring_is_a_warning_if_epoll_can_be_used() {
    let needs = Needs { fallback: true, ..Needs::default() };
    assert_eq!(find(&refused(libc::EPERM), &needs, "io_uring").status, Status::Warn);
    assert_eq!(judge(&refused(libc::EPERM), &needs).exit_status(), 0);
}

#[test]
fn the_need_for_locked_memory_grows_with_the_shards() {
    let with = |soft: u64, hard: u64, shards, release: &str, may_lock| Facts {
        memlock: Limit { soft: Some(soft << 10), hard: Some(hard << 10) },
        default_shards: shards,
        release: release.into(),
        may_lock,
        ..healthy()
    };
    expect(&with(64, 64, 1, "6.1.0", false), "memlock", Status::Fail, &["soft 64 KiB", "512 KiB"]);
    expect(&with(64, 64, 1, "6.18.0", true), "memlock", Status::Fail, &["512 KiB"]);
    // The server raises the soft limit to the hard one.
    expect(&with(64, 8192, 4, "6.18.0", false), "memlock", Status::Ok, &[]);
    expect(&with(8192, 8192, 16, "6.18.0", false), "memlock", Status::Warn, &["16 shards need 9664 KiB"]);
    expect(&with(8192, 8192, 64, "6.18.0", false), "memlock", Status::Fail, &["fewer --shards"]);
    // Older kernels do not count rings, and privileged processes have no limit.
    expect(&with(8192, 8192, 64, "6.12.0", false), "memlock", Status::Ok, &[]);
    expect(&with(8192, 8192, 64, "6.18.0", true), "memlock", Status::Ok, &[]);
    let unlimited = Facts { memlock: Limit { soft: None, hard: None }, ..with(0, 0, 64, "6.18.0", false) };
    expect(&unlimited, "memlock", Status::Ok, &["unlimited"]);
}

#[test]
fn few_descriptors_few_cores_and_small_queues_are_reported() {
    let files = |hard| Facts { nofile: Limit { soft: Some(100), hard }, ..healthy() };
    expect(&files(Some(128)), "nofile", Status::Fail, &["LimitNOFILE"]);
    expect(&files(Some(4096)), "nofile", Status::Warn, &["at most 3276 connections"]);
    expect(&files(None), "nofile", Status::Ok, &["unlimited"]);

    expect(
        &Facts { quota_cpus: Some(1.5), default_shards: 2, ..healthy() },
        "cores",
        Status::Warn,
        &["--shards 1,"],
    );
    expect(&Facts { quota_cpus: Some(4.0), ..healthy() }, "cores", Status::Ok, &["cgroup quota 4.00"]);
    let needs = Needs { shards: Some(9), ..Needs::default() };
    assert_eq!(find(&healthy(), &needs, "cores").status, Status::Warn);

    expect(
        &Facts { somaxconn: Some(128), ..healthy() },
        "backlog",
        Status::Warn,
        &["net.core.somaxconn=4096"],
    );
    expect(&Facts { somaxconn: None, ..healthy() }, "backlog", Status::Ok, &["cannot be read"]);
    expect(
        &Facts { tcp_migrate_req: Some(0), ..healthy() },
        "migration",
        Status::Warn,
        &["tcp_migrate_req=1"],
    );
}

#[test]
fn cgroup_files_are_read() {
    assert_eq!(cpus_of("max 100000\n"), None);
    assert_eq!(cpus_of("150000 100000\n"), Some(1.5));
    assert_eq!(cpus_of("-1 100000"), None);
    assert_eq!(cpus_of("100000 0"), None);
    assert_eq!(cpus_of("nonsense"), None);
    let v1 = "4:memory:/a\n2:cpu,cpuacct:/b/c\n1:name=systemd:/\n0::/d\n";
    assert_eq!(group_of(v1, "cpu").as_deref(), Some("b/c"));
    assert_eq!(group_of(v1, "").as_deref(), Some("d"));
    assert_eq!(group_of(v1, "io"), None);
}

#[test]
fn the_table_puts_the_fix_under_what_it_fixes() {
    let text = judge(&refused(libc::ENOSYS), &Needs::default()).to_string();
    let lines: Vec<_> = text.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("FAIL  io_uring")).unwrap();
    assert!(lines[at + 1].trim_start().starts_with("fix: this kernel has no io_uring"), "{text}");
    assert_eq!(lines[at].find("io_uring_setup"), lines[at + 1].find("fix:"));
}

#[test]
fn io_uring_works_on_this_machine() {
    let report = examine(&Needs::default());
    let io_uring = report.checks().iter().find(|check| check.name == "io_uring").unwrap();
    // The other tests of this crate run on io_uring, so here it works.
    assert_eq!(io_uring.status, Status::Ok, "{report}");
}

/// io_uring forbidden in the ways that occur in practice.
#[cfg(feature = "io-uring")]
mod forbidden {
    use std::{collections::BTreeMap, thread};

    use rustix::{
        process::{Resource, Rlimit, setrlimit},
        thread::{CapabilitySet, capabilities, set_capabilities},
    };
    use seccompiler::{SeccompAction, SeccompFilter};

    use super::*;

    /// Denies `io_uring_setup` to the calling thread.
    fn deny_io_uring(errno: i32) {
        let filter = SeccompFilter::new(
            BTreeMap::from([(libc::SYS_io_uring_setup, vec![])]),
            SeccompAction::Allow,
            SeccompAction::Errno(errno as u32),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
    }

    #[test]
    fn a_seccomp_filter_is_reported() {
        for errno in [libc::EPERM, libc::ENOSYS] {
            let report = thread::spawn(move || {
                deny_io_uring(errno);
                examine(&Needs::default())
            });
            let report = report.join().unwrap();
            let check = report.checks().iter().find(|check| check.name == "io_uring").unwrap();
            assert_eq!(check.status, Status::Fail);
            assert!(
                check.found.contains("io_uring_setup failed") && check.found.contains("seccomp"),
                "{report}"
            );
            assert!(check.fix.as_ref().unwrap().contains("seccomp=profile.json"), "{report}");
            assert_eq!(report.exit_status(), 1);
        }
    }

    #[test]
    fn a_low_memlock_limit_is_reported() {
        if !crate::testing::alone("doctor::tests::forbidden::a_low_memlock_limit_is_reported") {
            return;
        }
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::IPC_LOCK);
        set_capabilities(None, sets).unwrap();
        let low = Some(16 * 1024);
        setrlimit(Resource::Memlock, Rlimit { current: low, maximum: low }).unwrap();

        let report = examine(&Needs::default());
        let find = |name| report.checks().iter().find(|check| check.name == name).unwrap();
        assert_eq!(find("memlock").status, Status::Fail, "{report}");
        assert!(find("memlock").fix.as_ref().unwrap().contains("512 KiB"), "{report}");
        assert_eq!(report.exit_status(), 1);
        // If the kernel counts rings, creating the ring fails too.
        if find("io_uring").status == Status::Fail {
            assert!(find("io_uring").found.contains("locked memory is limited to 16 KiB"), "{report}");
        }
    }
}
