//! Signals: TERM, INT and QUIT drain, a second one ends the server at once, HUP reloads, others do nothing.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::common::{Client, Serving, TIMEOUT, eventually};

#[test]
fn term_int_and_quit_drain_and_log_a_report() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut serving = Serving::start(&[]);
        let mut idle = serving.connect();
        idle.get("/demo/plaintext");
        let mut busy = serving.connect();
        busy.send("GET /demo/work?ms=2000 HTTP/1.1\r\nHost: t\r\n\r\n");
        eventually("the job runs", || {
            idle.get("/metrics").2.contains("windlass_pool_running_jobs{lane=\"async\"} 1\n")
        });
        serving.signal(signal);
        let (status, head, body) = busy.reply().unwrap().unwrap();
        assert_eq!((status, body.as_str()), (200, "worked for 2000 ms\n"));
        assert!(head.contains("connection: close"), "{head}");
        drop((idle, busy));
        assert_eq!(serving.ended().code(), Some(0));
        assert!(
            serving.has("draining, send SIGTERM or SIGINT again to close all connections at once"),
            "{:?}",
            serving.lines()
        );
        assert!(serving.has("drain complete drained=2 cut=0 took_ms="), "{:?}", serving.lines());
    }
}

#[test]
fn an_idle_server_does_not_wait_for_its_grace() {
    let mut serving = Serving::start(&["--grace", "600"]);
    let began = Instant::now();
    serving.signal(Signal::TERM);
    assert_eq!(serving.ended().code(), Some(0));
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    assert!(serving.has("drain complete drained=0 cut=0"), "{:?}", serving.lines());
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut serving = Serving::start(&["--grace", "600"]);
    let mut probe = serving.connect();
    let mut stuck = serving.connect();
    stuck.send("GET /demo/work?ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the job runs", || {
        probe.get("/metrics").2.contains("windlass_pool_running_jobs{lane=\"async\"} 1\n")
    });
    serving.signal(Signal::TERM);
    eventually("the server drains", || serving.has("draining"));
    serving.is_running();
    let began = Instant::now();
    serving.signal(Signal::TERM);
    assert_eq!(serving.ended().code(), Some(0));
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    assert!(serving.has("cut=1 activity={\"handler_running\": 1}"), "{:?}", serving.lines());
}

#[test]
fn requests_that_outlive_the_grace_are_cut() {
    let mut serving = Serving::start(&["--grace", "1", "--demo-blocking"]);
    let mut probe = serving.connect();
    let mut stuck = serving.connect();
    stuck.send("GET /demo/block?ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n");
    let running = "windlass_pool_running_jobs{lane=\"blocking\"} 1\n";
    eventually("the job runs", || probe.get("/metrics").2.contains(running));
    let began = Instant::now();
    serving.signal(Signal::TERM);
    assert_eq!(serving.ended().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(serving.has("cut=1 activity={\"handler_running\": 1}"), "{:?}", serving.lines());
    assert!(stuck.reply().is_err(), "a cut request ends with a reset");
}

#[test]
fn hup_ends_neither_the_server_nor_a_drain() {
    let mut serving = Serving::start(&[]);
    serving.signal(Signal::HUP);
    eventually("the server reports that nothing was reloaded", || serving.has("nothing to reload"));
    let mut client = serving.connect();
    assert_eq!(client.get("/demo/plaintext").0, 200);
    client.send("GET /demo/work?ms=2000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the job runs", || {
        serving.connect().get("/metrics").2.contains("running_jobs{lane=\"async\"} 1\n")
    });
    serving.signal(Signal::TERM);
    eventually("the server drains", || serving.has("draining"));
    serving.signal(Signal::HUP);
    assert_eq!(client.reply().unwrap().unwrap().0, 200, "HUP must not end a drain");
    drop(client);
    assert_eq!(serving.ended().code(), Some(0));
}

#[test]
fn an_unlimited_grace_still_drains() {
    let mut serving = Serving::start(&["--grace", "18446744073709551615"]);
    serving.connect().get("/demo/plaintext");
    serving.signal(Signal::TERM);
    assert_eq!(serving.ended().code(), Some(0), "{:?}", serving.lines());
}

/// Sends requests until the server closes the connection. Returns a description of the first reply that is
/// wrong or truncated.
fn send_requests(address: std::net::SocketAddr, path: &str, sent: &AtomicUsize) -> Option<String> {
    let mut client = Client::connect(address);
    loop {
        sent.fetch_add(1, Ordering::Relaxed);
        match client.try_get(path) {
            Ok(None) => return None,
            Ok(Some((200, head, _))) if head.contains("connection: close") => return None,
            Ok(Some((200, ..))) => {}
            Ok(Some((status, ..))) => return Some(format!("{path}: {status}")),
            Err(error) => return Some(format!("{path}: {error}")),
        }
    }
}

#[test]
fn term_under_load_resets_no_connection() {
    const CLIENTS: usize = 16;
    let mut serving = Serving::start(&[]);
    let (address, sent) = (serving.address(), AtomicUsize::new(0));
    let faults: Vec<_> = thread::scope(|scope| {
        let sent = &sent;
        let path = |index| ["/demo/plaintext", "/demo/json", "/demo/work?ms=3", "/demo/hello/x"][index % 4];
        let clients: Vec<_> =
            (0..CLIENTS).map(|i| scope.spawn(move || send_requests(address, path(i), sent))).collect();
        eventually("all clients send requests", || sent.load(Ordering::Relaxed) > CLIENTS * 30);
        serving.signal(Signal::TERM);
        clients.into_iter().filter_map(|client| client.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(serving.ended().code(), Some(0));
    assert!(serving.has(&format!("drain complete drained={CLIENTS} cut=0")), "{:?}", serving.lines());
}

/// Sends a signal by its number. Realtime signals have no other name.
fn send(number: i32, serving: &Serving) {
    let kill = format!("kill -{number} {}", serving.id());
    assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn stray_signals_end_neither_the_server_nor_a_drain() {
    const STRAY: [i32; 16] = [
        libc::SIGHUP,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGSTKFLT,
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGURG,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGWINCH,
        libc::SIGIO,
        libc::SIGPWR,
    ];
    for engine in ["io_uring", "epoll"] {
        let mut serving = Serving::start(&["--engine", engine]);
        let mut client = serving.connect();
        let realtime = [34, 40, 64];
        for signal in STRAY.into_iter().chain(realtime) {
            send(signal, &serving);
            assert_eq!(client.get("/demo/plaintext").0, 200, "{engine}: signal {signal}");
        }
        eventually("an ignored signal is logged", || serving.has("signal=\"SIGUSR1\""));
        client.send("GET /demo/work?ms=2000 HTTP/1.1\r\nHost: t\r\n\r\n");
        eventually("the job runs", || {
            serving.connect().get("/metrics").2.contains("running_jobs{lane=\"async\"} 1\n")
        });
        serving.signal(Signal::TERM);
        eventually("the server drains", || serving.has("draining"));
        STRAY.into_iter().chain(realtime).for_each(|signal| send(signal, &serving));
        assert_eq!(client.reply().unwrap().unwrap().0, 200, "{engine}: a stray signal must not end a drain");
        drop(client);
        assert_eq!(serving.ended().code(), Some(0), "{engine}: {:?}", serving.lines());
    }
}
