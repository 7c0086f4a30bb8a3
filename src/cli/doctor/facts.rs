//! The state of the system that the checks need.

use std::{fs, num::NonZero, path::Path};

use rustix::{
    process::{Resource, getrlimit},
    thread::{CapabilitySet, capabilities, sched_getaffinity},
};

/// A limit of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Limit in force. `None` is unlimited.
    pub(crate) soft: Option<u64>,
    /// Maximum to which the process may raise it. `None` is unlimited.
    pub(crate) hard: Option<u64>,
}

impl Limit {
    fn of(resource: Resource) -> Self {
        let limit = getrlimit(resource);
        Self { soft: limit.current, hard: limit.maximum }
    }
}

/// Result of trying io_uring.
#[cfg_attr(not(feature = "io-uring"), allow(dead_code, reason = "only the engine can be tried"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// Everything that a shard needs works.
    Works,
    /// A step failed.
    Failed {
        /// The step.
        step: &'static str,
        /// The error number, or 0 if the system gave none.
        errno: i32,
    },
    /// This build has no io_uring engine.
    NotBuilt,
}

/// State of a system as one thread sees it. `None`: the value cannot be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub(crate) struct Facts {
    /// Kernel release, as from `uname -r`.
    pub(crate) release: String,
    /// Result of trying io_uring.
    pub(crate) trial: Trial,
    /// `kernel.io_uring_disabled`. It does not exist before Linux 6.6.
    pub(crate) io_uring_disabled: Option<u64>,
    /// `kernel.io_uring_group`.
    pub(crate) io_uring_group: Option<i64>,
    /// `/proc/thread-self/status`.
    pub(crate) status: String,
    /// The thread has CAP_IPC_LOCK, so its locked memory is not limited.
    pub(crate) may_lock: bool,
    /// RLIMIT_MEMLOCK, bytes.
    pub(crate) memlock: Limit,
    /// RLIMIT_NOFILE.
    pub(crate) nofile: Limit,
    /// Number of CPUs that this thread may run on.
    pub(crate) allowed_cpus: usize,
    /// CPU quota of the cgroup, in CPUs. `None`: there is no quota.
    pub(crate) quota_cpus: Option<f64>,
    /// Number of shards that the server starts by default.
    pub(crate) default_shards: usize,
    /// `net.core.somaxconn`.
    pub(crate) somaxconn: Option<u64>,
    /// `net.ipv4.tcp_migrate_req`.
    pub(crate) tcp_migrate_req: Option<u64>,
}

impl Facts {
    /// Reads the facts, and tries io_uring on the calling thread.
    pub(crate) fn read() -> Self {
        let allowed_cpus = sched_getaffinity(None).map_or(1, |set| set.count() as usize);
        let available = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            trial: try_io_uring(),
            io_uring_disabled: sysctl("kernel/io_uring_disabled"),
            io_uring_group: sysctl("kernel/io_uring_group"),
            // Of the thread, because a seccomp filter may apply to single threads.
            status: fs::read_to_string("/proc/thread-self/status").unwrap_or_default(),
            may_lock: capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK)),
            memlock: Limit::of(Resource::Memlock),
            nofile: Limit::of(Resource::Nofile),
            allowed_cpus,
            quota_cpus: cgroup_quota(),
            default_shards: allowed_cpus.min(available),
            somaxconn: sysctl("net/core/somaxconn"),
            tcp_migrate_req: sysctl("net/ipv4/tcp_migrate_req"),
        }
    }
}

#[cfg(feature = "io-uring")]
fn try_io_uring() -> Trial {
    match windlass::net::ring::probe() {
        Ok(()) => Trial::Works,
        Err(error) => Trial::Failed { step: error.step, errno: error.cause.raw_os_error().unwrap_or(0) },
    }
}

#[cfg(not(feature = "io-uring"))]
fn try_io_uring() -> Trial {
    Trial::NotBuilt
}

fn sysctl<T: std::str::FromStr>(name: &str) -> Option<T> {
    fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

/// Returns the smallest CPU quota of this process's cgroup and its ancestors, of versions 2 and 1.
fn cgroup_quota() -> Option<f64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let root = Path::new("/sys/fs/cgroup");
    let v2 = group_of(&membership, "").into_iter().flat_map(|group| quotas_up(root, &group, quota_v2));
    let v1 = ["cpu", "cpu,cpuacct"].into_iter().flat_map(|controller| {
        let group = group_of(&membership, "cpu").unwrap_or_default();
        quotas_up(&root.join(controller), &group, quota_v1)
    });
    v2.chain(v1).reduce(f64::min)
}

/// Returns the path of this process's cgroup for `controller`, or of version 2 for "" (cgroups(7)).
pub(super) fn group_of(membership: &str, controller: &str) -> Option<String> {
    membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then(|| path.trim_start_matches('/').to_owned())
    })
}

fn quotas_up(root: &Path, group: &str, read: fn(&Path) -> Option<f64>) -> Vec<f64> {
    let full = root.join(group);
    full.ancestors().take_while(|path| path.starts_with(root)).filter_map(read).collect()
}

fn quota_v2(group: &Path) -> Option<f64> {
    cpus_of(&fs::read_to_string(group.join("cpu.max")).ok()?)
}

fn quota_v1(group: &Path) -> Option<f64> {
    let quota = fs::read_to_string(group.join("cpu.cfs_quota_us")).ok()?;
    let period = fs::read_to_string(group.join("cpu.cfs_period_us")).ok()?;
    cpus_of(&format!("{} {}", quota.trim(), period.trim()))
}

/// Parses `quota period`, both in microseconds. `max` or -1 means no quota.
pub(super) fn cpus_of(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}
