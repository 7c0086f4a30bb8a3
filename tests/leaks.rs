//! Threads and descriptors come back when a server ends, and a server without descriptors gets over it. Each test
//! has a process of its own, where nothing else opens any.
#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use windlass::{Operations, Request, Router, Server, actors::Cores, get, static_route};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test in a process of its own: returns true there.
fn alone(test: &str) -> bool {
    const MARK: &str = "WINDLASS_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(MARK, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "no such test: {test}");
    false
}

/// Shards of the servers here.
const SHARDS: usize = 3;

/// What this process holds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    descriptors: usize,
    /// Apart, because glommio 0.9.0 never frees one for each executor: its tasks' headers keep a reference each.
    eventfds: usize,
    threads: usize,
}

impl Held {
    fn now() -> Self {
        let open = open();
        let eventfds = open.iter().filter(|what| what.contains("eventfd")).count();
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        Self { descriptors: open.len() - eventfds, eventfds, threads }
    }

    /// Says whether nothing is held beyond `base` but what glommio keeps of this many servers.
    fn is_back_at(self, base: Self, servers: usize) -> bool {
        let kept = base.eventfds..=base.eventfds + servers * SHARDS;
        (self.descriptors, self.threads) == (base.descriptors, base.threads) && kept.contains(&self.eventfds)
    }
}

/// What the descriptors of this process are.
fn open() -> Vec<String> {
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    open.map(|link| link.display().to_string()).collect()
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What is held once a first server has come and gone: what it opened for the life of the process counts as base.
fn base() -> Held {
    let threads = Held::now().threads;
    start().drain(None);
    eventually("its threads are gone", || Held::now().threads == threads);
    Held::now()
}

async fn later(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(1)).await;
    "async"
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/async", later).run_async())
        .route(get("/blocking", |_| "blocking").run_async())
        .route(get("/forever", async |_: Request| std::future::pending::<()>().await).run_async())
}

fn start() -> Server {
    let server = Server::builder()
        .listen("127.0.0.1:0".parse().unwrap())
        .cores(Cores::Unpinned(SHARDS))
        .router(routes());
    server.operations(Operations::usual()).start().unwrap()
}

fn get_once(stream: &mut TcpStream, path: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn serve_a_while(address: SocketAddr) {
    for path in ["/static", "/async", "/blocking", "/nowhere", "/metrics"] {
        for _ in 0..10 {
            let answer = get_once(&mut TcpStream::connect(address).unwrap(), path);
            assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
        }
    }
}

#[test]
fn threads_and_descriptors_are_back_at_base_after_each_server() {
    if !alone("threads_and_descriptors_are_back_at_base_after_each_server") {
        return;
    }
    let base = base();
    for (servers, drained) in [(1, true), (2, false), (3, true)] {
        let server = start();
        let address = server.tcp_address().unwrap();
        serve_a_while(address);
        let mut cut = TcpStream::connect(address).unwrap();
        cut.write_all(b"GET /forever HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        eventually("the job runs", || server.pool().unwrap().stats().jobs.running == 1);
        let began = Instant::now();
        if drained {
            let report = server.drain(Some(Duration::from_millis(50)));
            assert!(report.system.is_clean(), "{report}");
        }
        drop(server);
        assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
        drop(cut);
        eventually(&format!("back at {base:?}; open are {:?}", open()), || {
            Held::now().is_back_at(base, servers)
        });
    }
}

#[test]
fn connections_come_and_go_without_a_descriptor_left() {
    if !alone("connections_come_and_go_without_a_descriptor_left") {
        return;
    }
    let server = start();
    let address = server.tcp_address().unwrap();
    serve_a_while(address);
    eventually("the first ones are gone", || server.metrics().connections == 0);
    let base = Held::now();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /static HTTP/1.1\r\nHost: t\r\n\r\nGET /async HTTP/1.1\r\nHo").unwrap();
    }
    eventually("all are gone", || server.metrics().connections == 0);
    eventually("their descriptors are", || Held::now() == base);
}

#[test]
fn a_server_that_does_not_start_leaves_nothing() {
    if !alone("a_server_that_does_not_start_leaves_nothing") {
        return;
    }
    base();
    let first = start();
    let taken = windlass::Listen::Tcp(first.tcp_address().unwrap());
    let base = Held::now();
    for _ in 0..3 {
        let builder =
            Server::builder().listen("127.0.0.1:0".parse().unwrap()).listen(taken.clone()).router(routes());
        assert!(builder.cores(Cores::Unpinned(SHARDS)).start().is_err());
    }
    eventually(&format!("back at {base:?}; open are {:?}", open()), || Held::now() == base);
}

#[test]
fn without_descriptors_accepting_pauses_and_goes_on() {
    if !alone("without_descriptors_accepting_pauses_and_goes_on") {
        return;
    }
    // Before the start: a ring's multishot accept keeps to the limit it was armed under.
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), ..before }).unwrap();
    let server = start();
    let address = server.tcp_address().unwrap();
    serve_a_while(address);
    eventually("the first ones are gone", || server.metrics().connections == 0);
    let clients: Vec<_> = (0..8).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    clients.iter().for_each(|client| client.connect(&address.into()).unwrap());
    eventually("accepting fails", || accept_errors(&server, "EMFILE") >= 1.0);
    drop(taken);
    for client in clients {
        let answer = get_once(&mut TcpStream::from(client), "/static");
        assert!(answer.ends_with("static"), "{answer}");
    }
}

/// Reads a metric without opening anything.
fn accept_errors(server: &Server, cause: &str) -> f64 {
    let families = prometheus::core::Collector::collect(&server.collector());
    let family = families.iter().find(|family| family.name() == "windlass_accept_errors_total");
    let samples = family.map_or(&[][..], |family| family.get_metric());
    let named = samples.iter().find(|sample| sample.get_label()[0].value() == cause);
    named.map_or(0.0, |sample| sample.get_counter().get_value())
}
