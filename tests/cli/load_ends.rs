//! `windlass load`: start, end, and servers that misbehave.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{Serving, TIMEOUT, TempFile, eventually, windlass},
    load::{load, url},
};
use rustix::process::{Pid, Signal, kill_process};

/// Returns a local address on which nothing listens.
fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Runs `serve` on a thread for each connection, with the connection's number.
fn serve_connections(serve: impl Fn(u32, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (number, stream) in (0..).zip(listener.incoming()) {
            let (serve, stream) = (serve.clone(), stream.unwrap());
            thread::spawn(move || serve(number, stream));
        }
    });
    address
}

#[test]
fn a_signal_ends_a_closed_loop_at_once() {
    let serving = Serving::start(&[]);
    let mut command = windlass(&[
        "load",
        "--duration",
        "1h",
        "--connections",
        "2",
        &url(serving.address(), "/demo/plaintext"),
    ]);
    let mut loading = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    eventually("the load has started", || {
        let (_, _, page) = serving.connect().get("/metrics");
        page.contains("windlass_requests_total{route=\"/demo/plaintext\"")
    });
    kill_process(Pid::from_raw(loading.id() as i32).unwrap(), Signal::INT).unwrap();
    let until = Instant::now() + TIMEOUT;
    while loading.try_wait().unwrap().is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    // Kills the process if it has not exited by now.
    let _ = loading.kill();
    assert_eq!(loading.wait().unwrap().code(), Some(0), "the load must exit with status 0 after the signal");
}

#[test]
fn a_missing_server_ends_the_load_early_over_every_protocol() {
    let mut workloads = vec!["h1"];
    if cfg!(feature = "http2") {
        workloads.push("h2");
    }
    for workload in workloads {
        let arguments =
            ["--workload", workload, "--connections", "200", "--duration", "1h", &url(unused_address(), "/")];
        let (status, result) = load(&arguments);
        assert_eq!(status, 1, "{workload} {result}");
        assert!(result["errors_by_kind"]["connect"].as_u64() >= Some(1000), "{workload} {result}");
    }
}

#[cfg(feature = "http2")]
#[test]
fn requests_without_a_free_stream_wait_time_out_and_are_retried() {
    /// SETTINGS with MAX_CONCURRENT_STREAMS 0, and an acknowledgement of the client's SETTINGS (RFC 9113
    /// §6.5).
    const NO_STREAMS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\x01\0\0\0\0";
    let connections = Arc::new(AtomicU32::new(0));
    let seen = connections.clone();
    let address = serve_connections(move |_, mut stream| {
        seen.fetch_add(1, SeqCst);
        stream.write_all(NO_STREAMS).unwrap();
        while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    });
    let arguments = ["--workload", "h2", "--connections", "1", "--streams", "2", "--timeout", "0.1s"];
    let (status, result) = load(&[&arguments[..], &["--duration", "1s", &url(address, "/")]].concat());
    assert_eq!(status, 1, "{result}");
    assert!(result["errors_by_kind"]["timeout"].as_u64() > Some(4), "the requests must be retried: {result}");
    assert_eq!((result["reconnects"].as_u64(), connections.load(SeqCst)), (Some(0), 1), "{result}");
}

#[test]
fn nothing_is_published_before_every_subscription_is_answered() {
    let (sender, events) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = std::sync::Mutex::new(released);
    let first = AtomicU32::new(0);
    let address = serve_connections(move |_, mut stream| {
        let mut request = [0; 4096];
        let count = stream.read(&mut request).unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        if request[..count].starts_with(b"POST") {
            sender.send("published").unwrap();
        } else if first.fetch_add(1, SeqCst) == 0 {
            // The first subscription ends before any event and counts as one error.
            stream.write_all(format!("{head}0\r\n\r\n").as_bytes()).unwrap();
            let _ = stream.read(&mut request);
            sender.send("ended").unwrap();
        } else {
            released.lock().unwrap().recv().unwrap();
            let _ = sender.send("answered");
            stream.write_all(head.as_bytes()).unwrap();
            let _ = stream.read(&mut request);
        }
    });
    let arguments = ["--workload", "sse", "--connections", "2", "--duration", "0.5s", "--timeout", "5s"];
    let url = url(address, "/");
    let arguments: Vec<String> = [&arguments[..], &[&url]].concat().into_iter().map(str::to_owned).collect();
    let loading = thread::spawn(move || load(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(events.recv_timeout(TIMEOUT), Ok("ended"));
    // Long enough for an early publication to arrive.
    let early = events.recv_timeout(Duration::from_secs(1));
    release.send(()).unwrap();
    assert_eq!(
        early,
        Err(mpsc::RecvTimeoutError::Timeout),
        "nothing may be published before every subscription is answered"
    );
    assert_eq!(events.recv_timeout(TIMEOUT), Ok("answered"));
    assert_eq!(events.recv_timeout(TIMEOUT), Ok("published"));
    let (status, _) = loading.join().unwrap();
    assert_eq!(status, 1, "the ended subscription must count as an error");
}

#[test]
fn exactly_the_given_number_of_events_is_published_and_accounted_for() {
    // With mailboxes of one event and small buffers, the last events may be lost without a later event that
    // reports the gap.
    let file = TempFile::new("exactly.toml", "send_buffer_bytes = 8192\n");
    let serving = Serving::start(&["--config", file.path(), "--mailbox-events", "1"]);
    let arguments = ["--workload", "slow", "--connections", "2", "--events", "200", "--event-rate", "500"];
    let url = url(serving.address(), "/demo/plaintext");
    let (_, result) = load(&[&arguments[..], &["--event-bytes", "4000", &url]].concat());
    let count = |name: &str| result[name].as_u64().unwrap();
    assert!(count("dropped_slow") > 0 && count("queued") == 0, "{result}");
    assert_eq!(count("published"), 200, "{result}");
    let sender = count("deliveries") + count("dropped_slow") + count("dropped_fast");
    assert_eq!((count("errors"), sender), (0, 400), "{result}");
}
