//! Static files: which file answers, with which fields.

mod attacks;
mod changes;
mod conditions;
mod protocols;
mod slow;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use windlass::{
    Router, StartError, files::Settings, get, http::StatusCode, static_dir, static_dir_with, static_file,
    static_file_with,
};

use crate::common::{Peer, Reply, builder, connect, metric, start};

/// Time of the last change of test files: long ago, so that their entity tags are strong.
const MODIFIED: u64 = 1_700_000_000;

/// `MODIFIED` as a date.
const MODIFIED_DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// A new directory, which is removed when the value is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("windlass-files-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Creates a directory with these files.
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = Self::new();
        files.iter().for_each(|(name, content)| dir.write(name, content));
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, last changed at [`MODIFIED`].
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        set_modified(&path, MODIFIED);
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set_modified(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

/// Sends a request with these fields and reads its reply.
#[track_caller]
fn send(peer: &mut Peer, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    peer.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
    peer.reply_to(method)
}

/// Settings with which every request sees the current files.
fn uncached() -> Settings {
    Settings::new().check_interval(Duration::ZERO)
}

#[test]
fn files_are_served_below_the_path_of_the_route() {
    let large = "x".repeat(300_000);
    let dir = Dir::with(&[("a.txt", "text"), ("sub/b c.css", "css"), ("empty", ""), ("large.bin", &large)]);
    let server =
        start(Router::new().route(static_dir("/assets", &dir.0)).route(get("/assets/own", || "own")));
    let mut peer = connect(&server);
    let reply = peer.get("/assets/a.txt");
    assert_eq!((reply.status, reply.text().as_str()), (200, "text"));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.header("last-modified"), Some(MODIFIED_DATE));
    assert_eq!(reply.header("accept-ranges"), Some("bytes"));
    assert!(reply.header("etag").unwrap().starts_with('"'));
    assert_eq!((reply.header("vary"), reply.header("cache-control")), (None, None));
    assert_eq!(peer.get("/assets/sub/b%20c.css").text(), "css");
    assert_eq!(peer.get("/assets/empty").header("content-length"), Some("0"));
    assert_eq!(peer.get("/assets/large.bin").text(), large);
    assert_eq!(peer.get("/assets/own").text(), "own", "other routes below the path take precedence");
    for missing in ["/assets/b", "/assets/", "/assets/sub/", "/assets/a.txt/", "/assets/a.txt/b", "/a.txt"] {
        let reply = peer.get(missing);
        assert_eq!(reply.status, 404, "{missing}");
    }
    assert_eq!(send(&mut peer, "POST", "/assets/a.txt", &[]).status, 405);
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let large = "x".repeat(300_000);
    let dir = Dir::with(&[("small", "text"), ("large", &large)]);
    let server = start(Router::new().route(static_dir("/", &dir.0)));
    let mut peer = connect(&server);
    for path in ["/small", "/large", "/missing"] {
        let without_date =
            |reply: &Reply| reply.headers.iter().filter(|(n, _)| n != "date").cloned().collect::<Vec<_>>();
        let got = peer.get(path);
        let head = send(&mut peer, "HEAD", path, &[]);
        assert_eq!((head.status, without_date(&head)), (got.status, without_date(&got)), "{path}");
    }
    assert_eq!(peer.get("/small").text(), "text");
}

#[test]
fn a_directory_is_answered_by_its_index_file_and_a_redirect_adds_the_slash() {
    let dir = Dir::with(&[("index.htm", "top"), ("sub/index.html", "sub"), ("none/a", "")]);
    let settings = Settings::new().index(["index.html", "index.htm"]);
    let server = start(Router::new().route(static_dir_with("/app", &dir.0, settings)));
    let mut peer = connect(&server);
    let top = peer.get("/app/");
    assert_eq!((top.text().as_str(), top.header("content-type")), ("top", Some("text/html; charset=utf-8")));
    assert_eq!(peer.get("/app/sub/").text(), "sub");
    for (path, location) in [
        ("/app", "/app/"),
        ("/app?a=b", "/app/?a=b"),
        ("/app/sub", "/app/sub/"),
        ("/app/sub?a", "/app/sub/?a"),
        ("/app/none", "/app/none/"),
    ] {
        let reply = peer.get(path);
        assert_eq!((reply.status, reply.header("location")), (301, Some(location)), "{path}");
    }
    assert_eq!(peer.get("/app/none/").status, 404, "directories are not listed");
}

#[test]
fn a_single_file_may_be_a_link_to_any_place() {
    let (dir, other) = (Dir::new(), Dir::with(&[("real.ico", "icon")]));
    std::os::unix::fs::symlink(other.path("real.ico"), dir.path("favicon.ico")).unwrap();
    let missing = dir.path("later.txt");
    let router = Router::new()
        .route(static_file("/favicon.ico", dir.path("favicon.ico")))
        .route(static_file_with("/later", &missing, uncached()));
    let server = start(router);
    let mut peer = connect(&server);
    let reply = peer.get("/favicon.ico");
    assert_eq!((reply.text().as_str(), reply.header("content-type")), ("icon", Some("image/x-icon")));
    assert_eq!(peer.get("/favicon.ico/x").status, 404);
    assert_eq!(peer.get("/later").status, 404);
    dir.write("later.txt", "now");
    assert_eq!(peer.get("/later").text(), "now");
}

#[test]
fn rules_set_cache_control_and_headers() {
    let dir = Dir::with(&[("index.html", ""), ("assets/a.js", ""), ("b.js", "")]);
    let settings = Settings::new()
        .cache_control("no-cache")
        .cache_control_for("assets/", "immutable")
        .header("x-content-type-options", "nosniff");
    let server = start(Router::new().route(static_dir_with("/", &dir.0, settings)));
    let mut peer = connect(&server);
    for (path, status, value) in [
        ("/", 200, Some("no-cache")),
        ("/assets/a.js", 200, Some("immutable")),
        ("/b.js", 200, Some("no-cache")),
        ("/assets", 301, None),
        ("/missing", 404, None),
    ] {
        let reply = peer.get(path);
        assert_eq!((reply.status, reply.header("cache-control")), (status, value), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        if status == 200 {
            let again = send(&mut peer, "GET", path, &[("If-None-Match", reply.header("etag").unwrap())]);
            assert_eq!((again.status, again.header("cache-control")), (304, value), "{path}");
            assert_eq!(again.header("etag"), reply.header("etag"), "{path}");
        }
    }
}

#[test]
fn missing_names_without_an_extension_get_the_fallback() {
    let dir = Dir::with(&[("index.html", "app"), ("404.html", "nothing here")]);
    let settings = Settings::new().fallback("index.html").error_page(StatusCode::NOT_FOUND, "404.html");
    let server = start(Router::new().route(static_dir_with("/", &dir.0, settings)));
    let mut peer = connect(&server);
    for path in ["/", "/users/7", "/users/"] {
        let reply = peer.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (200, "app"), "{path}");
    }
    for path in ["/app.js", "/.env", "//"] {
        let reply = peer.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (404, "nothing here"), "{path}");
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!((reply.header("etag"), reply.header("accept-ranges")), (None, None));
    }
}

#[test]
fn compressed_siblings_are_chosen_by_accept_encoding() {
    let dir = Dir::with(&[
        ("a.js", "plain"),
        ("a.js.br", "brotli"),
        ("a.js.gz", "gzip"),
        ("b.js", "b"),
        ("c.js", "c"),
        ("c.js.gz", "old"),
    ]);
    set_modified(&dir.path("c.js.gz"), MODIFIED - 1);
    let settings = Settings::new().precompressed(true);
    let server = start(Router::new().route(static_dir_with("/", &dir.0, settings)));
    let mut peer = connect(&server);
    for (accept, body, coding) in [
        (None, "plain", None),
        (Some(""), "plain", None),
        (Some("gzip, deflate, br"), "brotli", Some("br")),
        (Some("gzip;q=0.8, br;q=0.1"), "gzip", Some("gzip")),
        (Some("zstd"), "plain", None),
        (Some("*"), "brotli", Some("br")),
    ] {
        let fields: Vec<_> = accept.iter().map(|accept| ("Accept-Encoding", *accept)).collect();
        let reply = send(&mut peer, "GET", "/a.js", &fields);
        assert_eq!((reply.text().as_str(), reply.header("content-encoding")), (body, coding), "{accept:?}");
        assert_eq!(reply.header("vary"), Some("accept-encoding"));
        assert_eq!(reply.header("content-type"), Some("text/javascript; charset=utf-8"));
        let fields = [("Accept-Encoding", accept.unwrap_or("identity")), ("Range", "bytes=1-2")];
        assert_eq!(send(&mut peer, "GET", "/a.js", &fields).text(), body[1..3], "{accept:?}");
    }
    let tags = ["identity", "br", "gzip"].map(|accept| {
        send(&mut peer, "GET", "/a.js", &[("Accept-Encoding", accept)]).header("etag").unwrap().to_owned()
    });
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    assert_eq!(send(&mut peer, "GET", "/a.js", &[("Accept-Encoding", "*;q=0")]).status, 406);
    assert_eq!(send(&mut peer, "GET", "/a.js.gz", &[]).header("content-type"), Some("application/gzip"));
    for path in ["/b.js", "/c.js"] {
        let reply = send(&mut peer, "GET", path, &[("Accept-Encoding", "gzip")]);
        assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None), "{path}");
    }
}

#[test]
fn hot_files_are_served_without_jobs() {
    let large = "x".repeat(300_000);
    let dir = Dir::with(&[("small", "text"), ("large", &large)]);
    let settings = Settings::new().check_interval(Duration::from_secs(1000));
    let server = start(Router::new().route(static_dir_with("/", &dir.0, settings)));
    let mut peer = connect(&server);
    for _ in 0..20 {
        assert_eq!(peer.get("/small").text(), "text");
        assert_eq!(peer.get("/large").text(), large);
    }
    assert_eq!(metric(&server, "windlass_file_jobs_total{kind=\"lookup\"}"), 2.0);
}

#[test]
fn routes_in_groups_and_on_the_pool_serve_files() {
    let large = "x".repeat(300_000);
    let dir = Dir::with(&[("a", "text"), ("large", &large)]);
    let router = Router::new()
        .group("/api", |api| api.run_async().route(static_dir("/files", &dir.0)))
        .route(static_dir("/pool", &dir.0).run_async());
    let server = start(router);
    let mut peer = connect(&server);
    for path in ["/api/files", "/pool"] {
        assert_eq!(peer.get(&format!("{path}/a")).text(), "text");
        assert_eq!(peer.get(&format!("{path}/large")).text(), large);
    }
}

#[test]
fn a_changed_file_is_served_after_the_check() {
    let dir = Dir::with(&[("a", "old")]);
    let server = start(Router::new().route(static_dir_with("/", &dir.0, uncached())));
    let mut peer = connect(&server);
    let old = peer.get("/a");
    dir.write("b", "new");
    fs::rename(dir.path("b"), dir.path("a")).unwrap();
    let new = peer.get("/a");
    assert_eq!((old.text().as_str(), new.text().as_str()), ("old", "new"));
    assert_ne!(old.header("etag"), new.header("etag"), "the inode differs");
    fs::remove_file(dir.path("a")).unwrap();
    assert_eq!(peer.get("/a").status, 404);
}

#[test]
fn a_file_that_was_just_changed_has_a_weak_tag() {
    let dir = Dir::with(&[("a", "text")]);
    File::options().write(true).open(dir.path("a")).unwrap().set_modified(SystemTime::now()).unwrap();
    let server = start(Router::new().route(static_dir("/", &dir.0)));
    let mut peer = connect(&server);
    let tag = peer.get("/a").header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/"), "{tag}");
    assert_eq!(send(&mut peer, "GET", "/a", &[("If-None-Match", &tag)]).status, 304);
    let range = [("Range", "bytes=0-1"), ("If-Range", tag.as_str())];
    assert_eq!(send(&mut peer, "GET", "/a", &range).status, 200);
}

#[test]
fn a_directory_that_is_switched_by_a_link_takes_effect() {
    let dir = Dir::with(&[("1/a", "one"), ("2/a", "two")]);
    std::os::unix::fs::symlink("1", dir.path("current")).unwrap();
    let server = start(Router::new().route(static_dir_with("/", dir.path("current"), uncached())));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/a").text(), "one");
    std::os::unix::fs::symlink("2", dir.path("next")).unwrap();
    fs::rename(dir.path("next"), dir.path("current")).unwrap();
    assert_eq!(peer.get("/a").text(), "two");
}

#[test]
fn the_server_does_not_start_with_an_unusable_directory_or_option() {
    let dir = Dir::with(&[("a", "")]);
    let fails = |route: windlass::Route| match builder(Router::new().route(route)).start() {
        Err(StartError::Routes(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(fails(static_dir("/x", "/nonexistent")).contains("GET /x: cannot open the directory"));
    assert!(fails(static_dir("/x", dir.path("a"))).contains("cannot open the directory"));
    assert!(fails(static_file("/x", "/nonexistent/a")).contains("cannot open the directory"));
    assert!(fails(static_file("/x", "/")).contains("not the name of a file"));
    let settings = Settings::new().header("x-a", "a\nb");
    assert!(fails(static_dir_with("/x", &dir.0, settings)).contains("`x-a`"));
}
