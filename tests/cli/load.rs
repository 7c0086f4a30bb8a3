//! `windlass load`: counts, rates, latency and errors.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    process::Output,
    thread,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Serving, TempFile, is_refused, run, windlass};

pub(crate) fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

/// Runs a load. Returns its exit status and result.
#[track_caller]
pub(crate) fn load(arguments: &[&str]) -> (i32, Value) {
    let output = run(&[&["load", "--json"], arguments].concat());
    let text = format!("{}{}", output.stdout.escape_ascii(), output.stderr.escape_ascii());
    let result = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {text}"));
    (output.status.code().unwrap(), result)
}

pub(crate) fn number(result: &Value, name: &str) -> f64 {
    result[name].as_f64().unwrap_or_else(|| panic!("no {name} in {result}"))
}

/// Returns the sum of all samples with this prefix.
pub(crate) fn metric(serving: &Serving, start: &str) -> f64 {
    let (_, _, page) = serving.connect().get("/metrics");
    let values =
        page.lines().filter(|line| line.starts_with(start)).map(|line| line.rsplit_once(' ').unwrap().1);
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

#[track_caller]
pub(crate) fn load_without_errors(arguments: &[&str]) -> Value {
    let (status, result) = load(arguments);
    assert_eq!(status, 0, "{result}");
    assert!(number(&result, "requests") > 0.0 && number(&result, "errors") == 0.0, "{result}");
    result
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_closed_loop_counts_the_same_requests_as_the_server() {
    let serving = Serving::start(&[]);
    let url = url(serving.address(), "/demo/plaintext");
    let result = load_without_errors(&["--connections", "3", "--duration", "0.5s", &url]);
    assert_eq!(
        number(&result, "requests"),
        metric(&serving, "windlass_requests_total{route=\"/demo/plaintext\"")
    );
    for name in ["p50", "p99.99", "max"] {
        assert!(number(&result["latency_us"], name) > 0.0, "{result}");
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let serving = Serving::start(&[]);
    let url = url(serving.address(), "/demo/json");
    let result = load_without_errors(&["--connections", "8", "--rate", "200", "--duration", "1s", &url]);
    let requests = number(&result, "requests");
    assert!((199.0..=200.0).contains(&requests), "{result}");
}

#[test]
fn latency_starts_when_a_request_is_due() {
    // One connection with 50 ms per reply serves 20 requests a second, but 100 are due. The last one waits
    // for all before it.
    let serving = Serving::start(&[]);
    let url = url(serving.address(), "/demo/work?ms=50");
    let result = load_without_errors(&["--connections", "1", "--rate", "100", "--duration", "0.5s", &url]);
    assert!(number(&result["latency_us"], "p50") > 500_000.0, "{result}");
    assert!(number(&result["latency_us"], "max") > 1_500_000.0, "{result}");
    let closed = load_without_errors(&["--connections", "1", "--duration", "0.5s", &url]);
    assert!(number(&closed["latency_us"], "p50") < 500_000.0, "{closed}");
}

#[test]
fn requests_over_the_timeout_are_errors() {
    let serving = Serving::start(&[]);
    let url = url(serving.address(), "/demo/work?ms=50");
    let arguments = ["--connections", "1", "--rate", "100", "--duration", "0.5s", "--timeout", "0.2s", &url];
    let (status, result) = load(&arguments);
    assert_eq!(status, 1, "{result}");
    let (load_without_errors, timed_out) =
        (number(&result, "requests"), number(&result["errors_by_kind"], "timeout"));
    assert!(
        load_without_errors > 0.0
            && timed_out > 0.0
            && (49.0..=50.0).contains(&(load_without_errors + timed_out)),
        "{result}"
    );
}

#[cfg(feature = "http2")]
#[test]
fn http2_streams_are_counted_as_requests() {
    let serving = Serving::start(&[]);
    let url = url(serving.address(), "/demo/json");
    load_without_errors(&[
        "--workload",
        "h2",
        "--connections",
        "2",
        "--streams",
        "4",
        "--duration",
        "0.5s",
        &url,
    ]);
    let (_, _, page) = serving.connect().get("/metrics");
    let over_h2 = |line: &&str| {
        line.starts_with("windlass_requests_dispatched_total") && line.contains("protocol=\"h2\"")
    };
    assert!(page.lines().filter(over_h2).any(|line| !line.ends_with(" 0")), "requests must use HTTP/2");
    let arguments = ["--workload", "h2", "--connections", "2", "--rate", "100", "--duration", "1s", &url];
    assert!((99.0..=100.0).contains(&number(&load_without_errors(&arguments), "requests")));
}

#[cfg(feature = "ws")]
#[test]
fn websocket_echoes_are_counted_as_requests() {
    let serving = Serving::start(&[]);
    let url = url(serving.address(), "/");
    let arguments = ["--workload", "ws", "--connections", "4", "--rate", "100", "--duration", "1s", &url];
    let requests = number(&load_without_errors(&arguments), "requests");
    assert!((99.0..=100.0).contains(&requests));
    assert_eq!(metric(&serving, "windlass_websocket_messages_total{direction=\"in\""), requests);
}

#[cfg(all(feature = "ws", feature = "http2"))]
#[test]
fn a_mixed_load_includes_every_protocol() {
    let serving = Serving::start(&[]);
    let url = url(serving.address(), "/demo/json");
    let arguments = ["--workload", "mixed", "--connections", "20", "--rate", "200", "--duration", "1s", &url];
    let result = load_without_errors(&arguments);
    assert!(number(&result, "published") > 50.0, "{result}");
    for part in [
        "websocket_messages_total{direction=\"in\"",
        "requests_total{route=\"/demo/json\"",
        "topic_deliveries_total",
    ] {
        assert!(metric(&serving, &format!("windlass_{part}")) > 0.0, "no {part}");
    }
}

#[test]
fn a_killed_server_causes_connect_errors() {
    let mut serving = Serving::start(&[]);
    let url = url(serving.address(), "/demo/plaintext");
    let loading = windlass(&["load", "--connections", "2", "--duration", "1s", &url]);
    let loading = thread::spawn(move || crate::common::output(loading));
    crate::common::eventually("the load has started", || {
        metric(&serving, "windlass_requests_total{route=\"/demo/plaintext\"") > 0.0
    });
    serving.signal(Signal::KILL);
    serving.ended();
    let output = loading.join().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("connect: "), "{}", text(&output));
    let (status, result) = load(&["--connections", "2", "--duration", "0.3s", &url]);
    assert_eq!((status, number(&result, "requests")), (1, 0.0), "{result}");
    assert!(number(&result["errors_by_kind"], "connect") > 0.0, "{result}");
}

#[test]
fn unexpected_replies_are_errors_by_kind() {
    let serving = Serving::start(&[]);
    let arguments = ["--connections", "1", "--duration", "0.2s", &url(serving.address(), "/nowhere")];
    let (status, result) = load(&arguments);
    assert!(status == 1 && number(&result["errors_by_kind"], "status") > 0.0, "{result}");
    // A server whose replies are not HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = std::io::Write::write_all(&mut stream, b"hello\r\n\r\n");
        }
    });
    let (status, result) = load(&["--connections", "1", "--duration", "0.2s", &url(address, "/")]);
    assert!(status == 1 && number(&result["errors_by_kind"], "malformed") > 0.0, "{result}");
}

#[test]
fn the_result_is_a_table_and_each_second_a_csv_line() {
    let serving = Serving::start(&[]);
    let file = TempFile::new("load.csv", "");
    let url = url(serving.address(), "/demo/plaintext");
    let output = run(&["load", "--rate", "100", "--duration", "2.2s", "--csv", file.path(), &url]);
    assert!(output.status.success(), "{}", text(&output));
    for word in ["responses in 2.", "0 errors", "p50", "p99.99", "max", "delay of this client"] {
        assert!(text(&output).contains(word), "no '{word}' in {}", text(&output));
    }
    let csv = std::fs::read_to_string(file.path()).unwrap();
    let requests: Vec<u64> =
        csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!(requests.len() == 3 && (219..=220).contains(&requests.iter().sum::<u64>()), "{csv}");
}

#[test]
fn invalid_arguments_are_refused() {
    is_refused(&run(&["load", "127.0.0.1:80"]), &["http://HOST"]);
    is_refused(&run(&["load", "https://127.0.0.1/"]), &["only http://"]);
    is_refused(&run(&["load", "--rate", "0", "http://127.0.0.1/"]), &["--rate"]);
    is_refused(&run(&["load", "--duration", "soon", "http://127.0.0.1/"]), &["--duration"]);
    is_refused(&run(&["load", "--csv", "/nowhere/x.csv", "http://127.0.0.1/"]), &["/nowhere/x.csv"]);
}
