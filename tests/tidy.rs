//! Holds the house rules that no lint knows: layers, one home per package, where `unsafe` may be, file lengths.
//!
//! The tables come first: a new module of `src/` gets its line in [`LAYERS`], a package that moves gets its new
//! home in [`HOMES`].
#![allow(clippy::unwrap_used)]

#[path = "tidy/code.rs"]
mod code;

use std::{
    fs,
    path::{Path, PathBuf},
};

use code::{blanked, crate_modules, has_word, names};

/// Modules directly under `src/`, low to high. A module imports only from lower layers; two of one layer do not
/// know each other. `lib.rs` and `main.rs` stand above all. A line may be here before its module is.
const LAYERS: &[(&str, u8)] = &[
    ("limits", 0),
    ("proto", 0),
    ("replay", 0),
    ("testing", 0),
    ("net", 1),
    ("metrics", 1),
    ("body", 2),
    ("tls", 2),
    ("response", 3),
    ("request", 4),
    ("hooks", 5),
    ("routing", 6),
    ("ws", 7),
    ("pubsub", 8),
    ("conn", 9),
    ("server", 10),
    ("docs", 11),
];

/// Packages and the only place that may name each, so that it can be replaced there. A place that ends in `/` or
/// without `.rs` stands for everything that begins so.
const HOMES: &[(&str, &[&str])] = &[
    ("glommio", &["actors/src/host/glommio.rs"]),
    ("core_affinity", &["actors/src/os/affinity.rs"]),
    ("flume", &["actors/src/sync.rs"]),
    ("arc_swap", &["actors/src/sync.rs"]),
    ("qcell", &["actors/src/shard/key.rs"]),
    ("httparse", &["src/proto/h1/", "src/cli/client/response.rs"]),
    ("hdrhistogram", &["src/cli/client/latency.rs"]),
    ("indicatif", &["src/cli/progress.rs"]),
    ("zlib_rs", &["src/proto/ws/deflate/codec.rs"]),
    ("simdutf8", &["src/proto/ws/text.rs"]),
    ("sha1", &["src/proto/ws/handshake.rs"]),
    ("base64", &["src/proto/ws/handshake.rs"]),
    ("::h2", &["src/conn/h2/engine.rs", "src/cli/load/h2.rs"]),
    ("prometheus", &["src/metrics"]),
    ("io_uring", &["src/net/ring"]),
    ("mio", &["src/net/epoll"]),
    ("rustls", &["src/tls/"]),
    ("rcgen", &["src/cli/dev_cert.rs", "src/tls/tests.rs"]),
    (
        "serde_json",
        &["src/pubsub/broker/text.rs", "src/cli/", "src/request/typed.rs", "src/response/json.rs"],
    ),
    ("serde_html_form", &["src/request/typed.rs"]),
    ("redb", &["src/replay/durable"]),
    ("http_body", &["src/body/interop.rs", "src/routing/"]),
    ("sd_notify", &["src/cli/systemd.rs"]),
    ("listenfd", &["src/cli/sockets.rs"]),
    ("tower_service", &["src/routing/"]),
];

/// The only places for `unsafe`: the socket ring, and one system call that no crate wraps.
const UNSAFE_HOMES: [&str; 2] = ["src/net/ring", "actors/src/os/scheduling.rs"];
/// Lines above an `unsafe` among which its argument must stand.
const SAFETY_REACH: usize = 12;

/// What `proto` may not name: whatever reads a clock, touches a socket or runs a future.
const NOT_IN_PROTO: &[&str] = &[
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::fs",
    "std::io",
    "std::thread",
    "std::process",
    "std::env",
    "std::future",
    "std::task",
    "std::time::SystemTime",
    "tokio",
    "glommio",
    "io_uring",
    "socket2",
    "rustix",
    "libc",
    "windlass_actors",
];

/// Lines of a file: above the first it is listed, above the second it is an error.
const LONG_LINES: usize = 400;
const MAX_LINES: usize = 600;

/// One Rust file of the project.
struct Source {
    /// Path from the top of the repository.
    path: String,
    text: String,
    /// The text with comments and the insides of literals blanked, line by line as it was.
    code: String,
}

impl Source {
    /// Returns the modules the file is, from the top of its crate: `src/proto/h1/parse.rs` is `proto`, `h1`, `parse`.
    fn module(&self) -> Vec<&str> {
        let inner = self.path.split_once("src/").map_or("", |(_, inner)| inner);
        let stem = inner.strip_suffix(".rs").unwrap_or(inner);
        stem.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).collect()
    }

    /// Returns the code without the unit tests, which stand last or in files of their own and may import what they
    /// like.
    fn product_code(&self) -> &str {
        let file = self.path.trim_end_matches(".rs");
        if file.contains("/tests/") || file.ends_with("tests") {
            return "";
        }
        self.code.split("#[cfg(test)]\nmod tests").next().unwrap_or("")
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

#[test]
fn every_module_imports_only_lower_layers() {
    let mut faults = Vec::new();
    for source in library() {
        let module = source.module();
        let Some(own) = module.first() else { continue };
        let Some(layer) = layer(own) else {
            faults.push(format!("{}: give `{own}` a layer in tests/tidy.rs", source.path));
            continue;
        };
        for used in crate_modules(source.product_code(), module.len()) {
            if used != *own && self::layer(&used).is_some_and(|used| used >= layer) {
                faults.push(format!("{}: `{own}` imports `{used}`, which is not below it", source.path));
            }
        }
    }
    report(&faults);
}

#[test]
fn proto_knows_bytes_and_instants_only() {
    let mut faults = Vec::new();
    for source in library().iter().filter(|source| source.module().first() == Some(&"proto")) {
        let code = source.product_code();
        for used in crate_modules(code, source.module().len()) {
            if used != "proto" {
                faults.push(format!("{}: imports `{used}` of the crate", source.path));
            }
        }
        for banned in NOT_IN_PROTO {
            if names(code, banned) {
                faults.push(format!("{}: names `{banned}`", source.path));
            }
        }
        for clock in ["Instant::now", "SystemTime::now"] {
            if code.contains(clock) {
                faults.push(format!("{}: reads the clock with `{clock}`", source.path));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_package_has_one_home() {
    let mut faults = Vec::new();
    // The examples are programs of their own, which use what they like.
    let product = |source: &Source| !source.is_in("src/docs/examples/");
    for source in sources(&["src", "actors/src"]).into_iter().filter(product) {
        for (package, homes) in HOMES {
            // A file that declares a module of that name means the module.
            let own = source.code.contains(&format!("mod {package};"));
            if !own && !homes.iter().any(|home| source.is_in(home)) && names(&source.code, package) {
                faults.push(format!(
                    "{}: names `{package}`, whose home is {}",
                    source.path,
                    homes.join(", ")
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn unsafe_stays_in_the_ring_and_argues() {
    let mut faults = Vec::new();
    for source in sources(&["src", "actors/src"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, _) in source.code.lines().enumerate().filter(|(_, line)| has_word(line, "unsafe")) {
            let place = format!("{}:{}", source.path, index + 1);
            let above = &lines[index.saturating_sub(SAFETY_REACH)..=index];
            if !UNSAFE_HOMES.iter().any(|home| source.is_in(home)) {
                faults.push(format!("{place}: `unsafe` outside {UNSAFE_HOMES:?}"));
            } else if !above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")) {
                faults.push(format!("{place}: `unsafe` without a SAFETY argument"));
            }
        }
    }
    report(&faults);
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for source in sources(&["src", "actors", "tests", "benches"]) {
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines, at most {MAX_LINES}", source.path));
        } else if lines > LONG_LINES {
            println!("long: {} has {lines} lines", source.path);
        }
    }
    report(&faults);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let macros = [concat!("dbg", "!"), concat!("to", "do!"), concat!("unimple", "mented!")];
    let mut faults = Vec::new();
    for source in sources(&["src", "actors", "tests", "benches"]) {
        for (index, line) in source.text.lines().enumerate() {
            if let Some(note) = notes.iter().find(|note| has_word(line, note)) {
                faults.push(format!("{}:{}: {note}", source.path, index + 1));
            }
        }
        let found = macros.iter().filter(|name| source.code.contains(*name));
        faults.extend(found.map(|name| format!("{}: {name}", source.path)));
    }
    report(&faults);
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// Returns the files of the library, without those of the binary's package.
fn library() -> Vec<Source> {
    sources(&["src"]).into_iter().filter(|source| !source.is_in("src/cli/")).collect()
}

/// Reads every Rust file under the folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    folders.iter().for_each(|folder| collect(&top.join(folder), &mut paths));
    assert!(!paths.is_empty(), "no Rust file under {folders:?}");
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        Source { path, code: blanked(&text), text }
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
