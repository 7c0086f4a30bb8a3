//! Routes, addresses and logs of the binary.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::{linux::net::SocketAddrExt, unix::net::UnixStream},
    process::{Command, Stdio},
};

use crate::common::{Client, Serving, eventually, windlass};

#[test]
fn the_demo_routes_answer_as_documented() {
    let serving = Serving::start(&[]);
    let mut client = serving.connect();
    let (status, head, body) = client.get("/demo/plaintext");
    assert_eq!((status, body.as_str()), (200, "Hello, World!"));
    assert!(head.contains("content-type: text/plain\r\n"), "{head}");
    let (_, head, body) = client.get("/demo/json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["message"], "Hello, World!");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    let (_, head, body) = client.get("/demo/items");
    let page = serde_json::from_str::<serde_json::Value>(&body).unwrap();
    assert_eq!(page["items"][3]["name"], "Hemp rope, 40 m");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert_eq!(client.get("/demo/hello/J%C3%BCrgen").2, "Hello, Jürgen!\n");
    assert_eq!(client.get("/demo/work?ms=20").2, "worked for 20 ms\n");
    for bad in ["ms=60001", "ms=-1", "ms=x", "ms="] {
        assert_eq!(client.get(&format!("/demo/work?{bad}")).0, 400, "{bad}");
    }
    let (_, head, body) = client.post("/demo/echo", "Content-Type: text/x\r\n", "{}");
    assert_eq!(body, "{}");
    assert!(head.contains("content-type: text/x\r\n"), "{head}");
    assert_eq!(client.post("/demo/upload", "", &"x".repeat(100_000)).2, "{\"bytes\":100000}");
    let page = client.get("/demo").2;
    for link in [
        "/demo/plaintext",
        "/demo/json",
        "/demo/items",
        "/demo/sse",
        "/demo/work?ms=500",
        "/",
        "/metrics",
        "/healthz",
        "/readyz",
    ] {
        assert!(page.contains(&format!("href=\"{link}\"")), "{link}");
        assert_eq!(client.get(link).0, 200, "{link}");
    }
    let metrics = client.get("/metrics").2;
    assert!(metrics.contains("windlass_async_promoted_connections_total 1\n"), "{metrics}");
    assert_eq!(client.get("/demo/block?ms=1").0, 404, "hidden routes must be off by default");
}

#[test]
fn curl_gets_every_demo_route() {
    let Ok(about) = Command::new("curl").arg("--version").output() else { return };
    let serving = Serving::start(&[]);
    curl_gets_all(&serving, "--http1.1");
    if cfg!(feature = "http2") && String::from_utf8_lossy(&about.stdout).contains("HTTP2") {
        curl_gets_all(&serving, "--http2-prior-knowledge");
    }
}

fn curl_gets_all(serving: &Serving, protocol: &str) {
    let curl = |arguments: &[&str]| {
        let all = [&["--silent", "--show-error", "--fail", "--max-time", "30", protocol], arguments].concat();
        let output = Command::new("curl").args(all).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.stderr.escape_ascii());
        output.stdout
    };
    for path in
        ["/", "/demo/plaintext", "/demo/json", "/demo/hello/you", "/demo/work?ms=1", "/metrics", "/readyz"]
    {
        assert!(!curl(&[&format!("http://{}{path}", serving.address())]).is_empty(), "{protocol} {path}");
    }
    let url = format!("http://{}/demo/upload", serving.address());
    let file = env!("CARGO_BIN_EXE_windlass");
    let size = std::fs::metadata(file).unwrap().len();
    let answer = curl(&["--data-binary", &format!("@{file}"), &url]);
    assert_eq!(String::from_utf8(answer).unwrap(), format!("{{\"bytes\":{size}}}"), "{protocol}");
}

#[test]
fn without_demo_routes_only_operations_are_served() {
    let serving = Serving::start(&["--no-demo"]);
    let mut client = serving.connect();
    for path in ["/demo", "/demo/plaintext", "/demo/work"] {
        assert_eq!(client.get(path).0, 404, "{path}");
    }
    for path in ["/", "/metrics", "/healthz", "/readyz"] {
        assert_eq!(client.get(path).0, 200, "{path}");
    }
}

#[test]
fn the_access_log_has_one_json_line_per_request() {
    let mut serving = Serving::start(&["--access-log"]);
    let mut client = serving.connect();
    for path in ["/demo/plaintext", "/demo/hello/%22%0A?q=secret", "/demo/work?ms=15", "/nowhere"] {
        client.get(path);
    }
    client.post("/demo/echo", "", "four");
    eventually("five lines are written", || serving.stdout().len() >= 5);
    let lines: Vec<serde_json::Value> = serving
        .stdout()
        .iter()
        .map(|line| serde_json::from_str(line).expect("each line must be a JSON object"))
        .collect();
    assert_eq!(lines.len(), 5);
    let expected = [
        ("GET", "/demo/plaintext", "/demo/plaintext", 200, 13),
        ("GET", "/demo/hello/%22%0A", "/demo/hello/{name}", 200, 11),
        ("GET", "/demo/work", "/demo/work", 200, 17),
        ("GET", "/nowhere", "-", 404, 31),
        ("POST", "/demo/echo", "/demo/echo", 200, 4),
    ];
    for (line, (method, path, route, status, bytes)) in lines.iter().zip(expected) {
        assert_eq!(
            (&line["method"], &line["path"], &line["route"]),
            (&method.into(), &path.into(), &route.into())
        );
        assert_eq!(
            (&line["status"], &line["bytes"], &line["error"]),
            (&status.into(), &bytes.into(), &"-".into())
        );
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line["timestamp"].is_string() && line["micros"].is_u64(), "{line}");
    }
    assert!(lines[2]["micros"].as_u64().unwrap() >= 15_000, "{}", lines[2]);
    assert!(!serving.stdout().concat().contains("secret"), "the access log must not contain queries");
    serving.signal(rustix::process::Signal::TERM);
    assert!(serving.ended().success());
    assert_eq!(
        serving.stdout().len(),
        5,
        "the access log must contain requests only: {:?}",
        serving.stdout()
    );
    assert!(
        serving.has("drain complete"),
        "the drain report must be in the other log: {:?}",
        serving.lines()
    );
}

#[test]
fn the_access_log_is_off_by_default() {
    let serving = Serving::start(&[]);
    serving.connect().get("/demo/plaintext");
    assert!(serving.stdout().is_empty());
}

#[test]
fn several_addresses_and_a_unix_socket_are_served() {
    let path = std::env::temp_dir().join(format!("windlass-cli-{}.sock", std::process::id()));
    let unix = format!("unix:{}", path.display());
    let serving = Serving::start(&["--listen", "127.0.0.1:0", "--listen", &unix]);
    assert_eq!(serving.addresses().len(), 2, "{:?}", serving.lines());
    for address in serving.addresses() {
        assert_eq!(Client::connect(address).get("/healthz").0, 200);
    }
    assert!(serving.has(&unix) && UnixStream::connect(&path).is_ok());
    serving.signal(rustix::process::Signal::TERM);
    eventually("the socket file is removed", || !path.exists());
}

#[test]
fn an_ipv4_and_an_ipv6_address_may_have_the_same_port() {
    for engine in ["io_uring", "epoll"] {
        for (first, second) in [("0.0.0.0", "[::]"), ("[::]", "0.0.0.0"), ("[::]", "127.0.0.1")] {
            let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
            let (first, second) = (format!("{first}:{port}"), format!("{second}:{port}"));
            let mut arguments = vec!["--listen", &first, "--listen", &second, "--shards", "2", "--no-topics"];
            arguments.extend(["--engine", engine]);
            let serving = Serving::start_on(&arguments);
            assert_eq!(serving.addresses().len(), 2, "{:?}", serving.lines());
            for host in ["127.0.0.1", "::1"] {
                let address = SocketAddr::new(host.parse().unwrap(), port);
                assert_eq!(Client::connect(address).get("/demo/plaintext").0, 200, "{engine}: {address}");
            }
        }
    }
}

#[test]
fn an_abstract_unix_socket_is_served() {
    for engine in ["io_uring", "epoll"] {
        let name = format!("windlass-serving-{}-{engine}", std::process::id());
        let listen = format!("unix:@{name}");
        let arguments = ["--listen", &listen, "--shards", "2", "--engine", engine];
        let mut command = windlass(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let mut stream = None;
        eventually("the server serves", || {
            stream = UnixStream::connect_addr(&address).ok();
            stream.is_some()
        });
        let mut stream = stream.unwrap();
        stream.write_all(b"GET /demo/plaintext HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 "), "{engine}: {reply}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
