//! The verdicts: facts in, one [`Check`] out.

use super::{
    Check, Facts, Needs, Status,
    facts::{Limit, Trial},
};

/// The checks, in the order they matter.
pub(super) const ALL: [fn(&Facts, &Needs) -> Check; 7] =
    [kernel, io_uring, memlock, nofile, cores, backlog, migration];

/// Oldest kernel with all the ring uses (DEFER_TASKRUN).
const OLDEST: (u32, u32) = (6, 1);

/// First kernel that charges the memory of rings to RLIMIT_MEMLOCK again.
const CHARGES_RINGS: (u32, u32) = (6, 14);

/// glommio refuses to start below this soft limit, whatever it needs (0.9.0, `Reactor::new`).
const HOST_MIN_BYTES: u64 = 512 * 1024;

/// What one shard locks, measured on 6.18 in steps of 4 KiB: the host's three rings and its registered buffers
/// 320 KiB, our ring with its entries for 1024 receive buffers 284 KiB.
const SHARD_BYTES: u64 = 604 * 1024;

/// What one shard locks at least: the host without registered buffers 160 KiB, our ring at its smaller size 84 KiB.
const SHARD_MIN_BYTES: u64 = 244 * 1024;

/// A server that may open fewer than this serves no crowd.
const FEW_CONNECTIONS: u64 = 10_000;

/// Below this even the listeners, rings and files of the server itself are at risk.
const FEWEST_FILES: u64 = 256;

fn kernel(facts: &Facts, needs: &Needs) -> Check {
    let found = format!("Linux {}", facts.release);
    match version(&facts.release) {
        Some(version) if version >= OLDEST => ok("kernel", found),
        Some(_) => {
            let fix = "the io_uring engine needs Linux 6.1 or newer".into();
            Check { name: "kernel", status: missing_engine(needs), found, fix: Some(fix) }
        }
        None => warn("kernel", found, "its version cannot be read; Linux 6.1 or newer is needed"),
    }
}

fn io_uring(facts: &Facts, needs: &Needs) -> Check {
    let (step, errno) = match facts.trial {
        Trial::Works => return ok("io_uring", "works: ring, provided buffers, multishot receive".into()),
        Trial::NotBuilt => return ok("io_uring", "not in this build".into()),
        Trial::Failed { step, errno } => (step, errno),
    };
    let cause = std::io::Error::from_raw_os_error(errno);
    let (why, fix) = io_uring_refused(facts, errno);
    let instead = if needs.fallback { "; the epoll engine serves instead" } else { "" };
    let found = format!("{step} failed: {cause}{why}{instead}");
    Check { name: "io_uring", status: missing_engine(needs), found, fix: Some(fix) }
}

/// Says why io_uring is refused, and what helps.
fn io_uring_refused(facts: &Facts, errno: i32) -> (String, String) {
    let disabled = facts.io_uring_disabled.unwrap_or(0);
    let filtered = field(&facts.status, "Seccomp:") == Some("2");
    match errno {
        libc::EPERM if disabled >= 2 => (
            ": kernel.io_uring_disabled = 2 forbids it to everybody".into(),
            "sysctl -w kernel.io_uring_disabled=0".into(),
        ),
        libc::EPERM if disabled == 1 && !filtered => {
            let group = facts.io_uring_group.filter(|group| *group >= 0);
            let member = group.map_or("no group is set".into(), |group| format!("group {group} may"));
            let fix = "add the user to the group of kernel.io_uring_group, or sysctl -w kernel.io_uring_disabled=0";
            (
                format!(
                    ": kernel.io_uring_disabled = 1 forbids it to users outside kernel.io_uring_group ({member})"
                ),
                fix.into(),
            )
        }
        libc::EPERM | libc::EACCES | libc::ENOSYS if filtered => (
            ": a seccomp filter is active, as container runtimes set one".into(),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the profile (Docker: --security-opt \
             seccomp=profile.json; Kubernetes: securityContext.seccompProfile)"
                .into(),
        ),
        libc::EPERM | libc::EACCES => {
            (String::new(), "a security module (SELinux, AppArmor) forbids it: see its audit log".into())
        }
        libc::ENOSYS => (String::new(), "this kernel has no io_uring: one with CONFIG_IO_URING, 6.1 or newer".into()),
        libc::ENOMEM => (
            format!(": locked memory is limited to {}", bytes(facts.memlock.soft)),
            format!("raise it: {RAISE_MEMLOCK}; or raise the cgroup's memory limit"),
        ),
        libc::EINVAL => (String::new(), "this kernel is too old for the features used: Linux 6.1 or newer".into()),
        libc::EMFILE | libc::ENFILE => (String::new(), "raise the limit of open files (ulimit -n)".into()),
        _ => (String::new(), "see the system's error".into()),
    }
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
        let fix = format!("glommio wants 512 KiB before it starts: {RAISE_MEMLOCK}");
        return Check { name: "memlock", status: missing_engine(needs), found, fix: Some(fix) };
    }
    if charged && below(hard, shards * SHARD_MIN_BYTES) {
        let fix = format!(
            "{shards} shards lock {} at least: {RAISE_MEMLOCK}; or fewer --shards",
            bytes(Some(shards * SHARD_MIN_BYTES))
        );
        return Check { name: "memlock", status: missing_engine(needs), found, fix: Some(fix) };
    }
    if charged && below(hard, shards * SHARD_BYTES) {
        let want = bytes(Some(shards * SHARD_BYTES));
        return warn(
            "memlock",
            found,
            &format!("{shards} shards want {want} for full-size rings: {RAISE_MEMLOCK}"),
        );
    }
    ok("memlock", found)
}

fn nofile(facts: &Facts, _needs: &Needs) -> Check {
    let Limit { soft, hard } = facts.nofile;
    let Some(limit) = hard else { return ok("nofile", format!("soft {}, hard unlimited", count(soft))) };
    // As the server's default limit: a fifth is left for everything else.
    let connections = limit / 5 * 4;
    let found = format!("soft {}, hard {limit}: at most {connections} connections", count(soft));
    let fix = "raise it: LimitNOFILE=1048576 in the systemd unit, --ulimit nofile=1048576 for Docker, or limits.conf";
    match limit {
        _ if limit < FEWEST_FILES => {
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
        _ if shards > cpus => {
            warn("cores", found, &format!("shards would share cores: --shards {cpus} at most"))
        }
        Some(quota) if (shards as f64) > quota => {
            let fits = (quota.floor() as usize).max(1);
            let fix = format!(
                "the cgroup would stop busy shards part of the time: --shards {fits}, or a larger quota"
            );
            warn("cores", found, &fix)
        }
        _ => ok("cores", found),
    }
}

fn backlog(facts: &Facts, needs: &Needs) -> Check {
    let want = u64::from(needs.backlog);
    let Some(most) = facts.somaxconn else {
        return ok("backlog", "net.core.somaxconn cannot be read".into());
    };
    let found = format!("net.core.somaxconn = {most}, the backlog is {want}");
    if most >= want {
        return ok("backlog", found);
    }
    warn(
        "backlog",
        found,
        &format!("bursts of connections would be dropped earlier: sysctl -w net.core.somaxconn={want}"),
    )
}

fn migration(facts: &Facts, _needs: &Needs) -> Check {
    match facts.tcp_migrate_req {
        Some(0) => warn(
            "migration",
            "net.ipv4.tcp_migrate_req = 0".into(),
            "a connection that arrives in the instant its shard stops listening is reset instead of moved to \
             another listener: sysctl -w net.ipv4.tcp_migrate_req=1",
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

/// What it means that io_uring cannot be used.
fn missing_engine(needs: &Needs) -> Status {
    if needs.fallback { Status::Warn } else { Status::Fail }
}

/// Reads `major.minor` off a kernel release.
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
