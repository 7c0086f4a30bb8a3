//! Standard output and standard error: readers that stop reading or are gone, closed streams, and full disks.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};

use crate::common::{TIMEOUT, TempFile, eventually, windlass};

/// Creates a pipe that has no room left, because its reader does not read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while writer.write(&vec![b'x'; size]).is_ok() {}
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// Creates the writing end of a pipe whose reader is gone.
fn closed_pipe() -> Stdio {
    pipe().unwrap().1.into()
}

fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// Returns a free address: a server whose log cannot be read is found there.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Sends a GET on a new connection and returns the whole reply.
fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// Sends this many GETs on one connection and waits for their replies.
#[track_caller]
fn pipeline(address: SocketAddr, requests: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let get = "GET /demo/plaintext HTTP/1.1\r\nHost: t\r\n\r\n";
    let sends = thread::spawn(move || (0..requests).for_each(|_| sender.write_all(get.as_bytes()).unwrap()));
    let mut lines = BufReader::new(&mut stream).lines();
    for number in 0..requests {
        let is_status =
            |line: &io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("HTTP/1.1 "));
        assert!(lines.any(|line| is_status(&line)), "the reply to request {number} is missing");
    }
    sends.join().unwrap();
}

/// Runs a server with these streams, sends it requests and TERM, and checks that it exits with status 0.
/// Waits before for a metrics page that satisfies the condition.
#[track_caller]
fn serve_and_stop(
    engine: &str,
    requests: usize,
    stdout: Stdio,
    stderr: Stdio,
    is_awaited: impl Fn(&str) -> bool,
) {
    let address = free_address();
    let arguments = ["--listen", &address.to_string(), "--shards", "1", "--engine", engine, "--access-log"];
    let mut child = windlass(&arguments).stdout(stdout).stderr(stderr).spawn().unwrap();
    eventually("the server serves", || {
        get(address, "/demo/plaintext").is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"))
    });
    pipeline(address, requests);
    eventually("the metrics show what the test waits for", || is_awaited(&get(address, "/metrics").unwrap()));
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() && began.elapsed() < TIMEOUT {
        thread::sleep(Duration::from_millis(5));
    }
    let status = child.try_wait().unwrap();
    let _ = child.kill();
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{engine}: the status after TERM");
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_the_end() {
    /// More than the queue of the access log holds.
    const MANY: usize = 30_000;
    for engine in ["io_uring", "epoll"] {
        let (_reader, writer) = full_pipe();
        serve_and_stop(engine, MANY, writer.into(), Stdio::null(), |_| true);
        let (_reader, writer) = full_pipe();
        serve_and_stop(engine, 1, Stdio::null(), writer.into(), |_| true);
        let (_reader, writer) = full_pipe();
        serve_and_stop(engine, MANY, writer.try_clone().unwrap().into(), writer.into(), |_| true);
    }
}

#[test]
fn an_error_for_a_reader_that_does_not_read_still_ends_the_command() {
    let (_reader, writer) = full_pipe();
    let mut child = windlass(&["--listen", "nowhere"]).stderr(writer).spawn().unwrap();
    eventually("the command ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn lines_that_a_closed_log_loses_are_counted() {
    for (engine, broken) in [("io_uring", closed_pipe()), ("epoll", full_disk())] {
        let lost = |page: &str| {
            let sample = "windlass_log_lines_lost_total{stream=\"stdout\"} ";
            page.lines().find_map(|line| line.strip_prefix(sample)?.parse::<u64>().ok()).unwrap_or(0)
        };
        serve_and_stop(engine, 1, broken, Stdio::null(), |page| lost(page) >= 1);
    }
}

#[test]
fn the_access_log_is_complete_after_the_end() {
    let address = free_address();
    let log = TempFile::new("access.log", "");
    let mut child = windlass(&["--listen", &address.to_string(), "--shards", "1", "--access-log"])
        .stdout(File::create(&log.0).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the server serves", || get(address, "/demo/plaintext").is_ok());
    for _ in 0..20 {
        get(address, "/demo/json").unwrap();
    }
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = std::fs::read_to_string(&log.0).unwrap();
    assert_eq!(text.matches("\"path\":\"/demo/json\"").count(), 20, "{text}");
}

#[test]
fn closed_and_full_streams_change_no_exit_status() {
    let valid = TempFile::new("valid.toml", "access_log = true\n");
    let commands: [(&[&str], i32); 5] = [
        (&["--help"], 0),
        (&["--version"], 0),
        (&["check-config", valid.path()], 0),
        (&["check-config", "/nowhere.toml"], 2),
        (&["--lisen", "x"], 2),
    ];
    for (arguments, expected) in commands {
        let status = |set: &dyn Fn(&mut Command)| {
            let mut command = windlass(arguments);
            set(command.stdout(Stdio::null()).stderr(Stdio::null()));
            command.status().unwrap().code()
        };
        assert_eq!(status(&|_| ()), Some(expected), "{arguments:?}");
        for broken in [closed_pipe, full_disk] {
            let broken = |command: &mut Command| {
                command.stdout(broken()).stderr(broken());
            };
            assert_eq!(status(&broken), Some(expected), "{arguments:?}");
        }
    }
}
