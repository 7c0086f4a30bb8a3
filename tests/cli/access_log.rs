//! The access log: one line of JSON for each request, whoever sent it and whether or not it is valid.

use serde_json::Value;

use crate::common::{Serving, TempFile, eventually};

/// Waits for the line that contains these words. Returns its JSON.
fn line(serving: &Serving, words: &str) -> Value {
    let mut found = None;
    eventually(words, || {
        found = serving.stdout().into_iter().find(|line| line.contains(words));
        found.is_some()
    });
    serde_json::from_str(&found.unwrap()).unwrap()
}

#[test]
fn the_client_behind_a_proxy_its_host_and_its_agent_are_logged() {
    let text = "listen = [\"127.0.0.1:0\"]\nshards = 1\nunpinned = true\naccess_log = true\n\
                trusted_proxies = [\"127.0.0.0/8\"]\n";
    let file = TempFile::new("access.toml", text);
    for engine in ["io_uring", "epoll"] {
        let serving = Serving::start_on(&["--config", file.path(), "--engine", engine]);
        let mut client = serving.connect();
        client.send(
            "GET /demo/json?secret HTTP/1.1\r\nHost: app.example:81\r\nUser-Agent: probe/1 \"x\"\r\n\
             X-Forwarded-For: 203.0.113.9, 198.51.100.7, 127.0.0.5\r\n\r\n",
        );
        assert_eq!(client.reply().unwrap().unwrap().0, 200);
        let json = line(&serving, "/demo/json");
        assert!(json["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{json}");
        let logged =
            ["client", "host", "user_agent", "method", "path"].map(|key| json[key].as_str().unwrap());
        assert_eq!(
            logged,
            ["198.51.100.7", "app.example:81", "probe/1 \"x\"", "GET", "/demo/json"],
            "{engine}"
        );
        assert_eq!(json["status"], 200);

        client.send("GET /nowhere HTTP/1.1\r\nHost: other\r\nForwarded: for=\"[2001:db8::1]:47\"\r\n\r\n");
        assert_eq!(client.reply().unwrap().unwrap().0, 404);
        let json = line(&serving, "/nowhere");
        let logged = ["client", "host", "user_agent", "route"].map(|key| json[key].as_str().unwrap());
        assert_eq!(logged, ["2001:db8::1", "other", "-", "-"], "{engine}");
    }
}

#[test]
fn a_client_without_a_trusted_proxy_cannot_choose_its_address() {
    let serving = Serving::start(&["--access-log"]);
    let mut client = serving.connect();
    client.send("GET /demo/json HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
    assert_eq!(client.reply().unwrap().unwrap().0, 200);
    assert_eq!(line(&serving, "/demo/json")["client"], "127.0.0.1");
}

#[test]
fn requests_that_are_not_valid_are_logged() {
    let text = "listen = [\"127.0.0.1:0\"]\nshards = 1\nunpinned = true\naccess_log = true\n\
                [timeouts]\nheader = \"200ms\"\n";
    let file = TempFile::new("access-invalid.toml", text);
    for engine in ["io_uring", "epoll"] {
        let serving = Serving::start_on(&["--config", file.path(), "--engine", engine]);
        for (bytes, words, status) in [
            ("GET /first HTTP/1.1\r\nno colon\r\n\r\n", "GET /first HTTP/1.1", 400),
            ("GET /second HTTP/1.1\r\n\r\n", "GET /second HTTP/1.1", 400),
            ("\u{1}\u{2}rubbish\r\n\r\n", "rubbish", 400),
            ("GET /third HTTP/3.0\r\nHost: t\r\n\r\n", "GET /third HTTP/3.0", 505),
            ("GET /slow HTTP/1.1\r\nHost:", "GET /slow HTTP/1.1", 408),
        ] {
            let mut client = serving.connect();
            client.send(bytes);
            assert_eq!(client.reply().unwrap().unwrap().0, status, "{engine}: {words}");
            let json = line(&serving, words);
            assert_eq!((&json["status"], &json["client"]), (&status.into(), &"127.0.0.1".into()), "{json}");
            assert!(json["error"].as_str().is_some_and(|error| error.len() > 5), "{json}");
            assert!(json["line"].as_str().unwrap().is_ascii(), "{json}");
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: t\r\n\r\n", "x".repeat(20_000));
        let mut client = serving.connect();
        client.send(long);
        assert_eq!(client.reply().unwrap().unwrap().0, 414);
        let json = line(&serving, "xxxx");
        assert!(json["line"].as_str().unwrap().len() <= 256, "{json}");
    }
}
