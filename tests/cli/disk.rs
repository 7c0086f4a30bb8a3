//! The topic store of the binary on a disk that is full, and without its file.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::PathBuf,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::common::{Serving, TIMEOUT, eventually, is_refused, output, run, windlass};

/// A directory for a topic store, removed on drop.
struct Data(PathBuf);

impl Data {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-cli-{}-disk-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("replay.redb")
    }

    fn start(&self, engine: &str) -> Serving {
        Serving::start(&["--engine", engine, "--data", self.0.to_str().unwrap()])
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Limits the size of the files that the server writes, which is what a full disk is to it. `None`: no limit.
fn limit_files(serving: &Serving, bytes: Option<u64>) {
    let id = Pid::from_raw(serving.id() as i32);
    prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Publishes an event and returns the status and the body.
fn publish(serving: &Serving, data: &str) -> (u16, String) {
    let (status, _, body) = serving.connect().post("/topics/t", "", data);
    (status, body)
}

fn readiness(serving: &Serving) -> (u16, String) {
    let (status, _, body) = serving.connect().get("/readyz");
    (status, body)
}

/// Counts the log lines that contain these words.
fn count(serving: &Serving, words: &str) -> usize {
    serving.lines().iter().filter(|line| line.contains(words)).count()
}

/// Publishes until the disk is full. Returns the ids of the acknowledged events.
fn fill(serving: &Serving) -> Vec<String> {
    let event = "x".repeat(20_000);
    let mut ids = Vec::new();
    loop {
        let (status, body) = publish(serving, &event);
        if status != 202 {
            assert!(status >= 500, "{status} {body}");
            return ids;
        }
        ids.push(
            serde_json::from_str::<serde_json::Value>(&body).unwrap()["id"].as_str().unwrap().to_owned(),
        );
    }
}

/// Reads the ids of the stored events, as many as given.
fn stored_ids(serving: &Serving, number: usize) -> Vec<String> {
    let mut stream = TcpStream::connect(serving.address()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(b"GET /topics/t?last_event_id=earliest HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let ids =
        lines.filter_map(|line| line.strip_prefix("id: ").or(line.strip_prefix("id:")).map(str::to_owned));
    ids.take(number).collect()
}

#[test]
fn a_full_disk_is_reported_once_and_left_without_a_restart() {
    for engine in ["io_uring", "epoll"] {
        let data = Data::new(engine);
        let mut serving = data.start(engine);
        assert_eq!(publish(&serving, "first").0, 202);
        assert_eq!(readiness(&serving), (200, "ready\n".to_owned()));
        limit_files(&serving, Some(fs::metadata(data.file()).unwrap().len()));
        let mut acknowledged = fill(&serving).len() + 1;
        let full = (503, "not ready: the disk of the topic store is full\n".to_owned());
        assert_eq!(readiness(&serving), full, "{engine}");
        eventually("several attempts to recover fail", || {
            assert_ne!(
                publish(&serving, &"x".repeat(20_000)).0,
                202,
                "{engine}: acknowledged on a full disk"
            );
            serving.connect().get("/metrics").2.contains("windlass_replay_errors_total{op=\"append\"}")
                && count(&serving, "topic store failed") == 1
        });
        assert!(
            serving.has("File too large"),
            "{engine}: the log must have the cause: {:?}",
            serving.lines()
        );
        assert_eq!(readiness(&serving), full, "{engine}: it is still full");

        limit_files(&serving, None);
        eventually("the store recovers without a publisher", || readiness(&serving).0 == 200);
        assert_eq!(publish(&serving, "back").0, 202, "{engine}");
        acknowledged += 1;
        eventually("the recovery is logged", || count(&serving, "topic store works again") == 1);
        assert_eq!(count(&serving, "topic store failed"), 1, "{:?}", serving.lines());

        limit_files(&serving, Some(fs::metadata(data.file()).unwrap().len()));
        acknowledged += fill(&serving).len();
        eventually("the next failure is logged", || count(&serving, "topic store failed") == 2);
        serving.signal(Signal::TERM);
        assert_eq!(serving.ended().code(), Some(1), "{engine}: 2 would tell systemd never to start again");
        assert!(serving.has("topic store did not close cleanly"), "{:?}", serving.lines());

        let serving = data.start(engine);
        assert_eq!(stored_ids(&serving, acknowledged).len(), acknowledged, "{engine}");
        assert_eq!(publish(&serving, "after the restart").0, 202, "{engine}");
    }
}

#[test]
fn a_start_on_a_full_disk_ends_with_status_1() {
    let data = Data::new("start");
    let command = windlass(&["--listen", "127.0.0.1:0", "--data", data.0.to_str().unwrap()]);
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", "ulimit -f 8; trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command.get_program());
    limited.args(command.get_args()).env_remove("RUST_LOG");
    let output = output(limited);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("File too large") && text.contains(data.0.to_str().unwrap()), "{text}");
}

#[test]
fn nothing_is_acknowledged_for_a_file_without_a_name() {
    for engine in ["io_uring", "epoll"] {
        let data = Data::new(&format!("gone-{engine}"));
        let mut serving = data.start(engine);
        assert_eq!(publish(&serving, "kept").0, 202);
        let away = data.0.join("away");
        fs::rename(data.file(), &away).unwrap();
        let (status, body) = publish(&serving, "refused");
        assert!(status >= 500, "{engine}: {status} {body}");
        let gone = "not ready: the file of the topic store was deleted, moved away or replaced\n";
        assert_eq!(readiness(&serving), (503, gone.to_owned()), "{engine}");
        let path = data.file();
        let damage = format!("{} was deleted or moved away while it was in use", path.display());
        eventually("the log names the file and the damage", || serving.has(&damage));
        assert_eq!(stored_ids(&serving, 1).len(), 1, "{engine}: the history can still be read");

        fs::write(data.file(), "another file").unwrap();
        assert_ne!(publish(&serving, "refused").0, 202, "{engine}");
        fs::rename(&away, data.file()).unwrap();
        eventually("the store recovers", || readiness(&serving).0 == 200);
        assert_eq!(publish(&serving, "kept, too").0, 202, "{engine}");
        assert_eq!(stored_ids(&serving, 2).len(), 2, "{engine}");

        fs::remove_dir_all(&data.0).unwrap();
        eventually("the loss is noticed without a publisher", || readiness(&serving).0 == 503);
        assert_ne!(publish(&serving, "refused").0, 202, "{engine}");
        serving.signal(Signal::TERM);
        assert_eq!(serving.ended().code(), Some(1), "{engine}: {:?}", serving.lines());
        let serving = data.start(engine);
        assert_eq!(publish(&serving, "a new history").0, 202, "{engine}");
    }
}

#[test]
fn a_damaged_store_is_one_line_that_names_the_file_and_the_damage() {
    let data = Data::new("damaged");
    let mut serving = data.start("epoll");
    for _ in 0..50 {
        assert_eq!(publish(&serving, &"x".repeat(2000)).0, 202);
    }
    serving.signal(Signal::TERM);
    assert_eq!(serving.ended().code(), Some(0));
    let whole = fs::read(data.file()).unwrap();
    let refused = |damaged: &[u8], words: &[&str]| {
        fs::write(data.file(), damaged).unwrap();
        let output = run(&["--listen", "127.0.0.1:0", "--data", data.0.to_str().unwrap()]);
        let line = is_refused(&output, &[&[data.file().to_str().unwrap()], words].concat());
        assert!(!line.contains("panicked") && !line.contains("unreachable"), "{line}");
        assert!(line.contains("move it away"), "{line}");
    };
    refused(&whole[..whole.len() / 2], &["damaged", "truncated"]);
    refused(&[b"notes".repeat(1000), whole.clone()].concat(), &["not a topic store"]);
    // Pages of nonsense make redb's own assertions fail.
    for first in [1, 2, 3, 4, 8, 16, 32] {
        let mut damaged = whole.clone();
        damaged[first * 4096..].fill(0x78);
        refused(&damaged, &["damaged"]);
    }
}
