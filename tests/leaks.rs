//! Leak tests: a server that ends releases its threads and descriptors, and a server recovers after
//! descriptors run out.
//!
//! Each test runs in a process of its own, so that no other test opens descriptors there.
#![allow(clippy::unwrap_used)]

#[path = "support/eventually.rs"]
mod eventually;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use windlass::{Operations, Request, Router, Server, actors::Cores, get, static_route};

use eventually::{TIMEOUT, eventually};

/// Reruns the test in a child process. Returns `true` in the child and `false` in the parent, after the child
/// succeeded.
fn runs_in_own_process(test: &str) -> bool {
    const MARK: &str = "WINDLASS_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(MARK, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "the child process ran no test named {test}");
    false
}

/// Number of shards per server.
const SHARDS: usize = 3;

/// Descriptors and threads of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usage {
    descriptors: usize,
    /// Counted separately: glommio 0.9.0 never frees one eventfd per executor.
    eventfds: usize,
    threads: usize,
}

impl Usage {
    fn now() -> Self {
        let open = open_descriptors();
        let eventfds = open.iter().filter(|what| what.contains("eventfd")).count();
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        Self { descriptors: open.len() - eventfds, eventfds, threads }
    }

    /// Returns `true` if usage is back at `base`, apart from the eventfds that glommio leaks for `servers`
    /// servers.
    fn is_back_at(self, base: Self, servers: usize) -> bool {
        let kept = base.eventfds..=base.eventfds + servers * SHARDS;
        (self.descriptors, self.threads) == (base.descriptors, base.threads) && kept.contains(&self.eventfds)
    }
}

/// Returns the link targets of this process's open descriptors.
fn open_descriptors() -> Vec<String> {
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    open.map(|link| link.display().to_string()).collect()
}

/// Starts and drains one server, then returns the usage. It includes what the first server opens for the life
/// of the process.
fn base() -> Usage {
    let threads = Usage::now().threads;
    start().drain(None);
    eventually("the first server's threads have exited", || Usage::now().threads == threads);
    Usage::now()
}

async fn delayed(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(1)).await;
    "async"
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/async", delayed).run_async())
        .route(get("/blocking", || "blocking").run_async())
        .route(get("/forever", async |_: Request| std::future::pending::<()>().await).run_async())
}

fn start() -> Server {
    let server = Server::builder().listen("127.0.0.1:0").cores(Cores::Unpinned(SHARDS)).router(routes());
    server.operations(Operations::usual()).start().unwrap()
}

fn get_once(stream: &mut TcpStream, path: &str) -> String {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn send_requests(address: SocketAddr) {
    for path in ["/static", "/async", "/blocking", "/nowhere", "/metrics"] {
        for _ in 0..10 {
            let answer = get_once(&mut TcpStream::connect(address).unwrap(), path);
            assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
        }
    }
}

#[test]
fn a_server_that_ends_releases_its_threads_and_descriptors() {
    if !runs_in_own_process("a_server_that_ends_releases_its_threads_and_descriptors") {
        return;
    }
    let base = base();
    for (servers, drained) in [(1, true), (2, false), (3, true)] {
        let server = start();
        let address = server.tcp_address().unwrap();
        send_requests(address);
        let mut cut = TcpStream::connect(address).unwrap();
        cut.write_all(b"GET /forever HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        eventually("the job of `/forever` is running", || server.pool().unwrap().stats().jobs.running == 1);
        let began = Instant::now();
        if drained {
            let report = server.drain(Some(Duration::from_millis(50)));
            assert!(report.system.is_clean(), "{report}");
        }
        drop(server);
        assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
        drop(cut);
        eventually(&format!("usage is back at {base:?}; open descriptors: {:?}", open_descriptors()), || {
            Usage::now().is_back_at(base, servers)
        });
    }
}

#[test]
fn closed_connections_release_their_descriptors() {
    if !runs_in_own_process("closed_connections_release_their_descriptors") {
        return;
    }
    let server = start();
    let address = server.tcp_address().unwrap();
    send_requests(address);
    eventually("the warm-up connections are closed", || server.metrics().connections == 0);
    let base = Usage::now();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /static HTTP/1.1\r\nHost: t\r\n\r\nGET /async HTTP/1.1\r\nHo").unwrap();
    }
    eventually("all connections are closed", || server.metrics().connections == 0);
    eventually("all descriptors are closed", || Usage::now() == base);
}

#[test]
fn a_server_that_fails_to_start_releases_everything() {
    if !runs_in_own_process("a_server_that_fails_to_start_releases_everything") {
        return;
    }
    base();
    let first = start();
    let taken = windlass::Listen::Tcp(first.tcp_address().unwrap());
    let base = Usage::now();
    for _ in 0..3 {
        let builder = Server::builder().listen("127.0.0.1:0").listen(taken.clone()).router(routes());
        assert!(builder.cores(Cores::Unpinned(SHARDS)).start().is_err());
    }
    eventually(&format!("usage is back at {base:?}; open descriptors: {:?}", open_descriptors()), || {
        Usage::now() == base
    });
}

#[test]
fn accepting_resumes_after_descriptors_ran_out() {
    if !runs_in_own_process("accepting_resumes_after_descriptors_ran_out") {
        return;
    }
    // The limit is lowered before the start: a multishot accept keeps the limit that applied when it was
    // armed.
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), ..before }).unwrap();
    let server = start();
    let address = server.tcp_address().unwrap();
    send_requests(address);
    eventually("the warm-up connections are closed", || server.metrics().connections == 0);
    let clients: Vec<_> = (0..8).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    clients.iter().for_each(|client| client.connect(&address.into()).unwrap());
    eventually("accept fails with EMFILE", || accept_errors(&server, "EMFILE") >= 1.0);
    drop(taken);
    for client in clients {
        let answer = get_once(&mut TcpStream::from(client), "/static");
        assert!(answer.ends_with("static"), "{answer}");
    }
}

/// Reads an accept-error counter without opening a descriptor.
fn accept_errors(server: &Server, cause: &str) -> f64 {
    let families = prometheus::core::Collector::collect(&server.collector());
    let family = families.iter().find(|family| family.name() == "windlass_accept_errors_total");
    let samples = family.map_or(&[][..], |family| family.get_metric());
    let named = samples.iter().find(|sample| sample.get_label()[0].value() == cause);
    named.map_or(0.0, |sample| sample.get_counter().get_value())
}
