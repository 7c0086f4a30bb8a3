//! A server that runs out of descriptors counts failed accepts, backs off, and recovers.

use std::{
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::common::{Client, Serving, TIMEOUT, TempFile, eventually};

/// Descriptor limit of the server: enough for itself and some connections.
const FILES: usize = 120;

/// Sends 200 requests on a new connection each, and returns the time taken.
fn time_requests(serving: &Serving) -> Duration {
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(serving.connect().get("/demo/json").0, 200);
    }
    began.elapsed()
}

/// Returns the number of accepts that failed for lack of a descriptor.
fn failed_accepts(watcher: &mut Client) -> u64 {
    let page = watcher.get("/metrics").2;
    let line =
        page.lines().find_map(|line| line.strip_prefix("windlass_accept_errors_total{cause=\"EMFILE\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn without_free_descriptors_the_server_backs_off_and_recovers() {
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
        let before = time_requests(&serving);
        let mut watcher = serving.connect();
        assert_eq!(failed_accepts(&mut watcher), 0, "{engine}");

        let mut flood: Vec<TcpStream> = Vec::new();
        eventually("the server has no free descriptor", || {
            flood.extend((0..10).map(|_| TcpStream::connect(serving.address()).unwrap()));
            failed_accepts(&mut watcher) > 0
        });
        let (first, began) = (failed_accepts(&mut watcher), Instant::now());
        while began.elapsed() < Duration::from_secs(1) {
            assert_eq!(watcher.get("/demo/json").0, 200, "established connections must be served");
        }
        let (more, seconds) = (failed_accepts(&mut watcher) - first, began.elapsed().as_secs() + 1);
        // Each shard doubles its back-off from 10 ms, which gives about eight tries per second.
        assert!((1..=10 * seconds).contains(&more), "{engine}: {more} tries in {seconds} s at most");

        drop(flood);
        eventually("the server accepts again", || {
            let stream = TcpStream::connect(serving.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            matches!(Client::over(stream).try_get("/demo/json"), Ok(Some((200, ..))))
        });
        let counted = failed_accepts(&mut watcher);
        let after = time_requests(&serving);
        assert!(after < before * 5 + TIMEOUT / 4, "{engine}: {after:?}, before {before:?}");
        assert_eq!(failed_accepts(&mut watcher), counted, "{engine}: no accept may fail any more");
    }
}
