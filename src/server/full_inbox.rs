//! Test of a shard whose inbox is full: the answer to a refused job still reaches it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use windlass_actors::{Cores, Undelivered};

use crate::{
    conn::Msg,
    limits::Timeouts,
    request::Request,
    routing::{route::get, router::Router},
    server::{EngineKind, PoolSettings, Server},
};

const LONG: Duration = Duration::from_secs(20);

/// A gate at which handlers wait until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Gate {
    fn wait(&self) -> &'static str {
        let mut state = self.0.0.lock().unwrap();
        state.0 += 1;
        let opened = self.0.1.wait_timeout_while(state, LONG, |(_, is_open)| !*is_open);
        drop(opened.unwrap());
        "passed"
    }

    fn waiting(&self) -> usize {
        self.0.0.lock().unwrap().0
    }

    fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }
}

fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn until(what: &str, is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_true() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn a_refused_job_is_answered(engine: EngineKind) {
    let (shard, worker) = (Gate::default(), Gate::default());
    let (on_shard, on_worker) = (shard.clone(), worker.clone());
    let mut pool = PoolSettings::default();
    (pool.workers, pool.blocking_threads) = (Some(1), 1);
    let timeouts = Timeouts { job: None, ..Timeouts::default() };
    let router = Router::new()
        .route(get("/shard", move |_: Request| on_shard.wait()))
        .route(get("/job", move |_: Request| on_worker.wait()).run_async());
    let server = Server::builder()
        .engine(engine)
        .cores(Cores::Unpinned(1))
        .listen("127.0.0.1:0")
        .router(router)
        .pool(pool)
        .timeouts(timeouts)
        .start()
        .unwrap();
    let address = server.tcp_address().unwrap();
    let _running = ask(address, "/job");
    until("the first job runs", || worker.waiting() == 1);
    let mut queued = ask(address, "/job");
    let pool = server.routes.pool().unwrap();
    until("the second job is queued", || pool.stats().blocking.queued == 1);
    let _blocking = ask(address, "/shard");
    until("the shard is blocked", || shard.waiting() == 1);
    while server.inboxes[0].try_send(Msg::Listen(Vec::new())).is_ok() {}
    pool.stop(Undelivered::Discard, Duration::from_millis(100));
    shard.open();
    let mut reply = String::new();
    queued.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply:?}");
    worker.open();
}

#[cfg(feature = "io-uring")]
#[test]
fn a_refused_job_is_answered_on_io_uring() {
    a_refused_job_is_answered(EngineKind::IoUring);
}

#[cfg(feature = "epoll")]
#[test]
fn a_refused_job_is_answered_on_epoll() {
    a_refused_job_is_answered(EngineKind::Epoll);
}
