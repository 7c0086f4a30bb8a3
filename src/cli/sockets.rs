//! Listening sockets that the service manager passes to this process, see sd_listen_fds(3).

use std::{env, os::fd::OwnedFd, process};

use listenfd::ListenFd;

use super::listeners::{Listener, Socket};
use windlass::Listen;

/// A passed socket.
struct Passed {
    /// `FileDescriptorName=` of the socket unit, by default the unit's name.
    name: String,
    address: Listen,
    socket: OwnedFd,
}

/// Replaces the listeners `systemd` and `systemd:NAME` by listeners at the addresses of the passed sockets.
/// Returns the listeners and the sockets they use. Other passed sockets are closed.
///
/// Call it before the process has other threads, because it removes the variables from the environment.
///
/// # Errors
///
/// A listener needs a socket that was not passed, or a passed socket is no listening TCP or Unix socket.
pub(super) fn resolve(listeners: Vec<Listener>) -> Result<(Vec<Listener>, Vec<OwnedFd>), String> {
    if listeners.iter().all(|listener| matches!(listener.socket, Socket::Bound(_))) {
        return Ok((listeners, Vec::new()));
    }
    let passed = passed()?;
    let sockets: Vec<_> = listeners.iter().map(|listener| listener.socket.clone()).collect();
    let names: Vec<_> = sockets.iter().filter_map(|socket| socket.name().map(str::to_owned)).collect();
    if let Some(missing) = names.iter().find(|name| !passed.iter().any(|passed| passed.name == **name)) {
        let passed: Vec<_> = passed.iter().map(|passed| passed.name.as_str()).collect();
        return Err(format!(
            "systemd:{missing}: no socket with this name (FileDescriptorName) was passed; passed names: {}",
            passed.join(", ")
        ));
    }
    let mut resolved = Vec::new();
    for listener in listeners {
        let matches = |passed: &&Passed| match &listener.socket {
            Socket::Bound(_) => false,
            // All sockets that no other listener names.
            Socket::Systemd(None) => !names.contains(&passed.name),
            Socket::Systemd(Some(name)) => passed.name == *name,
        };
        let addresses: Vec<_> = passed.iter().filter(matches).map(|passed| passed.address.clone()).collect();
        match &listener.socket {
            Socket::Bound(_) => resolved.push(listener),
            Socket::Systemd(_) => resolved.extend(addresses.into_iter().map(|address| listener.at(address))),
        }
    }
    let uses_others = sockets.contains(&Socket::Systemd(None));
    let is_used = |passed: &Passed| uses_others || names.contains(&passed.name);
    Ok((resolved, passed.into_iter().filter(is_used).map(|passed| passed.socket).collect()))
}

/// Takes all passed sockets.
fn passed() -> Result<Vec<Passed>, String> {
    const FIX: &str = "start the server with a .socket unit or systemd-socket-activate";
    if env::var_os("LISTEN_FDS").is_none() {
        return Err(format!("listen systemd: no sockets were passed (LISTEN_FDS is not set): {FIX}"));
    }
    let (receiver, own) = (env::var("LISTEN_PID").unwrap_or_default(), process::id());
    if receiver != own.to_string() {
        return Err(format!(
            "listen systemd: the sockets were passed to process '{receiver}' (LISTEN_PID), but this is \
             process {own}: a wrapper must exec the server instead of forking"
        ));
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut fds = ListenFd::from_env();
    if fds.len() == 0 {
        return Err(format!("listen systemd: LISTEN_FDS is 0: {FIX}"));
    }
    (0..fds.len()).map(|index| take(&mut fds, index, names.next().unwrap_or_default())).collect()
}

fn take(fds: &mut ListenFd, index: usize, name: String) -> Result<Passed, String> {
    let invalid = |reason: &dyn std::fmt::Display| {
        format!("listen systemd: passed socket {index} ('{name}'): {reason}")
    };
    let tcp = fds.take_tcp_listener(index).map(|tcp| tcp.map(OwnedFd::from));
    let taken = tcp.or_else(|_| fds.take_unix_listener(index).map(|unix| unix.map(OwnedFd::from)));
    let socket = match taken {
        Ok(Some(socket)) => socket,
        Ok(None) => return Err(invalid(&"the descriptor is missing")),
        Err(_) => return Err(invalid(&"expected a listening TCP or Unix stream socket")),
    };
    let address = Listen::of(&socket).map_err(|error| invalid(&error))?;
    Ok(Passed { name, address, socket })
}
