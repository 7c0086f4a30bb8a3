//! `windlass soak`: a short soak that passes, soaks that fail, and the report.

use std::{path::PathBuf, process::Output, thread};

use rustix::process::Signal;

use crate::common::{Serving, eventually, is_refused, output, run, windlass};

/// A temporary folder, removed on drop.
struct Out(PathBuf);

impl Out {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-soak-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["soak", "--out", self.0.to_str().unwrap()], more].concat()
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asserts exit status 1 and a verdict that contains these words.
#[track_caller]
fn assert_fails(output: &Output, words: &[&str]) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("FAIL server; FAILED "), "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "no '{word}' in {text}"));
}

/// Starts a server. Returns it with its URL.
fn serve() -> (Serving, String) {
    let serving = Serving::start(&[]);
    let url = format!("http://{}/demo/json", serving.address());
    (serving, url)
}

#[test]
fn a_short_soak_passes_and_writes_a_self_contained_report() {
    let (_first, one) = serve();
    let (_second, two) = serve();
    let out = Out::new("pass");
    let (one, two) = (format!("a={one}"), format!("b={two}"));
    let targets =
        ["--target", &one, "--target", &two, "--duration", "3s", "--connections", "10", "--rate", "100"];
    // A young server's memory varies, and other tests run beside it, so the limit for memory is raised.
    let output =
        run(&out.arguments(&[&targets[..], &["--workload", "mixed", "--max-rss-spread", "50"]].concat()));
    assert!(output.status.success(), "{}{}", text(&output), String::from_utf8_lossy(&output.stderr));
    assert!(
        text(&output).starts_with("PASS a; ") && text(&output).contains("\nPASS b; "),
        "{}",
        text(&output)
    );
    let page = out.read("report.html");
    assert!(page.contains("<svg") && page.contains("resident memory") && page.contains("PASS a; "));
    assert!(
        !page.contains("http://") && !page.contains("<script") && !page.contains("src="),
        "the report must not need another file"
    );
    for name in ["a", "b"] {
        let csv = out.read(&format!("{name}.csv"));
        let columns = csv.lines().next().unwrap().split(',').count();
        assert!(
            csv.lines().count() >= 4 && csv.lines().all(|line| line.split(',').count() == columns),
            "{csv}"
        );
        assert!(csv.lines().nth(1).unwrap().split(',').take(8).all(|figure| !figure.is_empty()), "{csv}");
        assert!(out.read(&format!("{name}-metrics-after.txt")).contains("windlass_requests_total"));
    }
}

#[test]
fn a_server_that_is_killed_does_not_pass() {
    let (mut serving, url) = serve();
    let out = Out::new("dies");
    let soak = windlass(&out.arguments(&["--target", &url, "--duration", "4s", "--connections", "2"]));
    let soak = thread::spawn(move || output(soak));
    eventually("the soak has written a sample", || {
        out.0.join("server.csv").exists() && out.read("server.csv").lines().count() > 1
    });
    serving.signal(Signal::KILL);
    serving.ended();
    assert_fails(&soak.join().unwrap(), &["samples", "but none from before", "FAILED client errors"]);
}

#[test]
fn a_missing_server_does_not_pass() {
    let (mut serving, url) = serve();
    serving.signal(Signal::KILL);
    serving.ended();
    let out = Out::new("dead");
    let output = run(&out.arguments(&["--target", &url, "--duration", "1s", "--connections", "2"]));
    assert_fails(&output, &["samples: 0", "requests: 0 > 0", "client errors"]);
}

#[test]
fn client_errors_do_not_pass() {
    let (serving, _) = serve();
    let out = Out::new("errors");
    let url = format!("http://{}/nowhere", serving.address());
    let output = run(&out.arguments(&["--target", &url, "--duration", "1s", "--connections", "2"]));
    assert_fails(&output, &["client errors", "status: 404"]);
}

#[test]
fn leaked_descriptors_do_not_pass() {
    let (serving, url) = serve();
    let out = Out::new("descriptors");
    let soak = windlass(&out.arguments(&[
        "--target",
        &url,
        "--duration",
        "2s",
        "--connections",
        "2",
        "--settle",
        "1s",
    ]));
    let soak = thread::spawn(move || output(soak));
    eventually("the soak has written a sample", || {
        out.0.join("server.csv").exists() && out.read("server.csv").lines().count() > 1
    });
    // A connection of the test looks like a descriptor that the server leaked.
    let mut client = serving.connect();
    client.get("/demo/json");
    assert_fails(&soak.join().unwrap(), &["descriptors afterwards"]);
}

#[test]
fn invalid_arguments_are_refused() {
    let targets = ["--target", "http://127.0.0.1:1/", "--target", "http://127.0.0.1:2/"];
    is_refused(&run(&[&["soak"], &targets[..]].concat()), &["NAME=URL"]);
    is_refused(&run(&["soak", "--target", "http://127.0.0.1:1/", "--pid", "1", "--pid", "2"]), &["--pid"]);
    is_refused(
        &run(&["soak", "--target", "http://127.0.0.1:1/", "--out", "/proc/nowhere"]),
        &["/proc/nowhere"],
    );
    is_refused(&run(&["soak"]), &["--target"]);
}
