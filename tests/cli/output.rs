//! Standard output and standard error: readers that stop reading or are gone, closed streams, and full disks.

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeReader, PipeWriter, Read, Write, pipe},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
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

/// The path of a Unix socket, removed on drop: a server whose log cannot be read is found there.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(format!("windlass-output-{process}-{number}.sock")))
    }

    fn listen(&self) -> String {
        format!("unix:{}", self.0.display())
    }

    fn get(&self, path: &str) -> io::Result<String> {
        get(&self.0, path)
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Sends a GET on a new connection and returns the whole reply.
fn get(socket: &Path, path: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// Sends this many GETs on one connection and waits for their replies.
#[track_caller]
fn pipeline(socket: &Path, requests: usize) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let get = "GET /demo/plaintext HTTP/1.1\r\nHost: t\r\n\r\n";
    let sends = thread::spawn(move || {
        (0..requests).for_each(|_| sender.write_all(get.as_bytes()).unwrap());
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut replies = 0;
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => replies += String::from_utf8_lossy(&buffer[..read]).matches("HTTP/1.1").count(),
            Err(error) => {
                panic!("after {replies} of {requests} replies: {error}, sent {}", sends.is_finished())
            }
        }
    }
    sends.join().unwrap();
}

/// Runs a server with these streams, sends it requests and TERM, and checks that it exits with status 0.
/// Returns the metrics page.
#[track_caller]
fn serve_and_stop(engine: &str, requests: usize, stdout: Stdio, stderr: Stdio) -> String {
    let socket = SocketPath::new();
    let arguments = ["--listen", &socket.listen(), "--shards", "1", "--engine", engine, "--access-log"];
    let mut child = windlass(&arguments).stdout(stdout).stderr(stderr).spawn().unwrap();
    eventually("the server serves", || {
        socket.get("/demo/plaintext").is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"))
    });
    pipeline(&socket.0, requests);
    let page = socket.get("/metrics").unwrap();
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() && began.elapsed() < TIMEOUT {
        thread::sleep(Duration::from_millis(5));
    }
    let status = child.try_wait().unwrap();
    let _ = child.kill();
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{engine}: the status after TERM");
    page
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_the_end() {
    /// More than the queue of the access log holds.
    const MANY: usize = 30_000;
    for engine in ["io_uring", "epoll"] {
        let (_reader, writer) = full_pipe();
        serve_and_stop(engine, MANY, writer.into(), Stdio::null());
        let (_reader, writer) = full_pipe();
        serve_and_stop(engine, 1, Stdio::null(), writer.into());
        let (_reader, writer) = full_pipe();
        serve_and_stop(engine, MANY, writer.try_clone().unwrap().into(), writer.into());
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
        let page = serve_and_stop(engine, 1, broken, Stdio::null());
        let lost = page
            .lines()
            .find_map(|line| line.strip_prefix(r#"windlass_log_lines_lost_total{stream="stdout"} "#));
        let lost: u64 = lost.expect("the metric is on the page").parse().unwrap();
        assert!(lost >= 1, "{engine}: the access log is broken, but {lost} lines are lost");
    }
}

#[test]
fn the_access_log_is_complete_after_the_end() {
    let socket = SocketPath::new();
    let log = TempFile::new("access.log", "");
    let mut child = windlass(&["--listen", &socket.listen(), "--shards", "1", "--access-log"])
        .stdout(File::create(&log.0).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the server serves", || socket.get("/demo/plaintext").is_ok());
    for _ in 0..20 {
        socket.get("/demo/json").unwrap();
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
