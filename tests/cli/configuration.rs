//! Configuration files and flags: every section and key is accepted, and flags override the file.

use std::{io::Read, net::TcpStream};

use crate::common::{Client, Serving, TempFile, run};

/// A configuration with every key set to a value other than its default.
const EVERYTHING: &str = r#"
listen = ["127.0.0.1:0"]
engine = "epoll"
shards = 2
unpinned = true
access_log = true
demo = false
trusted_proxies = ["127.0.0.0/8", "::1", "unix"]
backlog = 100
send_buffer_bytes = 16384
http2 = false
h2c_upgrade = true

[[listener]]
address = "127.0.0.1:0"
proxy_protocol = true

[[listener]]
address = "127.0.0.1:0"
http2 = "only"

[limits]
request_line_bytes = 1000
head_bytes = 2000
headers = 50
trailer_bytes = 1000
chunk_extension_bytes = 100
body_bytes = 10
body_window_bytes = 1000
pipelined = 5
outbox_bytes = 1000
discard_bytes = 1000
tls_handshakes = 10
connections = 100

[limits.http2]
streams = 10
stream_window_bytes = 1000
connection_window_bytes = 100000
header_list_bytes = 1000
header_table_bytes = 1000
pending_resets = 10
local_resets = 10
outbound_bytes = 100000
resets_per_second = 20
settings_per_second = 20
pings_per_second = 20
empty_data_per_second = 20
window_updates_per_second = 20
other_frames_per_second = 20

[timeouts]
tls_handshake = "2s"
header = "5s"
body_idle = "20s"
body_rate = 100
body_grace = "5s"
keep_alive = "30s"
age = "1h 30m"
write_stall = "off"
linger = "1s"
job = "10s"
stream_idle = "1m"
inline_stall = "20ms"
grace = "5s"
drain_idle = "50ms"

[pool]
workers = 1
queue = 10
jobs_per_worker = 10
blocking_threads = 2
blocking_queue = 10
blocking_nice = 5
blocking_idle = false
"#;

#[test]
fn every_section_and_key_is_accepted() {
    let text = match cfg!(feature = "http2") {
        true => EVERYTHING.to_owned(),
        false => EVERYTHING.replace("http2 = \"only\"\n", ""),
    };
    let file = TempFile::new("everything.toml", &text);
    let output = run(&["check-config", file.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr.escape_ascii());
    assert!(String::from_utf8(output.stdout).unwrap().contains("is valid"));
    let serving = Serving::start_on(&["--config", file.path()]);
    let addresses = serving.addresses();
    assert_eq!(addresses.len(), 3, "{:?}", serving.lines());
    let mut client = Client::connect(addresses[0]);
    assert_eq!(client.get("/demo/plaintext").0, 404, "demo = false");
    assert_eq!(client.get("/healthz").0, 200);
    assert_eq!(client.get(&format!("/{}", "x".repeat(1000))).0, 414, "request_line_bytes = 1000");
    let mut proxied = Client::connect(addresses[1]);
    proxied.send("PROXY TCP4 1.2.3.4 1.1.1.1 4711 80\r\n");
    assert_eq!(proxied.get("/readyz").0, 200, "proxy_protocol = true");
    if cfg!(feature = "http2") {
        let mut settings = [0; 9];
        TcpStream::connect(addresses[2]).unwrap().read_exact(&mut settings).unwrap();
        assert_eq!(settings[3], 4, "http2 = \"only\": the server's SETTINGS come first");
    }
    crate::common::eventually("the access log has the proxied address", || {
        serving.stdout().iter().any(|line| line.contains("1.2.3.4:4711"))
    });
}

/// Uncomments the comments that are keys.
pub(crate) fn uncommented(example: &str) -> String {
    let texts = ["# cores", "# With", "# Further", "# Settings"];
    let example =
        texts.iter().fold(example.to_owned(), |text, comment| text.replace(comment, &format!("#{comment}")));
    example.replace("\n# ", "\n")
}

#[test]
fn the_documented_topics_example_is_valid_with_and_without_its_optional_keys() {
    let page = include_str!("../../src/docs/topics.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    for text in [example, &uncommented(example)] {
        let file = TempFile::new("documented-topics.toml", text);
        let output = run(&["check-config", file.path()]);
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr.escape_ascii());
    }
}

/// Checks the documented example as it is and with its optional keys. The TLS keys name files and are checked
/// in `secure`.
#[test]
fn the_documented_example_is_valid_with_and_without_its_optional_keys() {
    let page = include_str!("../../src/docs/configuration.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let all = uncommented(&example.replace("\n# tls", "\n## tls"));
    for text in [example, &all] {
        let file = TempFile::new("documented.toml", text);
        let output = run(&["check-config", file.path()]);
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr.escape_ascii());
    }
    let keys = EVERYTHING.lines().filter_map(|line| line.split_once(" = ").map(|(key, _)| key));
    keys.for_each(|key| assert!(example.contains(&format!("{key} = ")), "{key} is not documented"));
}

#[test]
fn flags_override_the_file() {
    let text = "listen = [\"192.0.2.1:80\"]\nshards = 1\ndemo = true\n\
        [pool]\nworkers = 7\n[timeouts]\ngrace = \"1h\"\n";
    let file = TempFile::new("flags.toml", text);
    let flags = ["--listen", "127.0.0.1:0", "--shards", "2", "--workers", "1", "--grace", "2", "--no-demo"];
    let serving = Serving::start_on(&[&["--config", file.path()], &flags[..]].concat());
    assert!(serving.has("shards=2"), "{:?}", serving.lines());
    assert_eq!(serving.connect().get("/demo/plaintext").0, 404);
}

#[test]
fn a_list_of_cores_pins_a_shard_to_each() {
    let serving = Serving::start_on(&["--listen", "127.0.0.1:0", "--cores", &first_core()]);
    assert!(serving.has("shards=1"), "{:?}", serving.lines());
    assert_eq!(serving.connect().get("/demo/plaintext").0, 200);
}

/// Returns a core that this process may run on.
fn first_core() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split(['-', ',']).next().unwrap().to_owned()
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["-h"]] {
        let output = run(arguments);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        let text = String::from_utf8(output.stdout).unwrap();
        for flag in [
            "--listen",
            "--tls-cert",
            "--engine",
            "--shards",
            "--cores",
            "--workers",
            "--config",
            "--grace",
            "--access-log",
            "--no-demo",
            "--data",
            "--durability",
            "--policy",
            "--mailbox-events",
            "--publish-token",
            "--subscribe-token",
            "--cors-origin",
            "--admin-listen",
            "--admin-token-file",
            "--no-topics",
            "--files",
        ] {
            assert!(text.contains(flag), "{flag} in {arguments:?}: {text}");
            assert!(
                include_str!("../../src/docs/configuration.md").contains(&format!("| `{flag}")),
                "configuration.md lacks {flag}"
            );
        }
    }
    let version = run(&["--version"]);
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("windlass {}\n", env!("CARGO_PKG_VERSION"))
    );
}
