//! Listening sockets: made, checked and explained when they cannot be.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::OwnedFd,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{address::Listen, port_owner};

/// Tries to bind and listen while the address is in use.
const ATTEMPTS: u32 = 8;

/// Wait after the first try, doubled after each further one: seven waits, 31.75 ms in all. A restart needs that
/// long until the kernel gave up the sockets of the process before.
const FIRST_WAIT: Duration = Duration::from_micros(250);

/// How listening sockets are made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Connections the kernel queues until they are accepted; it caps this at `net.core.somaxconn`. 4096.
    pub backlog: u32,
    /// Refuse IPv4 on an IPv6 address. `None`: as `net.ipv6.bindv6only` says, usually no.
    pub v6_only: Option<bool>,
    /// Send small segments at once (TCP_NODELAY); accepted sockets inherit it. True: responses leave as one batch.
    pub no_delay: bool,
    /// Bytes the kernel holds of what a slow peer has not taken (SO_SNDBUF; it doubles this). `None`: it decides, up to
    /// some megabytes for each.
    pub send_buffer: Option<usize>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 4096, v6_only: None, no_delay: true, send_buffer: None }
    }
}

/// One address, bound: a listening socket for each shard. Dropping it removes a Unix socket's file.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Socket>,
    address: Listen,
    retries: u32,
    _file: Option<SocketFile>,
}

impl Bound {
    /// Returns the address in use; never port 0.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Returns how often binding was tried again because the address was in use.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Takes the sockets out, one for each shard. Further calls return none.
    pub fn take_sockets(&mut self) -> Vec<Socket> {
        std::mem::take(&mut self.sockets)
    }
}

/// Binds an address for `shards` shards and listens on it.
///
/// TCP: one socket for each shard, among which the kernel spreads connections (SO_REUSEPORT). The first one binds
/// and listens *without* that option and gets it then, because with it a second server of the same user would bind
/// silently and take part of the traffic. So a port somebody listens on is always an error here, without a race.
///
/// Unix: one socket, shared by all shards. A socket file that nobody listens behind is replaced.
///
/// Only "address in use" is tried again, 8 times with 7 waits under 64 ms in all. Blocks that long.
///
/// # Errors
///
/// The system refuses; the error says what, who holds the address, and what to do.
pub fn bind(listen: &Listen, shards: usize, options: &ListenOptions) -> Result<Bound, BindError> {
    let mut attempt = 1;
    let mut wait = FIRST_WAIT;
    loop {
        let bound = match listen {
            Listen::Tcp(address) => bind_tcp(*address, shards.max(1), options),
            Listen::Unix(path) => bind_unix(path, shards.max(1), options),
        };
        match bound {
            Err(failure) if failure.cause.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                thread::sleep(wait);
                wait *= 2;
                attempt += 1;
            }
            Err(failure) => return Err(BindError::explain(listen, options, failure, attempt)),
            Ok(bound) => return Ok(Bound { retries: attempt - 1, ..bound }),
        }
    }
}

/// Lets `shards` shards accept from a socket that listens at this address already, as one that a service manager passed.
///
/// All share it; whoever gets too many of its connections hands some over. A Unix socket's file is left alone.
///
/// # Errors
///
/// The system refuses; the error says what.
pub(crate) fn inherit(
    socket: OwnedFd,
    listen: &Listen,
    shards: usize,
    options: &ListenOptions,
) -> Result<Bound, BindError> {
    let share = || {
        let socket = Socket::from(socket);
        if let Listen::Tcp(_) = listen {
            socket.set_tcp_nodelay(options.no_delay).map_err(at("TCP_NODELAY"))?;
        }
        if let Some(bytes) = options.send_buffer {
            socket.set_send_buffer_size(bytes).map_err(at("SO_SNDBUF"))?;
        }
        shared(socket, shards.max(1))
    };
    let sockets = share().map_err(|failure| BindError::explain(listen, options, failure, 1))?;
    Ok(Bound { sockets, address: listen.clone(), retries: 0, _file: None })
}

/// Makes a socket into one for each shard.
fn shared(socket: Socket, shards: usize) -> Result<Vec<Socket>, Failure> {
    let clones: Result<Vec<_>, _> = (1..shards).map(|_| socket.try_clone().map_err(at("dup"))).collect();
    let mut sockets = clones?;
    sockets.push(socket);
    Ok(sockets)
}

/// A step that failed.
struct Failure {
    step: &'static str,
    cause: io::Error,
}

/// Names the step an error comes from.
fn at(step: &'static str) -> impl Fn(io::Error) -> Failure {
    move |cause| Failure { step, cause }
}

fn bind_tcp(address: SocketAddr, shards: usize, options: &ListenOptions) -> Result<Bound, Failure> {
    let first = tcp_socket(address, options)?;
    first.bind(&address.into()).map_err(at("bind"))?;
    first.listen(backlog(options)).map_err(at("listen"))?;
    let address = first.local_addr().map_err(at("getsockname"))?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    if shards > 1 {
        sockets[0].set_reuse_port(true).map_err(at("SO_REUSEPORT"))?;
    }
    for _ in 1..shards {
        let socket = tcp_socket(address, options)?;
        socket.set_reuse_port(true).map_err(at("SO_REUSEPORT"))?;
        socket.bind(&address.into()).map_err(at("bind"))?;
        socket.listen(backlog(options)).map_err(at("listen"))?;
        sockets.push(socket);
    }
    Ok(Bound { sockets, address: Listen::Tcp(address), retries: 0, _file: None })
}

fn tcp_socket(address: SocketAddr, options: &ListenOptions) -> Result<Socket, Failure> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(at("socket"))?;
    // Connections of the server before, still in TIME_WAIT, do not keep the port.
    socket.set_reuse_address(true).map_err(at("SO_REUSEADDR"))?;
    socket.set_tcp_nodelay(options.no_delay).map_err(at("TCP_NODELAY"))?;
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes).map_err(at("SO_SNDBUF"))?;
    }
    if let (SocketAddr::V6(_), Some(v6_only)) = (address, options.v6_only) {
        socket.set_only_v6(v6_only).map_err(at("IPV6_V6ONLY"))?;
    }
    Ok(socket)
}

fn bind_unix(path: &Path, shards: usize, options: &ListenOptions) -> Result<Bound, Failure> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(at("socket"))?;
    socket.bind(&SockAddr::unix(path).map_err(at("bind"))?).map_err(at("bind"))?;
    let file = SocketFile::of(path).map_err(at("stat"))?;
    socket.listen(backlog(options)).map_err(at("listen"))?;
    let sockets = shared(socket, shards)?;
    Ok(Bound { sockets, address: Listen::Unix(path.into()), retries: 0, _file: Some(file) })
}

/// Removes a socket file nobody listens behind.
fn remove_stale(path: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("stat")(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(at("bind")(io::Error::new(io::ErrorKind::AlreadyExists, "the path is not a socket")));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(at("bind")(io::ErrorKind::AddrInUse.into())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(at("unlink"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at("connect")(error)),
    }
}

fn backlog(options: &ListenOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

/// The file of a Unix socket we bound; removed with this, if it is still that one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // It may be gone between the two: that is what we want.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Says why an address could not be bound: the step, the options, who holds it, the descriptors, what to do.
#[derive(Debug)]
pub struct BindError {
    message: String,
    cause: io::Error,
}

impl BindError {
    /// Says whether somebody else has the address.
    pub fn in_use(&self) -> bool {
        self.cause.kind() == io::ErrorKind::AddrInUse
    }

    fn explain(listen: &Listen, options: &ListenOptions, failure: Failure, attempts: u32) -> Self {
        let Failure { step, cause } = failure;
        let (diagnosis, advice) = diagnose(listen, &cause);
        let tries = if attempts > 1 { format!(", tried {attempts} times") } else { String::new() };
        let ListenOptions { backlog, v6_only, no_delay, send_buffer } = options;
        let message = format!(
            "cannot listen on {listen}: {step} failed: {cause}{tries}{diagnosis}; {advice} \
             (backlog {backlog}, v6_only {v6_only:?}, no_delay {no_delay}, send_buffer {send_buffer:?}, {})",
            descriptors()
        );
        Self { message, cause }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Returns what is known about the cause, and what to do about it.
fn diagnose(listen: &Listen, cause: &io::Error) -> (String, &'static str) {
    match (listen, cause.raw_os_error()) {
        (Listen::Tcp(address), Some(libc::EADDRINUSE)) => {
            let holder = port_owner::of_port(address.port());
            (format!(": {holder}"), "stop it or choose another port")
        }
        (Listen::Unix(_), _) if cause.kind() == io::ErrorKind::AddrInUse => {
            (": a process listens behind the socket".into(), "stop it or choose another path")
        }
        (Listen::Unix(_), _) => (String::new(), "choose a path in a directory this user may write to"),
        (Listen::Tcp(_), Some(libc::EACCES)) => (
            String::new(),
            "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE: choose a higher one, or \
             setcap cap_net_bind_service=+ep on the binary",
        ),
        (Listen::Tcp(_), Some(libc::EADDRNOTAVAIL)) => {
            (String::new(), "no interface has this address: see `ip address`, or listen on 0.0.0.0 or [::]")
        }
        (Listen::Tcp(_), Some(libc::EAFNOSUPPORT)) => {
            (String::new(), "this system has no such address family: listen on an IPv4 address")
        }
        (_, Some(libc::EMFILE | libc::ENFILE)) => {
            (String::new(), "raise the limit of open files (ulimit -n)")
        }
        _ => (String::new(), "see the system's error"),
    }
}

fn descriptors() -> String {
    let open =
        std::fs::read_dir("/proc/self/fd").map_or_else(|_| "?".into(), |open| open.count().to_string());
    let limit =
        getrlimit(Resource::Nofile).current.map_or_else(|| "unlimited".into(), |limit| limit.to_string());
    format!("{open} of {limit} descriptors open")
}
