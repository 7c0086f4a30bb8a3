//! Files that are replaced, removed, truncated or overwritten while they are sent.

use std::{
    fs::{self, File},
    io::{Seek, Write},
};

use windlass::{Router, Server, static_dir};

use super::Dir;
use crate::common::{Peer, connect, eventually, logs, metric, start};

/// More than the buffers of both kernels and of the server hold.
const LEN: usize = 32 << 20;

/// A response of which the first bytes were read, and the rest waits in the server.
fn begun(server: &Server) -> Peer {
    let mut peer = connect(server);
    peer.set_receive_buffer(16 * 1024);
    peer.request("GET", "/file");
    let head = peer.until(b"\r\n\r\n");
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains(&format!("ontent-length: {LEN}")), "{head}");
    peer
}

fn served() -> (Dir, Server) {
    let dir = Dir::new();
    dir.write("file", vec![b'a'; LEN]);
    let server = start(Router::new().route(static_dir("/", &dir.0)));
    (dir, server)
}

#[test]
fn a_replaced_or_removed_file_is_sent_to_its_end() {
    let (dir, server) = served();
    let mut replaced = begun(&server);
    dir.write("other", vec![b'b'; LEN]);
    fs::rename(dir.path("other"), dir.path("file")).unwrap();
    fs::remove_file(dir.path("file")).unwrap();
    let body = replaced.exactly(LEN);
    assert!(body.iter().all(|byte| *byte == b'a'));
    assert_eq!(metric(&server, "windlass_file_errors_total{cause=\"changed\"}"), 0.0);
}

#[test]
fn a_truncated_or_overwritten_file_ends_the_connection_early() {
    logs::record();
    let truncate =
        |path: &std::path::Path| File::options().write(true).open(path).unwrap().set_len(10).unwrap();
    let overwrite = |path: &std::path::Path| {
        let mut file = File::options().write(true).open(path).unwrap();
        file.seek(std::io::SeekFrom::Start(1)).unwrap();
        file.write_all(&vec![b'b'; LEN - 1]).unwrap();
    };
    let append = |path: &std::path::Path| {
        File::options().append(true).open(path).unwrap().write_all(b"b").unwrap();
    };
    let changes: [&dyn Fn(&std::path::Path); 3] = [&truncate, &overwrite, &append];
    for change in changes {
        let (dir, server) = served();
        let mut peer = begun(&server);
        change(&dir.path("file"));
        let (body, _) = peer.read_to_close();
        assert!(body.len() < LEN && body.iter().all(|byte| *byte == b'a'), "{}", body.len());
        assert_eq!(metric(&server, "windlass_file_errors_total{cause=\"changed\"}"), 1.0);
    }
    eventually("the change is logged", || !logs::lines(&["WARN", "the file was changed"]).is_empty());
}

#[test]
fn a_change_between_requests_is_no_error() {
    let (dir, server) = served();
    dir.write("file", "short");
    let reply = connect(&server).get("/file");
    assert_eq!(reply.text(), "short");
}
