//! Creates the listening sockets of an address. An error explains the cause and suggests what to do.

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

/// Number of attempts to bind while the address is in use.
const ATTEMPTS: u32 = 8;

/// Wait after the first attempt. Each further wait is twice as long: seven waits, 31.75 ms in total.
///
/// After a restart, the kernel needs about this long to release the sockets of the previous process.
const FIRST_WAIT: Duration = Duration::from_micros(250);

/// Options of the listening sockets of an address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Maximum number of connections that wait in the kernel to be accepted. The kernel limits it to
    /// `net.core.somaxconn`. Default 4096.
    pub backlog: u32,
    /// `Some(true)` if an IPv6 address refuses IPv4 connections. `None`, the default, uses the system's
    /// setting (`net.ipv6.bindv6only`), which is usually off. If the server listens on an IPv4 address with
    /// the same port, too, `None` leaves IPv4 connections to that address.
    pub v6_only: Option<bool>,
    /// `true` if small segments are sent at once (TCP_NODELAY). Accepted sockets inherit it. Default `true`,
    /// because a response is written in one piece anyway.
    pub no_delay: bool,
    /// Size of a connection's send buffer in the kernel, in bytes (SO_SNDBUF, which the kernel doubles). It
    /// bounds the memory for bytes that a slow peer has not acknowledged. `None`, the default, lets the
    /// kernel choose, up to some megabytes for each connection.
    pub send_buffer: Option<usize>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 4096, v6_only: None, no_delay: true, send_buffer: None }
    }
}

impl ListenOptions {
    /// Returns the options of `listen` in a server that listens on all these addresses: an IPv6 address
    /// beside an IPv4 address with the same port refuses IPv4, unless [`v6_only`](Self::v6_only) is set.
    pub(crate) fn among<'a>(&self, mut all: impl Iterator<Item = &'a Listen>, listen: &Listen) -> Self {
        let Listen::Tcp(own @ SocketAddr::V6(_)) = listen else { return self.clone() };
        let is_beside_v4 = own.port() != 0
            && all.any(|other| matches!(other, Listen::Tcp(SocketAddr::V4(v4)) if v4.port() == own.port()));
        Self { v6_only: self.v6_only.or(is_beside_v4.then_some(true)), ..self.clone() }
    }
}

/// A bound address with a listening socket for each shard. Dropping it removes the file of a Unix socket,
/// unless the socket was inherited or another file has replaced it.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Socket>,
    address: Listen,
    retries: u32,
    _file: Option<SocketFile>,
}

impl Bound {
    /// Returns the bound address. If port 0 was requested, this is the port that the system chose.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Returns the number of retries that were needed because the address was in use.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Removes and returns the sockets, one for each shard. Further calls return an empty list.
    pub fn take_sockets(&mut self) -> Vec<Socket> {
        std::mem::take(&mut self.sockets)
    }
}

/// Binds an address and listens on it, with one socket for each of `shards` shards.
///
/// For TCP, each shard gets its own socket, and the kernel distributes connections among them (SO_REUSEPORT).
/// The first socket binds and listens *without* that option and gets it afterwards. Otherwise a second server
/// of the same user could bind the same port unnoticed and take a part of the connections. A port in use is
/// thus always an error.
///
/// For a Unix socket, all shards share one socket. A socket file on which no process listens is replaced.
///
/// Only the error "address in use" is retried: 8 attempts with 7 waits of 31.75 ms in total. The call blocks
/// for this time.
///
/// # Errors
///
/// Fails if the system refuses. The error names the cause, the owner of the address, and a suggestion.
pub fn bind(listen: &Listen, shards: usize, options: &ListenOptions) -> Result<Bound, BindError> {
    let mut attempt = 1;
    let mut wait = FIRST_WAIT;
    loop {
        let bound = match listen {
            Listen::Tcp(address) => bind_tcp(*address, shards.max(1), options),
            Listen::Unix(path) => bind_unix(path, shards.max(1), options),
            Listen::Abstract(name) => bind_abstract(name, shards.max(1), options),
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

/// Uses a listening socket that the process has inherited, for example from a service manager.
///
/// All shards share it. A shard that gets too many of its connections hands some to other shards. The file of
/// a Unix socket is not removed. Of the options, only `no_delay` and `send_buffer` apply.
///
/// # Errors
///
/// Fails if the system refuses an option or a duplicate of the socket.
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

/// Duplicates a socket so that every shard has its own descriptor of it.
fn shared(socket: Socket, shards: usize) -> Result<Vec<Socket>, FailedStep> {
    let clones: Result<Vec<_>, _> = (1..shards).map(|_| socket.try_clone().map_err(at("dup"))).collect();
    let mut sockets = clones?;
    sockets.push(socket);
    Ok(sockets)
}

/// A failed system call and its error.
struct FailedStep {
    step: &'static str,
    cause: io::Error,
}

/// Returns a function that adds the name of the failed step to an error.
fn at(step: &'static str) -> impl Fn(io::Error) -> FailedStep {
    move |cause| FailedStep { step, cause }
}

fn bind_tcp(address: SocketAddr, shards: usize, options: &ListenOptions) -> Result<Bound, FailedStep> {
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

fn tcp_socket(address: SocketAddr, options: &ListenOptions) -> Result<Socket, FailedStep> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(at("socket"))?;
    // Lets the server bind while connections of its predecessor are in TIME_WAIT.
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

fn bind_unix(path: &Path, shards: usize, options: &ListenOptions) -> Result<Bound, FailedStep> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(at("socket"))?;
    socket.bind(&SockAddr::unix(path).map_err(at("bind"))?).map_err(at("bind"))?;
    let file = SocketFile::of(path).map_err(at("stat"))?;
    socket.listen(backlog(options)).map_err(at("listen"))?;
    let sockets = shared(socket, shards)?;
    Ok(Bound { sockets, address: Listen::Unix(path.into()), retries: 0, _file: Some(file) })
}

fn bind_abstract(name: &str, shards: usize, options: &ListenOptions) -> Result<Bound, FailedStep> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(at("socket"))?;
    // A path that begins with a NUL is an abstract name.
    let address = SockAddr::unix(format!("\0{name}")).map_err(at("bind"))?;
    socket.bind(&address).map_err(at("bind"))?;
    socket.listen(backlog(options)).map_err(at("listen"))?;
    let sockets = shared(socket, shards)?;
    Ok(Bound { sockets, address: Listen::Abstract(name.to_owned()), retries: 0, _file: None })
}

/// Removes the socket file at `path` if no process listens on it. Fails if one does, or if the file is not a
/// socket.
fn remove_stale(path: &Path) -> Result<(), FailedStep> {
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

/// The file of a bound Unix socket. Dropping this removes the file, unless another file has replaced it.
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
            // Another process may have removed the file since the check. Then there is nothing to do.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The error of an address that could not be bound.
///
/// Its message names the failed step, the process that uses the address, the options and the number of open
/// descriptors, and suggests what to do.
#[derive(Debug)]
pub struct BindError {
    message: String,
    cause: io::Error,
}

impl BindError {
    /// Returns `true` if another socket uses the address.
    pub fn in_use(&self) -> bool {
        self.cause.kind() == io::ErrorKind::AddrInUse
    }

    fn explain(listen: &Listen, options: &ListenOptions, failure: FailedStep, attempts: u32) -> Self {
        let FailedStep { step, cause } = failure;
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

/// Returns details about the cause, and a suggestion.
fn diagnose(listen: &Listen, cause: &io::Error) -> (String, &'static str) {
    match (listen, cause.raw_os_error()) {
        (Listen::Tcp(address), Some(libc::EADDRINUSE)) => {
            let owner = port_owner::find(address.port());
            let advice = match owner.is_this_process {
                true => {
                    "give each address once ([::] without v6_only accepts IPv4 connections, too), or choose \
                     another port"
                }
                false => "stop that process or choose another port",
            };
            (format!(": {}", owner.description), advice)
        }
        (Listen::Unix(_), _) if cause.kind() == io::ErrorKind::AddrInUse => {
            (": a process listens on this socket".into(), "stop that process or choose another path")
        }
        (Listen::Abstract(_), _) if cause.kind() == io::ErrorKind::AddrInUse => {
            (": a process listens on this name".into(), "stop that process or choose another name")
        }
        (Listen::Unix(_), _) if cause.kind() == io::ErrorKind::AlreadyExists => {
            (String::new(), "remove the file or choose another path")
        }
        (_, Some(libc::EMFILE | libc::ENFILE)) => (
            String::new(),
            "raise the limit of open files (`ulimit -n`, or fs.file-max for the whole system)",
        ),
        (Listen::Unix(_), _) => {
            (String::new(), "choose a path in a directory where this user may create files")
        }
        (Listen::Tcp(_), Some(libc::EACCES)) => (
            String::new(),
            "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE: choose a higher \
             port, or run `setcap cap_net_bind_service=+ep` on the binary",
        ),
        (Listen::Tcp(_), Some(libc::EADDRNOTAVAIL)) => (
            String::new(),
            "no interface has this address: run `ip address` to list them, or listen on 0.0.0.0 or [::]",
        ),
        (Listen::Tcp(_), Some(libc::EAFNOSUPPORT)) => {
            (String::new(), "this system does not support the address family: listen on an IPv4 address")
        }
        _ => (String::new(), "check the address and the options"),
    }
}

fn descriptors() -> String {
    let open =
        std::fs::read_dir("/proc/self/fd").map_or_else(|_| "?".into(), |open| open.count().to_string());
    let limit =
        getrlimit(Resource::Nofile).current.map_or_else(|| "unlimited".into(), |limit| limit.to_string());
    format!("{open} of {limit} descriptors open")
}
