//! Resource usage of the server's process, from `/proc`.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// Resource usage of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Resident memory in bytes.
    pub(super) rss_bytes: u64,
    /// Open descriptors.
    pub(super) fds: u64,
    pub(super) threads: u64,
    /// CPU time of all threads so far, in seconds.
    pub(super) cpu_seconds: f64,
}

/// Process of this machine.
#[derive(Clone, Debug)]
pub(super) struct Process(PathBuf);

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        Self(Path::new("/proc").join(pid.to_string()))
    }

    /// Reads the resource usage. Returns `None` if the process has ended or belongs to another user.
    pub(super) fn usage(&self) -> Option<Usage> {
        let status = fs::read_to_string(self.0.join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        // A zombie has no VmRSS.
        let rss = field("VmRSS")?.trim().trim_end_matches(" kB").parse::<u64>().ok()?;
        Some(Usage {
            rss_bytes: rss * 1024,
            fds: fs::read_dir(self.0.join("fd")).ok()?.count() as u64,
            threads: field("Threads")?.trim().parse().ok()?,
            cpu_seconds: self.cpu_seconds()?,
        })
    }

    fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(self.0.join("stat")).ok()?;
        // The name, in parentheses, may contain any character. Between it and utime are 11 fields
        // (proc_pid_stat(5)).
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
        Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

/// Finds the local process that listens on a TCP address. Returns `None` if there is none, or if its
/// descriptors may not be read, as for another user's process.
pub(super) fn listening_on(address: SocketAddr) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| inode_listening(line, address).map(str::to_owned))
    })?;
    let socket = format!("socket:[{inode}]");
    let numbers =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.into_iter().find(|pid: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        let mut links =
            descriptors.into_iter().flatten().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.any(|link| link.as_os_str() == socket.as_str())
    })
}

/// Returns the inode of the socket in a line, if it listens on the address.
fn inode_listening(line: &str, address: SocketAddr) -> Option<&str> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (host, port) = local.split_once(':')?;
    let is_any = host.bytes().all(|digit| digit == b'0');
    let is_listening = state == LISTEN
        && u16::from_str_radix(port, 16) == Ok(address.port())
        && (is_any || host == hexadecimal(address.ip()) || host == hexadecimal(mapped(address.ip())));
    // After the state: queues, timer, retransmissions, user, timeout, inode.
    if is_listening { fields.nth(5) } else { None }
}

fn mapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        v6 => v6,
    }
}

/// Formats an address as in the tables: words of 32 bits in native byte order.
fn hexadecimal(ip: IpAddr) -> String {
    let octets = match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let word = |word: &[u8]| word.try_into().map_or(0, u32::from_ne_bytes);
    octets.chunks(4).map(|bytes| format!("{:08X}", word(bytes))).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found_by_its_port_and_has_usage() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let ip: IpAddr = if address.starts_with('[') { "::1" } else { "127.0.0.1" }.parse().unwrap();
            assert_eq!(listening_on((ip, port).into()), Some(std::process::id()), "{address}");
        }
        let usage = Process::new(std::process::id()).usage().unwrap();
        assert!(usage.rss_bytes > 100_000 && usage.fds >= 3 && usage.threads >= 2, "{usage:?}");
    }

    #[test]
    fn an_ended_process_has_no_usage() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = Process::new(child.id());
        child.wait().unwrap();
        assert_eq!(process.usage(), None);
    }
}
