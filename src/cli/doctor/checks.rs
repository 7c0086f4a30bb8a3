//! The checks: functions from facts to a [`Check`].

use super::{
    Check, Facts, Needs, Status,
    facts::{Limit, Trial},
};

/// All checks, in order of importance.
pub(super) const ALL: [fn(&Facts, &Needs) -> Check; 7] =
    [kernel, io_uring, memlock, nofile, cores, backlog, migration];

/// Oldest kernel that the io_uring engine supports (because of DEFER_TASKRUN).
const OLDEST_KERNEL: (u32, u32) = (6, 1);

/// First kernel that counts the memory of rings against RLIMIT_MEMLOCK again.
const CHARGES_RINGS: (u32, u32) = (6, 14);

/// Locked memory below which glommio refuses to start (0.9.0, `Reactor::new`).
const HOST_MIN_BYTES: u64 = 512 * 1024;

/// Locked memory of one shard, measured on Linux 6.18: glommio's three rings and registered buffers 320 KiB,
/// the socket ring with its 1024 receive buffers 284 KiB.
const SHARD_BYTES: u64 = 604 * 1024;

/// Least locked memory of one shard: glommio without registered buffers 160 KiB, the socket ring at its
/// smaller size 84 KiB.
const SHARD_MIN_BYTES: u64 = 244 * 1024;

/// Number of connections below which a warning is given.
const FEW_CONNECTIONS: u64 = 10_000;

/// Number of open files below which the server's own listeners, rings and files may not fit.
const MIN_FILES: u64 = 256;

fn kernel(facts: &Facts, needs: &Needs) -> Check {
    let found = format!("Linux {}", facts.release);
    match version(&facts.release) {
        Some(version) if version >= OLDEST_KERNEL => ok("kernel", found),
        Some(_) => {
            let fix = "install Linux 6.1 or newer, which the io_uring engine needs".into();
            Check { name: "kernel", status: without_io_uring(needs), found, fix: Some(fix) }
        }
        None => warn(
            "kernel",
            found,
            "check by hand that the kernel is Linux 6.1 or newer: its version is not a number",
        ),
    }
}

fn io_uring(facts: &Facts, needs: &Needs) -> Check {
    let (step, errno) = match facts.trial {
        Trial::Works => return ok("io_uring", "works: ring, provided buffers, multishot receive".into()),
        Trial::NotBuilt => return ok("io_uring", "this build has no io_uring engine".into()),
        Trial::Failed { step, errno } => (step, errno),
    };
    let cause = std::io::Error::from_raw_os_error(errno);
    let (reason, fix) = io_uring_failure(facts, errno);
    let fallback = if needs.fallback { "; the server uses epoll instead" } else { "" };
    let found = format!("{step} failed: {cause}{reason}{fallback}");
    Check { name: "io_uring", status: without_io_uring(needs), found, fix: Some(fix) }
}

/// Returns the reason why io_uring fails, and the fix.
fn io_uring_failure(facts: &Facts, errno: i32) -> (String, String) {
    let disabled = facts.io_uring_disabled.unwrap_or(0);
    let filtered = field(&facts.status, "Seccomp:") == Some("2");
    let (reason, fix) = match errno {
        libc::EPERM if disabled >= 2 => (
            ": kernel.io_uring_disabled = 2 forbids io_uring for all users".into(),
            "sysctl -w kernel.io_uring_disabled=0",
        ),
        libc::EPERM if disabled == 1 && !filtered => {
            let group = facts.io_uring_group.filter(|group| *group >= 0);
            let members = group.map_or("no group is set".into(), |group| format!("group {group}"));
            let reason =
                format!(": kernel.io_uring_disabled = 1 permits only kernel.io_uring_group ({members})");
            (
                reason,
                "set kernel.io_uring_group to a group of the user, or sysctl -w kernel.io_uring_disabled=0",
            )
        }
        libc::EPERM | libc::EACCES | libc::ENOSYS if filtered => (
            ": a seccomp filter is active, probably of a container runtime".into(),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile (Docker: \
             --security-opt seccomp=profile.json; Kubernetes: securityContext.seccompProfile)",
        ),
        libc::EPERM | libc::EACCES => (
            String::new(),
            "a security module such as SELinux or AppArmor forbids io_uring: see the audit log",
        ),
        libc::ENOSYS => {
            (String::new(), "this kernel has no io_uring: use one with CONFIG_IO_URING, 6.1 or newer")
        }
        libc::ENOMEM => {
            let reason = format!(": locked memory is limited to {}", bytes(facts.memlock.soft));
            return (
                reason,
                format!(
                    "raise the limit of locked memory: {RAISE_MEMLOCK}; or raise the cgroup's memory limit"
                ),
            );
        }
        libc::EINVAL => (String::new(), "this kernel is too old: use Linux 6.1 or newer"),
        libc::EMFILE | libc::ENFILE => {
            (String::new(), "raise the limit of open files (ulimit -n, or fs.file-max for the whole system)")
        }
        _ => {
            (String::new(), "look up this error in the manual pages io_uring_setup(2) and io_uring_enter(2)")
        }
    };
    (reason, fix.into())
}

const RAISE_MEMLOCK: &str =
    "LimitMEMLOCK=infinity in the systemd unit, --ulimit memlock=-1 for Docker, or memlock in limits.conf";

fn memlock(facts: &Facts, needs: &Needs) -> Check {
    if facts.trial == Trial::NotBuilt {
        return ok("memlock", "not needed by this build".into());
    }
    let Limit { soft, hard } = facts.memlock;
    let shards = needs.shards.unwrap_or(facts.default_shards).max(1) as u64;
    let found = format!("soft {}, hard {}, for {shards} shards", bytes(soft), bytes(hard));
    let below = |limit: Option<u64>, need: u64| limit.is_some_and(|limit| limit < need);
    let charged = !facts.may_lock && version(&facts.release).is_none_or(|version| version >= CHARGES_RINGS);
    if below(hard, HOST_MIN_BYTES) {
        let fix = format!("glommio needs 512 KiB of locked memory to start: {RAISE_MEMLOCK}");
        return Check { name: "memlock", status: without_io_uring(needs), found, fix: Some(fix) };
    }
    if charged && below(hard, shards * SHARD_MIN_BYTES) {
        let fix = format!(
            "{shards} shards need at least {} of locked memory: {RAISE_MEMLOCK}; or use fewer --shards",
            bytes(Some(shards * SHARD_MIN_BYTES))
        );
        return Check { name: "memlock", status: without_io_uring(needs), found, fix: Some(fix) };
    }
    if charged && below(hard, shards * SHARD_BYTES) {
        let want = bytes(Some(shards * SHARD_BYTES));
        return warn(
            "memlock",
            found,
            &format!("{shards} shards need {want} of locked memory for rings of full size: {RAISE_MEMLOCK}"),
        );
    }
    ok("memlock", found)
}

fn nofile(facts: &Facts, _needs: &Needs) -> Check {
    let Limit { soft, hard } = facts.nofile;
    let Some(limit) = hard else { return ok("nofile", format!("soft {}, hard unlimited", count(soft))) };
    // The server's default limit, which leaves a fifth for other files.
    let connections = limit / 5 * 4;
    let found = format!("soft {}, hard {limit}: at most {connections} connections", count(soft));
    let fix = "raise the limit of open files: LimitNOFILE=1048576 in the systemd unit, \
               --ulimit nofile=1048576 for Docker, or limits.conf";
    match limit {
        _ if limit < MIN_FILES => {
            Check { name: "nofile", status: Status::Fail, found, fix: Some(fix.into()) }
        }
        _ if connections < FEW_CONNECTIONS => warn("nofile", found, fix),
        _ => ok("nofile", found),
    }
}

fn cores(facts: &Facts, needs: &Needs) -> Check {
    let cpus = facts.allowed_cpus;
    let shards = needs.shards.unwrap_or(facts.default_shards);
    let quota = facts.quota_cpus.map_or("no cgroup quota".into(), |quota| format!("cgroup quota {quota:.2}"));
    let found = format!("{cpus} CPUs allowed, {quota}: {shards} shards");
    match facts.quota_cpus {
        _ if shards > cpus => warn(
            "cores",
            found,
            &format!("use at most --shards {cpus}; otherwise several shards share a core"),
        ),
        Some(quota) if (shards as f64) > quota => {
            let fits = (quota.floor() as usize).max(1);
            let fix = format!(
                "use --shards {fits}, or raise the quota; otherwise the cgroup throttles busy shards"
            );
            warn("cores", found, &fix)
        }
        _ => ok("cores", found),
    }
}

fn backlog(facts: &Facts, needs: &Needs) -> Check {
    let want = u64::from(needs.backlog);
    let Some(max) = facts.somaxconn else {
        return ok("backlog", "net.core.somaxconn cannot be read".into());
    };
    let found = format!("net.core.somaxconn = {max}, the backlog is {want}");
    if max >= want {
        return ok("backlog", found);
    }
    warn(
        "backlog",
        found,
        &format!(
            "sysctl -w net.core.somaxconn={want}; otherwise the kernel drops connections in large bursts"
        ),
    )
}

fn migration(facts: &Facts, _needs: &Needs) -> Check {
    match facts.tcp_migrate_req {
        Some(0) => warn(
            "migration",
            "net.ipv4.tcp_migrate_req = 0".into(),
            "sysctl -w net.ipv4.tcp_migrate_req=1; otherwise connections that are queued when a listener \
             closes are reset",
        ),
        Some(value) => ok("migration", format!("net.ipv4.tcp_migrate_req = {value}")),
        None => ok("migration", "net.ipv4.tcp_migrate_req cannot be read".into()),
    }
}

fn ok(name: &'static str, found: String) -> Check {
    Check { name, status: Status::Ok, found, fix: None }
}

fn warn(name: &'static str, found: String, fix: &str) -> Check {
    Check { name, status: Status::Warn, found, fix: Some(fix.into()) }
}

/// Returns the result of a check that finds io_uring unusable.
fn without_io_uring(needs: &Needs) -> Status {
    if needs.fallback { Status::Warn } else { Status::Fail }
}

/// Parses `major.minor` of a kernel release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Returns a field of `/proc/*/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn bytes(limit: Option<u64>) -> String {
    match limit {
        None => "unlimited".into(),
        Some(bytes) if bytes >= 10 << 20 => format!("{} MiB", bytes >> 20),
        Some(bytes) => format!("{} KiB", bytes >> 10),
    }
}

fn count(limit: Option<u64>) -> String {
    limit.map_or("unlimited".into(), |limit| limit.to_string())
}
