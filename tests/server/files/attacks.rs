//! Attempts to read what is not below the directory, or is no regular file.

use std::{fs, os::unix::fs::symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use windlass::{Router, files::Settings, static_dir, static_dir_with};

use super::{Dir, send, uncached};
use crate::common::{connect, start};

const SECRET: &str = "the secret";

/// Paths below a route that try to leave its directory, or to name a file in a way that it is not named.
const PATHS: &[&str] = &[
    "../secret",
    "sub/../../secret",
    "sub/..%2f..%2fsecret",
    "%2e%2e/secret",
    "%2E%2E%2Fsecret",
    "..%2fsecret",
    "..%5csecret",
    "..\\secret",
    "%252e%252e/secret",
    "%c0%ae%c0%ae/secret",
    "....//secret",
    "./../secret",
    ".%2e/secret",
    "%2e./secret",
    "..;/secret",
    "..%00/secret",
    "%00/../secret",
    "a.txt/../../secret",
    "/secret",
    "//secret",
    "..%u2215secret",
    "%uff0e%uff0e/secret",
    "..%ef%bc%8fsecret",
    "file:///secret",
    ".git/config",
    "%2egit/config",
    "sub/../.git/config",
    "a.txt%00",
    "a.txt%00.html",
    "a.txt%20",
    "a.txt.",
    "A.TXT",
    "a.txt::$DATA",
    "sub/./b",
    "./a.txt",
    "sub//b",
    "sub%2Fb",
    "a.txt/",
    "~root/",
    "%7e/",
];

/// A directory with a file `secret` beside the directory `root`, which is served.
fn tree() -> Dir {
    Dir::with(&[
        ("secret", SECRET),
        ("root/a.txt", "text"),
        ("root/sub/b", "b"),
        ("root/.git/config", SECRET),
    ])
}

#[test]
fn no_path_leads_out_of_the_directory() {
    let dir = tree();
    let root = dir.path("root");
    let server = start(Router::new().route(static_dir("/f", &root)).route(static_dir("/g/", &root)));
    let secret = dir.path("secret");
    let absolute = secret.to_str().unwrap();
    let paths = PATHS.iter().copied().chain([absolute, &absolute[1..]]);
    let mut peer = connect(&server);
    for path in paths.flat_map(|path| [format!("/f/{path}"), format!("/g/{path}")]) {
        for method in ["GET", "HEAD"] {
            let reply = send(&mut peer, method, &path, &[]);
            assert!(matches!(reply.status, 400 | 404), "{path}: {}", reply.status);
            if reply.closes() {
                peer = connect(&server);
            }
        }
    }
    assert_eq!(peer.get("/f/a.txt").text(), "text");
    assert_eq!(peer.get("/g/%61.txt").text(), "text", "an encoded letter is the letter");
}

#[test]
fn a_target_with_dots_before_the_route_serves_nothing_else() {
    let dir = tree();
    let server = start(Router::new().route(static_dir("/", dir.path("root"))));
    for target in ["/../secret", "/..", "/%2e%2e/secret", "//etc/passwd", "/.", "/.git/config"] {
        let reply = connect(&server).get(target);
        assert!(matches!(reply.status, 400 | 404), "{target}: {}", reply.status);
    }
}

#[test]
fn links_out_of_the_directory_are_not_followed() {
    let dir = tree();
    for (target, link) in [
        (dir.path("secret"), "root/absolute"),
        ("../secret".into(), "root/relative"),
        ("..".into(), "root/up"),
        ("/".into(), "root/system"),
        ("/proc/self/cwd".into(), "root/magic"),
        ("loop".into(), "root/loop"),
        ("sub/b".into(), "root/inside"),
        ("sub".into(), "root/folder"),
        ("inside".into(), "root/chain"),
        ("nowhere".into(), "root/dangling"),
    ] {
        symlink(&target, dir.path(link)).unwrap();
    }
    let root = dir.path("root");
    let strict = Settings::new().follow_symlinks(false);
    let router =
        Router::new().route(static_dir("/f", &root)).route(static_dir_with("/strict", &root, strict));
    let server = start(router);
    let mut peer = connect(&server);
    for path in [
        "absolute",
        "relative",
        "up/secret",
        "system/etc/passwd",
        "magic/Cargo.toml",
        "loop",
        "loop/a",
        "dangling",
    ] {
        for route in ["/f", "/strict"] {
            assert_eq!(peer.get(&format!("{route}/{path}")).status, 404, "{route}/{path}");
        }
    }
    for path in ["inside", "chain", "folder/b"] {
        assert_eq!(peer.get(&format!("/f/{path}")).text(), "b", "{path}");
        assert_eq!(peer.get(&format!("/strict/{path}")).status, 404, "{path}");
    }
    assert_eq!(peer.get("/strict/sub/b").text(), "b");
}

#[test]
fn a_link_that_is_switched_during_requests_never_shows_the_secret() {
    let dir = tree();
    let server = start(Router::new().route(static_dir_with("/", dir.path("root"), uncached())));
    let mut peer = connect(&server);
    for round in 0..200 {
        let target = if round % 2 == 0 { "../.." } else { "sub" };
        symlink(target, dir.path("next")).unwrap();
        fs::rename(dir.path("next"), dir.path("root/switched")).unwrap();
        assert_ne!(peer.get("/switched/secret").text(), SECRET);
        assert_ne!(peer.get("/switched/../secret").text(), SECRET);
    }
}

#[test]
fn only_regular_files_are_served() {
    let dir = Dir::with(&[("a", "a")]);
    mknodat(CWD, dir.path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(dir.path("socket")).unwrap();
    let server = start(Router::new().route(static_dir("/f", &dir.0)).route(static_dir("/dev", "/dev")));
    let mut peer = connect(&server);
    for path in ["/f/fifo", "/f/socket", "/dev/null", "/dev/zero", "/dev/full"] {
        assert_eq!(peer.get(path).status, 404, "{path}");
    }
    assert_eq!(peer.get("/f/a").text(), "a");
}

#[test]
fn names_that_are_too_long_do_not_exist() {
    let dir = tree();
    let server = start(Router::new().route(static_dir("/", dir.path("root"))));
    let mut peer = connect(&server);
    assert_eq!(peer.get(&format!("/{}", "x".repeat(300))).status, 404);
    assert_eq!(peer.get(&format!("/{}", "x/".repeat(2500))).status, 404);
}

#[test]
fn hidden_files_are_served_only_if_that_is_set() {
    let dir = Dir::with(&[(".env", "env"), (".well-known/acme", "acme"), ("sub/.x/y", "y")]);
    let hidden = Settings::new().hidden(true);
    let router = Router::new().route(static_dir("/f", &dir.0)).route(static_dir_with("/all", &dir.0, hidden));
    let server = start(router);
    let mut peer = connect(&server);
    for (path, text) in [(".env", "env"), ("sub/.x/y", "y"), (".well-known/acme", "acme")] {
        assert_eq!(peer.get(&format!("/all/{path}")).text(), text);
        let status = if path.starts_with(".well-known") { 200 } else { 404 };
        assert_eq!(peer.get(&format!("/f/{path}")).status, status, "{path}");
    }
}
