//! House rules that no lint checks: layers, one home per package, homes of `unsafe`, file lengths.
//!
//! A new module needs a place in [`CRATES`]. A package that moves needs its new home in [`HOMES`].
#![allow(clippy::unwrap_used)]

mod code;
mod imports;
mod prose;
mod source;

use code::{crate_modules, has_word, names};
use imports::{Crate, circles};
use source::{Source, files, sources};

/// Checked crates with their modules, from the lowest layer to the highest.
///
/// A row is a layer. A module imports only from rows listed before its own, and not from its own row. A
/// module without a row belongs to the module that contains it. `lib.rs` may import from every layer.
const CRATES: &[Rooms] = &[
    Rooms {
        folder: "src/",
        except: "src/cli/",
        rows: &[
            &["limits", "proto", "replay", "spread", "testing", "waiting"],
            &["net", "metrics"],
            &["body", "tls"],
            &["response"],
            &["request"],
            &["extract", "hooks", "identity"],
            &["routing"],
            &["files", "middleware", "ws"],
            &["pubsub"],
            &["conn"],
            &["server"],
            &["docs"],
        ],
    },
    Rooms {
        folder: "actors/src/",
        except: "",
        rows: &[
            &["sync", "time", "error", "stop", "os", "future"],
            &["snapshot", "wake"],
            &["mailbox"],
            &["host"],
            &["shard"],
            &["actor"],
            &["system"],
            &["pool"],
            &["fanout"],
        ],
    },
    Rooms {
        folder: "src/cli/",
        except: "",
        rows: &[
            &[
                "client",
                "doctor",
                "failure",
                "files",
                "html",
                "listeners",
                "output",
                "progress",
                "systemd",
                "tokens",
            ],
            &["admin", "auth", "secure", "sockets", "topics"],
            &["token"],
            &["load"],
            &["soak"],
            &["args"],
            &["config"],
            &["demo", "dev_cert", "logs", "page"],
            &["signals"],
            &["serve"],
        ],
    },
    Rooms {
        folder: "benches/peers/src/bin/load/",
        except: "",
        rows: &[&["options", "template", "tls"], &["connection", "setup"], &["fanout", "generator", "grpc"]],
    },
];

/// Packages and the only files that may name them, so that a package can be replaced in one place.
///
/// A path that does not end in `.rs` is the prefix of all allowed paths.
const HOMES: &[(&str, &[&str])] = &[
    ("glommio", &["actors/src/host/glommio.rs"]),
    ("core_affinity", &["actors/src/os/affinity.rs"]),
    ("flume", &["actors/src/sync.rs"]),
    ("arc_swap", &["actors/src/sync.rs"]),
    ("qcell", &["actors/src/shard/key.rs"]),
    ("httparse", &["src/proto/h1/"]),
    ("hdrhistogram", &["src/cli/client/latency.rs"]),
    ("indicatif", &["src/cli/progress.rs"]),
    ("zlib_rs", &["src/proto/ws/deflate/codec.rs"]),
    ("simdutf8", &["src/proto/ws/text.rs"]),
    ("sha1", &["src/proto/ws/handshake.rs"]),
    ("base64", &["src/middleware/basic_auth.rs", "src/proto/ws/handshake.rs"]),
    ("signal_hook", &["src/cli/", "src/server/stop_signal.rs"]),
    ("::h2", &["src/cli/client/http2.rs"]),
    ("prometheus", &["src/metrics"]),
    ("io_uring", &["src/net/ring"]),
    ("mime_guess", &["src/files/settings.rs"]),
    ("mio", &["src/net/epoll"]),
    ("rustls", &["src/tls/"]),
    ("rcgen", &["src/cli/dev_cert.rs", "src/cli/token.rs", "src/tls/tests.rs"]),
    (
        "serde_json",
        &[
            "src/pubsub/event/json.rs",
            "src/cli/",
            "src/metrics/dashboard.rs",
            "src/request/typed.rs",
            "src/response/json.rs",
            "src/server/test_client/json.rs",
            "src/identity/jwt/keys.rs",
        ],
    ),
    ("serde_html_form", &["src/request/typed.rs"]),
    ("futures_core", &["src/body/stream.rs", "src/extract/multipart.rs", "src/pubsub/sse/response.rs"]),
    ("multer", &["src/extract/multipart.rs"]),
    ("redb", &["src/replay/durable"]),
    ("crc32fast", &["src/replay/durable"]),
    ("http_body", &["src/body/interop.rs", "src/routing/"]),
    ("jsonwebtoken", &["src/identity/jwt/", "src/cli/token.rs"]),
    ("listenfd", &["src/cli/sockets.rs"]),
    ("tower_service", &["src/routing/"]),
];

/// Paths that may contain `unsafe`: the socket ring, and one system call that no crate wraps.
const UNSAFE_HOMES: [&str; 2] = ["src/net/ring", "actors/src/os/scheduling.rs"];
/// Maximum distance in lines of a SAFETY comment above its `unsafe`.
const SAFETY_REACH: usize = 12;

/// Paths that `proto` must not name, because they read a clock, use a socket or run a future.
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

/// Length from which a file is listed as long.
const LONG_LINES: usize = 400;
/// Maximum length of a file.
const MAX_LINES: usize = 600;

/// Modules of one crate, from the lowest layer to the highest.
struct Rooms {
    folder: &'static str,
    /// Folder inside `folder` that belongs to another crate; empty if there is none.
    except: &'static str,
    rows: &'static [&'static [&'static str]],
}

impl Rooms {
    fn sources(&self) -> Vec<Source> {
        let mut sources = sources(&[self.folder]);
        let other = |source: &Source| !self.except.is_empty() && source.is_in(self.except);
        sources.retain(|source| !other(source) && !source.is_in("src/docs/examples/"));
        sources.iter_mut().for_each(|source| source.root = self.folder);
        sources
    }

    /// Returns the row and the name of the innermost listed module that contains `module`.
    fn row(&self, module: &[&str]) -> Option<(usize, &'static str)> {
        let path = module.join("::");
        let contains = |name: &str| path == name || path.starts_with(&format!("{name}::"));
        let rows = self.rows.iter().enumerate();
        let listed = rows.flat_map(|(row, names)| names.iter().map(move |&name| (row, name)));
        listed.filter(|(_, name)| contains(name)).max_by_key(|(_, name)| name.len())
    }
}

#[test]
fn every_file_imports_only_from_lower_layers() {
    let mut faults = Vec::new();
    for rooms in CRATES {
        let sources = rooms.sources();
        for (from, to) in Crate::read(&sources).imports(true) {
            let (from, to) = (&sources[from], &sources[to]);
            let (Some((row, room)), Some((used_row, used))) =
                (rooms.row(&from.module()), rooms.row(&to.module()))
            else {
                continue;
            };
            if room != used && used_row >= row {
                faults.push(format!(
                    "{}: `{room}` imports {}, but `{used}` is not in a lower layer",
                    from.path, to.path
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_module_has_a_layer_and_every_layer_a_module() {
    let mut faults = Vec::new();
    for rooms in CRATES {
        let sources = rooms.sources();
        for source in sources.iter().filter(|source| !source.module().is_empty()) {
            if rooms.row(&source.module()).is_none() {
                faults.push(format!("{}: add the module to CRATES in tests/tidy/main.rs", source.path));
            }
        }
        for name in rooms.rows.iter().copied().flatten() {
            if !sources.iter().any(|source| source.module().join("::") == *name) {
                faults.push(format!("CRATES: `{name}` of {} does not exist", rooms.folder));
            }
        }
    }
    report(&faults);
}

/// A module and the modules inside it may import each other.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut faults = Vec::new();
    for rooms in CRATES {
        let sources = rooms.sources();
        let imports = Crate::read(&sources).imports(false);
        for circle in circles(&imports, sources.len()) {
            let ties = imports.iter().filter(|(from, to)| circle.contains(from) && circle.contains(to));
            let ties: Vec<_> =
                ties.map(|&(from, to)| format!("{} -> {}", sources[from].path, sources[to].path)).collect();
            faults.push(format!("circle:\n    {}", ties.join("\n    ")));
        }
    }
    report(&faults);
}

#[test]
fn a_folder_is_described_in_its_mod_rs() {
    let mut faults = Vec::new();
    for rooms in CRATES {
        let sources = rooms.sources();
        for source in &sources {
            let stem = source.path.trim_end_matches(".rs");
            if sources.iter().any(|other| other.is_in(&format!("{stem}/"))) {
                faults.push(format!("{}: move it to {stem}/mod.rs", source.path));
            }
            let is_room = source.path.ends_with("/mod.rs") && source.module().len() == 1;
            if source.path.ends_with("/mod.rs") && !source.text.starts_with("//! ") {
                faults.push(format!("{}: the first line must state the purpose of the folder", source.path));
            } else if is_room
                && !source
                    .text
                    .lines()
                    .take(12)
                    .any(|line| line.contains("must not know") || line.contains("nows no"))
            {
                faults.push(format!("{}: state what the folder must not know", source.path));
            }
        }
    }
    report(&faults);
}

#[test]
fn proto_uses_no_clock_socket_or_future() {
    let mut faults = Vec::new();
    for source in CRATES[0].sources().iter().filter(|source| source.module().first() == Some(&"proto")) {
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
    // The examples are separate programs and may use any package.
    let product = |source: &Source| !source.is_in("src/docs/examples/");
    for source in sources(&["src", "actors/src"]).into_iter().filter(product) {
        for (package, homes) in HOMES {
            // If the file declares a module of the same name, the name means the module.
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
fn unsafe_code_stays_in_its_homes_and_has_a_safety_comment() {
    let mut faults = Vec::new();
    for source in sources(&["src", "actors/src"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, _) in source.code.lines().enumerate().filter(|(_, line)| has_word(line, "unsafe")) {
            let place = format!("{}:{}", source.path, index + 1);
            let above = &lines[index.saturating_sub(SAFETY_REACH)..=index];
            if !UNSAFE_HOMES.iter().any(|home| source.is_in(home)) {
                faults.push(format!("{place}: `unsafe` outside {UNSAFE_HOMES:?}"));
            } else if !above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")) {
                faults.push(format!("{place}: `unsafe` without a SAFETY comment"));
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
fn no_notes_or_placeholders_are_left() {
    // Joined from parts, so that this file does not contain the words.
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
