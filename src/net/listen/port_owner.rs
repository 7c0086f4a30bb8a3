//! The process that listens on a port, read from `/proc` for the "address in use" error.

use std::{fs, path::Path};

/// The state of a listening socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTENING: &str = "0A";

/// Maximum number of processes searched. It bounds the time on a machine with many processes.
const MAX_PROCESSES: usize = 20_000;

/// The owner of a TCP port, as far as this process may see it.
pub(super) struct Owner {
    pub(super) description: String,
    pub(super) is_this_process: bool,
}

/// Finds the process that listens on a TCP port, and describes it.
pub(super) fn find(port: u16) -> Owner {
    let inodes: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let other = |description: &str| Owner { description: description.to_owned(), is_this_process: false };
    if inodes.is_empty() {
        return other(
            "the process that uses this port is not visible: its socket does not listen, or is in another \
             network namespace",
        );
    }
    let Some((pid, name)) = process_with(&inodes) else {
        return other("a process of another user listens on this port");
    };
    let is_this_process = pid == std::process::id();
    let itself = if is_this_process { " itself" } else { "" };
    Owner { description: format!("process {pid} ({name}){itself} listens on this port"), is_this_process }
}

/// Returns the inodes of the sockets that listen on `port`. `table` is the text of `/proc/net/tcp` or
/// `/proc/net/tcp6`.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    let inode = |line: &str| {
        // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode (proc(5))
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        (local == port && *fields.get(3)? == LISTENING).then(|| fields.get(9)?.parse().ok())?
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// Returns the id and the name of a process that has one of these sockets open.
fn process_with(inodes: &[u64]) -> Option<(u32, String)> {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes.take(MAX_PROCESSES) {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds =
            |path: &Path| fs::read_link(path).is_ok_and(|to| wanted.iter().any(|socket| to == *socket));
        if descriptors.flatten().any(|descriptor| holds(&descriptor.path())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().escape_debug().to_string()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 777 1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1
   garbage
";

    #[test]
    fn only_listeners_on_the_port_are_found() {
        assert_eq!(listening_inodes(TABLE, 8080), [12345]);
        assert_eq!(listening_inodes(TABLE, 22), [99]);
        assert_eq!(listening_inodes(TABLE, 50000), [0; 0]);
        assert_eq!(listening_inodes("", 22), [0; 0]);
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let Owner { description, is_this_process } = find(listener.local_addr().unwrap().port());
            assert!(description.contains(&format!("process {} (", std::process::id())), "{description}");
            assert!(is_this_process);
        }
    }
}
