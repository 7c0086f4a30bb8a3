//! A server that runs out of open files: it counts that, waits, and is back when there are some again.

use std::{
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::common::{Client, PATIENCE, Serving, TempFile, eventually};

/// Open files the server may have: for itself and some connections.
const FILES: usize = 120;

/// Connects, asks and leaves, again and again; returns how long it took.
fn rounds(serving: &Serving) -> Duration {
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(serving.connect().get("/demo/json").0, 200);
    }
    began.elapsed()
}

/// Reads how many accepts failed for want of a file.
fn refused(watcher: &mut Client) -> u64 {
    let page = watcher.get("/metrics").2;
    let line =
        page.lines().find_map(|line| line.strip_prefix("windlass_accept_errors_total{cause=\"EMFILE\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn without_a_file_to_spare_it_waits_and_then_serves_at_full_rate() {
    for engine in ["io_uring", "epoll"] {
        let limits = TempFile::new(&format!("files-{engine}.toml"), "[limits]\nconnections = 1000\n");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &format!("ulimit -n {FILES}; exec \"$0\" \"$@\""),
            env!("CARGO_BIN_EXE_windlass"),
        ]);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--shards",
            "2",
            "--engine",
            engine,
            "--config",
            limits.path(),
        ]);
        command.stdin(Stdio::null());
        let serving = Serving::spawn(command);
        let before = rounds(&serving);
        let mut watcher = serving.connect();
        assert_eq!(refused(&mut watcher), 0, "{engine}");

        let mut flood: Vec<TcpStream> = Vec::new();
        eventually("it has no more files", || {
            flood.extend((0..10).map(|_| TcpStream::connect(serving.address()).unwrap()));
            refused(&mut watcher) > 0
        });
        let (first, until) = (refused(&mut watcher), Instant::now() + Duration::from_secs(1));
        while Instant::now() < until {
            assert_eq!(watcher.get("/demo/json").0, 200, "who is in is served");
        }
        let more = refused(&mut watcher) - first;
        // Each shard doubles its wait from 10 ms on: eight tries in a second.
        assert!((1..=20).contains(&more), "{engine}: {more} tries in a second");

        drop(flood);
        eventually("it accepts again", || {
            let stream = TcpStream::connect(serving.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            matches!(Client::over(stream).try_get("/demo/json"), Ok(Some((200, ..))))
        });
        let counted = refused(&mut watcher);
        let after = rounds(&serving);
        assert!(after < before * 5 + PATIENCE / 4, "{engine}: {after:?}, before {before:?}");
        assert_eq!(refused(&mut watcher), counted, "{engine}: it is over");
    }
}
