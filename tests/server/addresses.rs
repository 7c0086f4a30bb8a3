//! Addresses of clients and listeners: trusted proxies, PROXY preambles, Unix sockets and shared ports.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use windlass::{Listen, Request, Router, Server, TrustedProxies, actors::Cores, get};

use crate::common::{Peer, TIMEOUT, address, base_builder, builder, connect, endless, eventually, metric};

/// Answers with the peer's address and the client's address.
fn who(request: Request) -> String {
    let peer = request.peer().map_or("none".to_owned(), |peer| peer.to_string());
    let client = request.client().map_or("none".to_owned(), |client| client.to_string());
    format!("{peer} {client}")
}

fn router() -> Router {
    Router::new().route(get("/who", who))
}

fn ask_with(peer: &mut Peer, headers: &str) -> String {
    peer.send(format!("GET /who HTTP/1.1\r\nHost: t\r\n{headers}\r\n"));
    peer.reply().text()
}

#[test]
fn a_request_has_the_address_of_its_peer() {
    let server = builder(router()).start().unwrap();
    let mut peer = connect(&server);
    assert_eq!(peer.get("/who").text(), format!("{} 127.0.0.1", peer.local_address()));
}

#[test]
fn forwarding_headers_are_used_from_trusted_proxies_only() {
    let untrusting = builder(router()).start().unwrap();
    let mut peer = connect(&untrusting);
    assert!(ask_with(&mut peer, "X-Forwarded-For: 1.2.3.4\r\n").ends_with(" 127.0.0.1"));
    let trusted = TrustedProxies::parse(["127.0.0.0/8", "10.0.0.0/8"]).unwrap();
    let server = builder(router()).trusted_proxies(trusted).start().unwrap();
    let mut peer = connect(&server);
    let local = peer.local_address();
    for (headers, client) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"),
        ("X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.9\r\n", "1.2.3.4"),
        ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"),
        ("Forwarded: for=\"[2001:db8::7]:99\";proto=https\r\nX-Forwarded-For: 1.2.3.4\r\n", "2001:db8::7"),
        ("X-Forwarded-For: 1.2.3.4, nonsense\r\n", "127.0.0.1"),
    ] {
        assert_eq!(ask_with(&mut peer, headers), format!("{local} {client}"), "{headers}");
    }
}

/// Starts a server with a listener that expects a PROXY preamble within `timeout`, and a plain listener.
fn proxied(timeout: Duration) -> Server {
    let mut timeouts = endless();
    timeouts.header = Some(timeout);
    base_builder()
        .listen_proxied("127.0.0.1:0")
        .listen("127.0.0.1:0")
        .cores(Cores::Unpinned(2))
        .operations(windlass::Operations::usual())
        .timeouts(timeouts)
        .router(router())
        .start()
        .unwrap()
}

fn plain_address(server: &Server) -> SocketAddr {
    match server.addresses()[1] {
        Listen::Tcp(address) => address,
        Listen::Unix(_) | Listen::Abstract(_) => unreachable!(),
    }
}

/// Builds a version 2 preamble from a command, a family and an address block.
fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
    bytes.extend(addresses);
    bytes
}

#[test]
fn a_preamble_sets_the_peer_of_the_whole_connection() {
    let server = proxied(TIMEOUT);
    let addresses = [Ipv4Addr::new(9, 8, 7, 6).octets(), [127, 0, 0, 1]].concat();
    let binary = v2(0x21, 0x11, &[addresses, vec![0x12, 0x34, 0, 80]].concat());
    for (preamble, expected) in [
        (b"PROXY TCP4 1.2.3.4 127.0.0.1 4711 80\r\n".to_vec(), "1.2.3.4:4711 1.2.3.4"),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(), "[2001:db8::1]:4711 2001:db8::1"),
        (binary, "9.8.7.6:4660 9.8.7.6"),
    ] {
        let mut peer = connect(&server);
        peer.send(&preamble);
        assert_eq!(peer.get("/who").text(), expected);
        assert_eq!(peer.get("/who").text(), expected, "the second request");
        let mut dripped = connect(&server);
        for byte in preamble.iter().chain(b"GET /who HTTP/1.1\r\nHost: t\r\n\r\n") {
            dripped.send([*byte]);
        }
        assert_eq!(dripped.reply().text(), expected, "byte by byte");
        let mut joined = connect(&server);
        joined.send([preamble.as_slice(), b"GET /who HTTP/1.1\r\nHost: t\r\n\r\n"].concat());
        assert_eq!(joined.reply().text(), expected, "in one write");
    }
}

#[test]
fn a_preamble_without_addresses_leaves_the_balancer_as_peer() {
    let server = proxied(TIMEOUT);
    for preamble in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, b"")] {
        let mut peer = connect(&server);
        peer.send(preamble);
        assert_eq!(peer.get("/who").text(), format!("{} 127.0.0.1", peer.local_address()));
    }
}

#[test]
fn a_malformed_preamble_closes_without_an_answer() {
    let server = proxied(TIMEOUT);
    for bad in [
        &b"GET /who HTTP/1.1\r\n\r\n"[..],
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP9 a b 1 2\r\n",
        &v2(0x31, 0x11, b""),
    ] {
        let mut stream = TcpStream::connect(address(&server)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(bad).unwrap();
        let mut answer = Vec::new();
        // The connection ends with a reset or a FIN, without any byte.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
    }
    eventually("the connections are closed", || server.metrics().connections == 0);
    let mut peer = Peer::connect(plain_address(&server));
    assert!(
        peer.get("/metrics").text().contains("windlass_protocol_errors_total{cause=\"proxy_preamble\"} 4")
    );
}

#[test]
fn a_missing_preamble_closes_after_the_header_timeout_without_an_answer() {
    let server = proxied(Duration::from_millis(200));
    for sent in ["", "PROXY TCP4 1.2"] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address(&server)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(200), "{took:?}");
    }
    let mut peer = Peer::connect(plain_address(&server));
    assert!(peer.get("/metrics").text().contains("windlass_timeouts_total{timer=\"header\"} 2"));
}

#[test]
fn a_connection_without_a_preamble_does_not_delay_a_drain() {
    let server = proxied(TIMEOUT);
    let _silent = connect(&server);
    eventually("the connection is accepted", || server.metrics().connections == 1);
    let report = server.drain(None);
    assert_eq!((report.drained, report.cut_total()), (1, 0), "{report}");
    assert!(report.duration < TIMEOUT, "{report}");
}

fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("windlass-{name}-{}.sock", std::process::id()))
}

fn over_unix(path: &PathBuf, headers: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
        .write_all(format!("GET /who HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

#[test]
fn a_unix_socket_serves_beside_tcp_and_its_file_is_removed_at_the_end() {
    let path = socket_path("beside");
    let trusted = TrustedProxies::parse(["unix"]).unwrap();
    let server = builder(router())
        .listen(Listen::Unix(path.clone()))
        .listen("127.0.0.1:0")
        .trusted_proxies(trusted)
        .start()
        .unwrap();
    assert_eq!(server.addresses().len(), 3);
    for _ in 0..8 {
        assert_eq!(over_unix(&path, ""), "none none");
    }
    assert_eq!(over_unix(&path, "X-Forwarded-For: 1.2.3.4\r\n"), "none 1.2.3.4");
    let Listen::Tcp(third) = server.addresses()[2] else { panic!("{:?}", server.addresses()) };
    assert_ne!(third, address(&server));
    for address in [address(&server), third] {
        assert_eq!(Peer::connect(address).get("/who").status, 200);
    }
    drop(server);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_file_is_replaced_but_one_in_use_is_not() {
    let path = socket_path("stale");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = base_builder().listen(Listen::Unix(path.clone())).router(router()).cores(Cores::Unpinned(1));
    let server = server.start().unwrap();
    let second =
        base_builder().listen(Listen::Unix(path.clone())).cores(Cores::Unpinned(1)).start().unwrap_err();
    assert!(second.to_string().contains("a process listens on this socket"), "{second}");
    assert_eq!(over_unix(&path, ""), "none none");
    drop(server);
    assert!(!path.exists());
}

#[test]
fn all_shards_share_one_port_and_its_connections() {
    let server = base_builder()
        .listen("127.0.0.1:0")
        .cores(Cores::Unpinned(3))
        .operations(windlass::Operations::usual())
        .router(router())
        .start()
        .unwrap();
    let mut peers: Vec<_> = (0..90).map(|_| connect(&server)).collect();
    peers.iter_mut().for_each(|peer| assert_eq!(peer.get("/who").status, 200));
    for shard in 0..3 {
        let open = metric(&server, &format!("windlass_connections{{shard=\"{shard}\",state=\"idle\"}}"));
        assert!(open >= 10.0, "shard {shard} has {open} of 90 connections");
    }
}

#[test]
fn the_error_for_a_port_in_use_names_the_process() {
    let first = builder(router()).start().unwrap();
    let refused =
        base_builder().listen(Listen::Tcp(address(&first))).cores(Cores::Unpinned(2)).start().unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(&address(&first).to_string()) && text.contains("tried 8 times"), "{text}");
    assert!(text.contains(&format!("{}", std::process::id())), "the error must name the process: {text}");
    assert!(!text.contains('\n'));
    assert_eq!(connect(&first).get("/who").status, 200);
}
