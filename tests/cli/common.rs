//! The binary as a child process, and a small HTTP client.

#[path = "../support/eventually.rs"]
mod eventually;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use eventually::{TIMEOUT, eventually};

/// Builds a command that runs the binary with these arguments.
pub(crate) fn windlass(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs the binary until it exits.
pub(crate) fn run(arguments: &[&str]) -> Output {
    output(windlass(arguments))
}

/// Runs a command until it exits; kills it at the timeout, which fails the test through its status.
pub(crate) fn output(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + TIMEOUT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// Asserts exit status 2 and a single error line that contains all these words. Returns the line.
#[track_caller]
pub(crate) fn is_refused(output: &Output, words: &[&str]) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "the error must be a single line: {text}");
    assert!(text.starts_with("windlass: "), "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "no '{word}' in: {text}"));
    assert!(output.stdout.is_empty(), "{}", output.stdout.escape_ascii());
    text
}

/// A temporary file, removed on drop.
pub(crate) struct TempFile(pub(crate) PathBuf);

impl TempFile {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A configuration without load shedding, for tests that count every reply on a busy machine.
const SHED_NOTHING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cli/shed_nothing.toml");

/// A server process, killed on drop.
pub(crate) struct Serving {
    child: Child,
    lines: Lines,
    stdout: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Serving {
    /// Starts a server on a free port with two shards, as one per core is too many for tests. Load shedding
    /// is off unless the arguments name a configuration.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let own = arguments.contains(&"--config");
        let shedding: &[&str] = if own { &[] } else { &["--config", SHED_NOTHING] };
        Self::start_on(&[&["--listen", "127.0.0.1:0", "--shards", "2"], shedding, arguments].concat())
    }

    /// Starts a server with exactly these arguments and waits until it serves.
    pub(crate) fn start_on(arguments: &[&str]) -> Self {
        Self::start_with(arguments, |_| ())
    }

    /// Like [`start_on`](Self::start_on), with further settings of the command.
    pub(crate) fn start_with(arguments: &[&str], set: impl FnOnce(&mut Command)) -> Self {
        let mut command = windlass(arguments);
        set(&mut command);
        Self::spawn(command)
    }

    /// Starts the command and waits until it serves.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = collect(child.stderr.take().unwrap());
        let stdout = collect(child.stdout.take().unwrap());
        let mut serving = Self { child, lines, stdout };
        eventually("the server serves or exits", || {
            serving.child.try_wait().unwrap().is_some() || serving.has("serving address=")
        });
        assert!(serving.has("serving address="), "the server exited: {:?}", serving.lines());
        serving
    }

    /// Returns the lines of standard error so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Returns the lines of standard output so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    pub(crate) fn has(&self, words: &str) -> bool {
        self.lines().iter().any(|line| line.contains(words))
    }

    /// Returns the addresses that the log reports.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let address = |line: &String| line.split_once("serving address=")?.1.split(' ').next()?.parse().ok();
        self.lines().iter().filter_map(address).collect()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// Waits until the process has exited and all its output was read.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the server exits", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        eventually("all output was read", || {
            Arc::strong_count(&self.lines) == 1 && Arc::strong_count(&self.stdout) == 1
        });
        status.unwrap()
    }

    #[track_caller]
    pub(crate) fn is_running(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "{:?}", self.lines());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects lines on a thread, which drops its reference at the end of the input.
fn collect(from: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let into = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            into.lock().unwrap().push(line.unwrap());
        }
    });
    lines
}

/// A keep-alive connection for replies with a `Content-Length`.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self::over(stream)
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a GET and returns status, head and body.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> (u16, String, String) {
        self.try_get(path).unwrap().expect("expected a reply")
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, head: &str, body: &str) -> (u16, String, String) {
        self.send(format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\n{head}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.reply().unwrap().expect("expected a reply")
    }

    /// Sends a GET; `None` if the server closed cleanly before the first byte of the reply.
    pub(crate) fn try_get(&mut self, path: &str) -> std::io::Result<Option<(u16, String, String)>> {
        self.0.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes())?;
        self.reply()
    }

    /// Reads one reply.
    pub(crate) fn reply(&mut self) -> std::io::Result<Option<(u16, String, String)>> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                let clean = head.is_empty();
                return if clean { Ok(None) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body)?;
        Ok(Some((head[9..12].parse().unwrap(), head, String::from_utf8(body).unwrap())))
    }
}
