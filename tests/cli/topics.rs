//! Topics of the binary: access control, configuration, and a check of the history across repeated kills.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixListener,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};

use crate::common::{Serving, TIMEOUT, TempFile, is_refused, run};

#[test]
fn publishing_needs_a_token_unless_the_server_is_local() {
    is_refused(&run(&["--listen", "0.0.0.0:0"]), &["0.0.0.0:0", "--publish-token", "--no-topics"]);
    is_refused(&run(&["--publish-token", ""]), &["publish_token is empty"]);
    is_refused(&run(&["--durability", "fsynced"]), &["--data"]);
    is_refused(&run(&["--policy", "dorp"]), &["dorp", "--policy"]);
    is_refused(&run(&["--mailbox-events", "0"]), &["mailbox_events"]);
    is_refused(&run(&["--cors-origin", "app.example"]), &["app.example", "https://"]);
    let serving = Serving::start_on(&["--listen", "0.0.0.0:0", "--shards", "1", "--publish-token", "secret"]);
    let address = SocketAddr::from(([127, 0, 0, 1], serving.address().port()));
    let mut client = crate::common::Client::connect(address);
    assert_eq!(client.post("/topics/t", "", "x").0, 401);
    assert_eq!(client.post("/topics/t", "Authorization: Bearer secret\r\n", "x").0, 202);
    let serving = Serving::start(&["--no-topics"]);
    assert_eq!(serving.connect().get("/topics").0, 404);
}

/// Publishes with each of these tokens and returns the statuses.
fn publish_with(serving: &Serving, tokens: [&str; 4]) -> [u16; 4] {
    let mut client = serving.connect();
    tokens.map(|token| client.post("/topics/t", &format!("Authorization: Bearer {token}\r\n"), "x").0)
}

#[test]
fn tokens_come_from_flags_files_and_the_environment() {
    let file = TempFile::new("token", "from-file\r\n");
    let config = TempFile::new("token.toml", "[topics]\npublish_token = \"from-config\"\n");
    let other = format!("[topics]\npublish_token_file = {:?}\n", file.path());
    let config_file = TempFile::new("token-file.toml", &other);
    let start = |arguments: &[&str], environment: Option<&str>| {
        let arguments = [&["--listen", "127.0.0.1:0", "--shards", "1"], arguments].concat();
        Serving::start_with(&arguments, |command| {
            command.envs(environment.map(|token| ("WINDLASS_PUBLISH_TOKEN", token)));
        })
    };
    let tokens = ["from-flag", "from-file", "from-env", "from-config"];
    let flag = ["--publish-token", "from-flag", "--config", config.path()];
    assert_eq!(publish_with(&start(&flag, Some("from-env")), tokens), [202, 401, 401, 401]);
    let flag = ["--publish-token-file", file.path(), "--config", config.path()];
    assert_eq!(publish_with(&start(&flag, Some("from-env")), tokens), [401, 202, 401, 401]);
    let flag = ["--config", config.path()];
    assert_eq!(publish_with(&start(&flag, Some("from-env")), tokens), [401, 401, 202, 401]);
    assert_eq!(publish_with(&start(&flag, None), tokens), [401, 401, 401, 202]);
    let flag = ["--config", config_file.path()];
    assert_eq!(publish_with(&start(&flag, None), tokens), [401, 202, 401, 401]);

    let subscribing = start(&["--subscribe-token-file", file.path()], None);
    assert_eq!(subscribing.connect().get("/topics/t").0, 401);
    assert_eq!(subscribing.connect().get("/topics?access_token=from-file").0, 200);
}

#[test]
fn tokens_that_cannot_be_used_are_refused_with_their_origin() {
    let refused = |content: &str, words: &[&str]| {
        let file = TempFile::new("bad-token", content);
        let words = [&["publish_token", file.path()], words].concat();
        is_refused(&run(&["--publish-token-file", file.path()]), &words);
        let config = format!("[topics]\npublish_token_file = {:?}\n", file.path());
        let config = TempFile::new("bad-token.toml", &config);
        is_refused(&run(&["check-config", config.path()]), &words);
    };
    refused("", &["is empty"]);
    refused("\n", &["is empty"]);
    refused("a\nb\n", &["control character"]);
    refused(" secret", &["white space"]);
    refused(&"x".repeat(70_000), &["larger than 64 KiB"]);
    is_refused(&run(&["--publish-token-file", "/nowhere"]), &["publish_token", "/nowhere", "No such file"]);
    is_refused(&run(&["--publish-token-file", "/"]), &["publish_token", "directory"]);
    is_refused(&run(&["--publish-token", "a", "--publish-token-file", "b"]), &["--publish-token"]);
    let both = TempFile::new(
        "both-tokens.toml",
        "[topics]\nsubscribe_token = \"a\"\nsubscribe_token_file = \"b\"\n",
    );
    is_refused(
        &run(&["check-config", both.path()]),
        &["subscribe_token", "subscribe_token_file", "both set"],
    );
    let mut command = crate::common::windlass(&["--listen", "127.0.0.1:0"]);
    command.env("WINDLASS_PUBLISH_TOKEN", "");
    is_refused(&crate::common::output(command), &["publish_token is empty"]);
}

#[test]
fn other_kinds_of_files_in_the_data_directory_do_not_hang_the_start() {
    for name in ["replay.lock", "replay.redb", "replay.redb.new"] {
        let data = TempDir::new("not-regular");
        std::fs::create_dir(&data.0).unwrap();
        let path = data.0.join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        let start = || run(&["--listen", "127.0.0.1:0", "--data", data.0.to_str().unwrap()]);
        is_refused(&start(), &[path.to_str().unwrap(), "not a regular file", "move it away"]);
        std::fs::remove_file(&path).unwrap();
        let _socket = UnixListener::bind(&path).unwrap();
        is_refused(&start(), &[path.to_str().unwrap(), "not a regular file"]);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        is_refused(&start(), &[path.to_str().unwrap(), "irectory"]);
    }
}

#[test]
fn a_file_configures_topics_by_pattern() {
    let text = "[topics]\npolicy = \"remove\"\nheartbeat = \"off\"\n\
                [[topics.pattern]]\ntopics = \"prices/*\"\npolicy = \"close\"\nmailbox_events = 1000\n";
    let file = TempFile::new("topics.toml", text);
    assert!(run(&["check-config", file.path()]).status.success());
    let file = TempFile::new("topics-bad.toml", "[topics]\nmailbox = 1\n");
    is_refused(&run(&["check-config", file.path()]), &["line 2", "mailbox"]);
    let file = TempFile::new("topics-worse.toml", "[[topics.pattern]]\ntopics = \"x\"\nmailbox_bytes = 0\n");
    is_refused(&run(&["check-config", file.path()]), &["pattern 'x'", "at least 1"]);
}

#[test]
fn several_origins_may_be_permitted() {
    let (app, admin) = ("https://app.example", "http://admin.example:8080");
    let file = TempFile::new("origins.toml", &format!("[topics]\ncors_origin = [\"{app}\", \"{admin}\"]\n"));
    let repeated = ["--cors-origin", app, "--cors-origin", admin];
    let separated = [app, admin].join(",");
    for arguments in [&repeated[..], &["--cors-origin", &separated], &["--config", file.path()]] {
        let serving = Serving::start(arguments);
        for (origin, is_permitted) in [(app, true), (admin, true), ("https://evil.example", false)] {
            let (status, head, _) =
                serving.connect().post("/topics/t", &format!("Origin: {origin}\r\n"), "x");
            assert_eq!(status, if is_permitted { 202 } else { 403 }, "{arguments:?} {origin}");
            let field = format!("access-control-allow-origin: {origin}\r\n");
            assert_eq!(head.contains(&field), is_permitted, "{head}");
            assert_eq!(head.contains("access-control-allow-credentials: true\r\n"), is_permitted, "{head}");
        }
    }
    for (value, is_valid) in [
        ("\"*\"", true),
        ("[\"*\"]", true),
        ("[]", true),
        ("\"https://[::1]:8443\"", true),
        ("\"capacitor://localhost\"", true),
        ("[\"*\", \"https://app.example\"]", false),
        ("\"https://app.example/\"", false),
        ("\"https://app.example/path\"", false),
        ("\"https://user@app.example\"", false),
        ("\"https://\"", false),
        ("\"null\"", false),
        ("\"\"", false),
        ("7", false),
    ] {
        for key in ["cors_origin", "cors_origins"] {
            let file = TempFile::new("origin.toml", &format!("[topics]\n{key} = {value}\n"));
            let output = run(&["check-config", file.path()]);
            assert_eq!(output.status.success(), is_valid, "{value}: {}", output.stderr.escape_ascii());
            if !is_valid {
                is_refused(&output, &["origin"]);
            }
        }
    }
}

/// A temporary directory, removed on drop.
struct TempDir(std::path::PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-cli-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_history_survives_a_restart_and_belongs_to_one_server() {
    let data = TempDir::new("outlives");
    let path = data.0.to_str().unwrap();
    let mut first = Serving::start(&["--data", path]);
    let (status, _, answer) = first.connect().post("/topics/t", "", "kept");
    assert_eq!(status, 202);
    is_refused(&run(&["--listen", "127.0.0.1:0", "--data", path]), &[path, "--data"]);
    first.signal(Signal::TERM);
    assert!(first.ended().success(), "{:?}", first.lines());
    let second = Serving::start(&["--data", path]);
    let mut events = Events::connect(second.address(), Some("earliest")).unwrap();
    let event = events.next().unwrap();
    assert!(answer.contains(&event.id) && event.data == "kept", "{answer} {event:?}");
}

/// Record shared by publishers and subscribers.
#[derive(Default)]
struct Ledger {
    /// Data of acknowledged events by number.
    acknowledged: Mutex<BTreeMap<u64, String>>,
    /// Number of events sent, acknowledged or not.
    attempts: Mutex<u64>,
    stop: AtomicBool,
}

/// Returns the number of kills; `WINDLASS_KILLS` raises it for long runs.
fn kills() -> usize {
    std::env::var("WINDLASS_KILLS").map_or(20, |kills| kills.parse().unwrap())
}

#[test]
fn kills_lose_no_acknowledged_event_and_every_gap_is_reported() {
    let data = TempDir::new("kills");
    let path = data.0.to_str().unwrap().to_owned();
    let mut serving = Serving::start(&["--data", &path]);
    let address = serving.address();
    let listen = address.to_string();
    let ledger = Ledger::default();
    let received = thread::scope(|scope| {
        let publishers: Vec<_> = (0..3)
            .map(|n| {
                scope.spawn({
                    let ledger = &ledger;
                    move || publish(address, ledger, n)
                })
            })
            .collect();
        let subscribers: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let ledger = &ledger;
                    move || subscribe(address, ledger, n)
                })
            })
            .collect();
        for kill in 0..kills() {
            // The server is killed at a different moment of its life each time.
            thread::sleep(Duration::from_millis(30 + (kill as u64 * 37) % 150));
            serving.signal(Signal::KILL);
            serving.ended();
            serving = Serving::start_on(&["--listen", &listen, "--shards", "2", "--data", &path]);
        }
        thread::sleep(Duration::from_millis(200));
        ledger.stop.store(true, Ordering::SeqCst);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        subscribers.into_iter().map(|subscriber| subscriber.join().unwrap()).collect::<Vec<_>>()
    });
    let acknowledged = ledger.acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > kills(), "{} events are too few to prove anything", acknowledged.len());
    // Reads the whole history that remains.
    let mut history = BTreeMap::new();
    let mut events = Events::connect(address, Some("earliest")).unwrap();
    let last = *acknowledged.keys().last().unwrap();
    let first = events.next().unwrap();
    let oldest = first.seq();
    history.insert(oldest, first.data);
    while *history.keys().last().unwrap() < last {
        let event = events.next().unwrap();
        if event.name != "gap" {
            assert!(history.insert(event.seq(), event.data).is_none(), "an id may occur only once");
        }
    }
    for (seq, data) in acknowledged.range(oldest..) {
        assert_eq!(history.get(seq), Some(data), "no acknowledged event may be lost");
    }
    for received in received {
        for (seq, data) in received {
            assert!(
                acknowledged.get(&seq).is_none_or(|acknowledged| *acknowledged == data),
                "{seq}: a subscriber received another event than was acknowledged"
            );
        }
    }
}

/// Publishes until stopped, reconnecting after each failure.
fn publish(address: SocketAddr, ledger: &Ledger, publisher: u32) {
    let mut connection: Option<BufReader<TcpStream>> = None;
    while !ledger.stop.load(Ordering::SeqCst) {
        let attempt = {
            let mut attempts = ledger.attempts.lock().unwrap();
            *attempts += 1;
            *attempts
        };
        let data = format!("{publisher} publishes {attempt}");
        let Some(open) = connection.take().or_else(|| open(address)) else {
            thread::sleep(Duration::from_millis(3));
            continue;
        };
        let mut open = open;
        if let Some(seq) = publish_one(&mut open, &data) {
            let before = ledger.acknowledged.lock().unwrap().insert(seq, data);
            assert_eq!(before, None, "id {seq} was assigned twice");
            connection = Some(open);
        }
    }
}

fn open(address: SocketAddr) -> Option<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    Some(BufReader::new(stream))
}

/// Publishes an event. Returns its number if it was acknowledged.
fn publish_one(connection: &mut BufReader<TcpStream>, data: &str) -> Option<u64> {
    let request =
        format!("POST /topics/t HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{data}", data.len());
    connection.get_mut().write_all(request.as_bytes()).ok()?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    connection.read_exact(&mut body).ok()?;
    if !head.starts_with("HTTP/1.1 202") {
        return None;
    }
    let body = String::from_utf8(body).ok()?;
    let id = body.split('"').nth(3)?;
    id.split_once('-')?.1.parse().ok()
}

/// Subscribes repeatedly from the last id. Asserts that numbers rise by one unless a gap is reported.
fn subscribe(address: SocketAddr, ledger: &Ledger, subscriber: u64) -> BTreeMap<u64, String> {
    let mut received = BTreeMap::new();
    let mut last: Option<String> = None;
    let mut connections = 0;
    while !ledger.stop.load(Ordering::SeqCst) {
        let Some(mut events) = Events::connect(address, Some(last.as_deref().unwrap_or("earliest"))) else {
            thread::sleep(Duration::from_millis(3));
            continue;
        };
        connections += 1;
        // Some subscribers disconnect at varying times.
        let leave = Instant::now() + Duration::from_millis(40 + (subscriber * 61 + connections * 29) % 200);
        while let Some(event) = events.next() {
            let before = last.as_deref().map_or(0, seq);
            if event.name == "gap" {
                let from: Vec<u64> =
                    event.data.split('"').filter(|part| part.contains('-')).map(seq).collect();
                assert_eq!(
                    from.first(),
                    Some(&(before + 1)),
                    "a gap must start after the last event: {event:?} after {before}"
                );
            } else if before != 0 {
                assert_eq!(event.seq(), before + 1, "missing events must be reported as a gap");
            }
            last = Some(event.id.clone());
            if event.name != "gap" {
                assert!(received.insert(event.seq(), event.data).is_none(), "an event may arrive only once");
            }
            if ledger.stop.load(Ordering::SeqCst) || (subscriber.is_multiple_of(2) && Instant::now() > leave)
            {
                break;
            }
        }
    }
    received
}

fn seq(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}

#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: String,
}

impl Event {
    fn seq(&self) -> u64 {
        seq(&self.id)
    }
}

/// An event stream that may break anywhere. An event may span several chunks.
struct Events {
    stream: BufReader<TcpStream>,
    text: String,
}

impl Events {
    fn connect(address: SocketAddr, last: Option<&str>) -> Option<Self> {
        let mut stream = open(address)?;
        stream.get_ref().set_read_timeout(Some(Duration::from_millis(500))).ok()?;
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        stream
            .get_mut()
            .write_all(format!("GET /topics/t HTTP/1.1\r\nHost: t\r\n{last}\r\n").as_bytes())
            .ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        head.starts_with("HTTP/1.1 200").then_some(Self { stream, text: String::new() })
    }

    /// Returns the next complete event; `None` if the stream broke or was silent for 500 ms.
    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                let block: String = self.text.drain(..at + 2).collect();
                let field = |name: &str| {
                    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned);
                    block.lines().find_map(value)
                };
                if let Some(data) = field("data") {
                    let name = field("event").unwrap_or_default();
                    return Some(Event { id: field("id").unwrap_or_default(), name, data });
                }
                continue;
            }
            let mut size = String::new();
            if self.stream.read_line(&mut size).ok()? == 0 {
                return None;
            }
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).ok()?;
            chunk.truncate(size);
            self.text.push_str(&String::from_utf8(chunk).unwrap());
        }
    }
}
