//! File systems that block: the shards go on, and only a part of the pool waits.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use windlass::{
    Request, Router,
    files::{FileKind, FileStat, FileSystem, OpenedFile, Settings, static_files_over},
    get,
};

use crate::common::{connect, eventually, metric, start};

/// Length of the files.
const LEN: usize = 200_000;

/// A gate before the operations of a file system.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
    most: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(waiting, Ordering::SeqCst);
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opened.wait(is_open).unwrap();
        }
        drop(is_open);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// Opens the gate when a test ends, also if it fails: the threads of the pool must not wait for ever.
struct Opener(Arc<Gate>);

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A file system with one file of any name, nothing of which is in memory.
#[derive(Clone)]
struct Slow {
    opening: Arc<Gate>,
    reading: Arc<Gate>,
}

impl FileSystem for Slow {
    fn open(&self, name: &str) -> io::Result<Box<dyn OpenedFile>> {
        if name.starts_with("missing") {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.opening.pass();
        Ok(Box::new(self.clone()))
    }
}

impl OpenedFile for Slow {
    fn stat(&self) -> io::Result<FileStat> {
        Ok(FileStat { kind: FileKind::Regular, len_bytes: LEN as u64, identity: (1, 1), modified: (1, 0) })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reading.pass();
        let count = buffer.len().min(LEN - offset as usize);
        buffer[..count].fill(b's');
        Ok(count)
    }

    fn read_resident(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

fn routes(slow: Slow) -> Router {
    Router::new()
        .route(static_files_over("/slow", slow, Settings::new()))
        .route(get("/quick", || "quick"))
        .route(get("/blocking", |_: Request| "blocking").run_async())
}

/// Requests many files while a gate is shut, and checks that everything else is served.
fn check(slow: Slow, shut: &Arc<Gate>) {
    let _opener = Opener(shut.clone());
    let server = start(routes(slow));
    let mut waiting: Vec<_> = (0..64).map(|_| connect(&server)).collect();
    for (number, peer) in waiting.iter_mut().enumerate() {
        peer.request("GET", &format!("/slow/{number}"));
    }
    eventually("file operations wait", || shut.waiting.load(Ordering::SeqCst) == 4);
    let mut peers: Vec<_> = (0..8).map(|_| connect(&server)).collect();
    for _ in 0..50 {
        for peer in &mut peers {
            assert_eq!(peer.get("/quick").text(), "quick");
            assert_eq!(peer.get("/blocking").text(), "blocking", "threads of the pool are left");
        }
    }
    assert_eq!(shut.most.load(Ordering::SeqCst), 4, "at most four threads wait for one directory");
    assert!(waiting.iter().all(|peer| !peer.is_readable()) || shut.waiting.load(Ordering::SeqCst) == 4);
    shut.open();
    for peer in &mut waiting {
        let reply = peer.reply();
        assert_eq!((reply.status, reply.body.len()), (200, LEN));
        assert!(reply.body.iter().all(|byte| *byte == b's'));
    }
}

fn open_gate() -> Arc<Gate> {
    let gate = Arc::<Gate>::default();
    gate.open();
    gate
}

#[test]
fn opens_that_block_delay_no_other_request() {
    let shut = Arc::<Gate>::default();
    check(Slow { opening: shut.clone(), reading: open_gate() }, &shut);
}

#[test]
fn reads_that_block_delay_no_other_request() {
    let shut = Arc::<Gate>::default();
    check(Slow { opening: open_gate(), reading: shut.clone() }, &shut);
}

#[test]
fn requests_for_one_file_wait_for_one_lookup() {
    let shut = Arc::<Gate>::default();
    let _opener = Opener(shut.clone());
    let server = start(routes(Slow { opening: shut.clone(), reading: open_gate() }));
    let mut waiting: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    waiting.iter_mut().for_each(|peer| peer.request("HEAD", "/slow/same"));
    eventually("a lookup waits", || shut.waiting.load(Ordering::SeqCst) == 1);
    // The others have been read once a later request on each connection's shard was served.
    assert_eq!(connect(&server).get("/quick").text(), "quick");
    shut.open();
    for peer in &mut waiting {
        assert_eq!(peer.reply_to("HEAD").status, 200);
    }
    assert_eq!(shut.most.load(Ordering::SeqCst), 1);
    assert_eq!(connect(&server).get("/slow/missing").status, 404);
}

#[test]
fn a_client_that_leaves_does_not_disturb_the_lookup_of_others() {
    let shut = Arc::<Gate>::default();
    let _opener = Opener(shut.clone());
    let server = start(routes(Slow { opening: shut.clone(), reading: open_gate() }));
    let mut first = connect(&server);
    first.request("GET", "/slow/same");
    eventually("a lookup waits", || shut.waiting.load(Ordering::SeqCst) == 1);
    let mut second = connect(&server);
    second.request("GET", "/slow/same");
    first.reset();
    assert_eq!(connect(&server).get("/quick").text(), "quick");
    shut.open();
    assert_eq!(second.reply().body.len(), LEN);
}

#[test]
fn lookups_beyond_the_queue_are_refused() {
    let shut = Arc::<Gate>::default();
    let _opener = Opener(shut.clone());
    let server = start(routes(Slow { opening: shut.clone(), reading: open_gate() }));
    let mut peers: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    // 1,024 lookups may wait. Each connection has at most 32 requests in progress.
    for (index, peer) in peers.iter_mut().enumerate() {
        let requests = (0..30).map(|n| format!("HEAD /slow/{index}-{n} HTTP/1.1\r\nHost: t\r\n\r\n"));
        peer.send(requests.collect::<String>());
    }
    eventually("lookups are refused", || {
        let samples = metric(&server, "windlass_file_jobs_total{kind=\"lookup\"}");
        samples >= 1500.0
    });
    shut.open();
    let mut refused = 0;
    for peer in &mut peers {
        for _ in 0..30 {
            let reply = peer.reply_to("HEAD");
            assert!(matches!(reply.status, 200 | 503), "{}", reply.status);
            if reply.status == 503 {
                assert_eq!(reply.header("retry-after"), Some("1"));
                refused += 1;
            }
        }
    }
    assert!(refused >= 1500 - 1024 - 4, "{refused}");
    assert_eq!(metric(&server, "windlass_file_errors_total{cause=\"busy\"}"), f64::from(refused));
}
