//! Sockets the service manager opened before this process began: sd_listen_fds(3), `Sockets=` of systemd.

use std::{env, os::fd::OwnedFd, process};

use listenfd::ListenFd;

use super::listeners::{Listener, Socket};
use windlass::Listen;

/// A socket that was passed.
struct Passed {
    /// As `FileDescriptorName=` says; systemd's default is the name of the socket unit.
    name: String,
    address: Listen,
    socket: OwnedFd,
}

/// Puts the addresses of passed sockets in the place of `systemd` and `systemd:NAME`, and returns those sockets; any others
/// are closed.
///
/// To be called before there are other threads: it takes the sockets out of the environment.
///
/// # Errors
///
/// Sockets are wanted, and there are none, or not these.
pub(super) fn resolve(listeners: Vec<Listener>) -> Result<(Vec<Listener>, Vec<OwnedFd>), String> {
    if listeners.iter().all(|listener| matches!(listener.socket, Socket::Bound(_))) {
        return Ok((listeners, Vec::new()));
    }
    let passed = passed()?;
    let places: Vec<_> = listeners.iter().map(|listener| listener.socket.clone()).collect();
    let names: Vec<_> = places.iter().filter_map(|place| place.name().map(str::to_owned)).collect();
    if let Some(missing) = names.iter().find(|name| !passed.iter().any(|passed| passed.name == **name)) {
        let there: Vec<_> = passed.iter().map(|passed| passed.name.as_str()).collect();
        return Err(format!(
            "systemd:{missing}: no socket of this name was passed; there are: {}",
            there.join(", ")
        ));
    }
    let mut resolved = Vec::new();
    for listener in listeners {
        let meant = |passed: &&Passed| match &listener.socket {
            Socket::Bound(_) => false,
            // What no other listener names.
            Socket::Systemd(None) => !names.contains(&passed.name),
            Socket::Systemd(Some(name)) => passed.name == *name,
        };
        let addresses: Vec<_> = passed.iter().filter(meant).map(|passed| passed.address.clone()).collect();
        match &listener.socket {
            Socket::Bound(_) => resolved.push(listener),
            Socket::Systemd(_) => resolved.extend(addresses.into_iter().map(|address| listener.at(address))),
        }
    }
    let takes_others = places.contains(&Socket::Systemd(None));
    let used = |passed: &Passed| takes_others || names.contains(&passed.name);
    Ok((resolved, passed.into_iter().filter(used).map(|passed| passed.socket).collect()))
}

/// Takes all that was passed.
fn passed() -> Result<Vec<Passed>, String> {
    const HOW: &str = "start it through a .socket unit, or with systemd-socket-activate";
    if env::var_os("LISTEN_FDS").is_none() {
        return Err(format!("listen = systemd: no sockets were passed, LISTEN_FDS is not set; {HOW}"));
    }
    let (meant, own) = (env::var("LISTEN_PID").unwrap_or_default(), process::id());
    if meant != own.to_string() {
        return Err(format!(
            "listen = systemd: the sockets were passed to process '{meant}' (LISTEN_PID), and this is {own}: what stands \
             between must exec, not fork; {HOW}"
        ));
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut fds = ListenFd::from_env();
    if fds.len() == 0 {
        return Err(format!("listen = systemd: LISTEN_FDS says that there are no sockets; {HOW}"));
    }
    (0..fds.len()).map(|index| take(&mut fds, index, names.next().unwrap_or_default())).collect()
}

fn take(fds: &mut ListenFd, index: usize, name: String) -> Result<Passed, String> {
    let wrong =
        |why: &dyn std::fmt::Display| format!("listen = systemd: passed socket {index} ('{name}'): {why}");
    let tcp = fds.take_tcp_listener(index).map(|tcp| tcp.map(OwnedFd::from));
    let taken = tcp.or_else(|_| fds.take_unix_listener(index).map(|unix| unix.map(OwnedFd::from)));
    let socket = match taken {
        Ok(Some(socket)) => socket,
        Ok(None) => return Err(wrong(&"it is not there")),
        Err(_) => return Err(wrong(&"it is neither a TCP nor a Unix stream socket")),
    };
    let address = Listen::of(&socket).map_err(|error| wrong(&error))?;
    Ok(Passed { name, address, socket })
}
