//! Where requests come from and where servers listen (S12).

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use windlass::{Listen, Request, Router, Server, Timeouts, TrustedProxies, actors::Cores, get};

use crate::common::{PATIENCE, Peer, address, bare, builder, connect, eventually, metric};

/// Tells the peer's address and the client's.
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
fn a_request_knows_its_peer() {
    let server = builder(router()).start().unwrap();
    let mut peer = connect(&server);
    assert_eq!(peer.get("/who").text(), format!("{} 127.0.0.1", peer.local_address()));
}

#[test]
fn forwarding_headers_are_believed_from_trusted_proxies_only() {
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

/// A server that wants a PROXY preamble, and how long it waits for one.
fn proxied(timeout: Duration) -> Server {
    let mut timeouts = Timeouts::default();
    timeouts.header = Some(timeout);
    bare()
        .listen_proxied("127.0.0.1:0".parse().unwrap())
        .listen("127.0.0.1:0".parse().unwrap())
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
        Listen::Unix(_) => unreachable!(),
    }
}

/// A version 2 preamble: command and family with this many bytes of addresses.
fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
    bytes.extend(addresses);
    bytes
}

#[test]
fn a_preamble_names_the_peer_for_the_whole_connection() {
    let server = proxied(PATIENCE);
    let addresses = [Ipv4Addr::new(9, 8, 7, 6).octets(), [127, 0, 0, 1]].concat();
    let binary = v2(0x21, 0x11, &[addresses, vec![0x12, 0x34, 0, 80]].concat());
    for (preamble, told) in [
        (b"PROXY TCP4 1.2.3.4 127.0.0.1 4711 80\r\n".to_vec(), "1.2.3.4:4711 1.2.3.4"),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(), "[2001:db8::1]:4711 2001:db8::1"),
        (binary, "9.8.7.6:4660 9.8.7.6"),
    ] {
        let mut peer = connect(&server);
        peer.send(&preamble);
        assert_eq!(peer.get("/who").text(), told);
        assert_eq!(peer.get("/who").text(), told, "the second request too");
        let mut dripped = connect(&server);
        for byte in preamble.iter().chain(b"GET /who HTTP/1.1\r\nHost: t\r\n\r\n") {
            dripped.send([*byte]);
        }
        assert_eq!(dripped.reply().text(), told, "dripped");
        let mut joined = connect(&server);
        joined.send([preamble.as_slice(), b"GET /who HTTP/1.1\r\nHost: t\r\n\r\n"].concat());
        assert_eq!(joined.reply().text(), told, "in one write");
    }
}

#[test]
fn a_balancer_that_speaks_for_itself_is_its_own_peer() {
    let server = proxied(PATIENCE);
    for preamble in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, b"")] {
        let mut peer = connect(&server);
        peer.send(preamble);
        assert_eq!(peer.get("/who").text(), format!("{} 127.0.0.1", peer.local_address()));
    }
}

#[test]
fn a_malformed_preamble_closes_without_an_answer() {
    let server = proxied(PATIENCE);
    for bad in [
        &b"GET /who HTTP/1.1\r\n\r\n"[..],
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP9 a b 1 2\r\n",
        &v2(0x31, 0x11, b""),
    ] {
        let mut stream = TcpStream::connect(address(&server)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bad).unwrap();
        let mut answer = Vec::new();
        // A reset or a FIN, never a byte.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
    }
    eventually("they are closed", || server.metrics().connections == 0);
    let mut peer = Peer::connect(plain_address(&server));
    assert!(
        peer.get("/metrics").text().contains("windlass_protocol_errors_total{cause=\"proxy_preamble\"} 4")
    );
}

#[test]
fn a_missing_preamble_closes_by_the_header_timer_without_an_answer() {
    let server = proxied(Duration::from_millis(200));
    for sent in ["", "PROXY TCP4 1.2"] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address(&server)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
        let took = began.elapsed();
        assert!((200..370).contains(&took.as_millis()), "{took:?}");
    }
    let mut peer = Peer::connect(plain_address(&server));
    assert!(peer.get("/metrics").text().contains("windlass_timeouts_total{timer=\"header\"} 2"));
}

#[test]
fn a_connection_without_its_preamble_does_not_hold_up_a_drain() {
    let server = proxied(PATIENCE);
    let _silent = connect(&server);
    eventually("it is accepted", || server.metrics().connections == 1);
    let report = server.drain(None);
    assert_eq!((report.drained, report.cut_total()), (1, 0), "{report}");
    assert!(report.took < Duration::from_millis(1500), "{report}");
}

fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("windlass-{name}-{}.sock", std::process::id()))
}

fn over_unix(path: &PathBuf, headers: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("GET /who HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

#[test]
fn a_unix_socket_serves_beside_others_and_its_file_goes_with_the_server() {
    let path = socket_path("beside");
    let trusted = TrustedProxies::parse(["unix"]).unwrap();
    let server = builder(router())
        .listen(Listen::Unix(path.clone()))
        .listen("127.0.0.1:0".parse().unwrap())
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
fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let path = socket_path("stale");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = bare().listen(Listen::Unix(path.clone())).router(router()).cores(Cores::Unpinned(1));
    let server = server.start().unwrap();
    let second = bare().listen(Listen::Unix(path.clone())).cores(Cores::Unpinned(1)).start().unwrap_err();
    assert!(second.to_string().contains("a process listens behind the socket"), "{second}");
    assert_eq!(over_unix(&path, ""), "none none");
    drop(server);
    assert!(!path.exists());
}

#[test]
fn one_free_port_is_shared_by_all_shards_and_connections_spread() {
    let server = bare()
        .listen("127.0.0.1:0".parse().unwrap())
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
fn a_port_in_use_is_refused_and_says_by_whom() {
    let first = builder(router()).start().unwrap();
    let refused = bare().listen(Listen::Tcp(address(&first))).cores(Cores::Unpinned(2)).start().unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(&address(&first).to_string()) && text.contains("tried 8 times"), "{text}");
    assert!(text.contains(&format!("{}", std::process::id())), "names the process: {text}");
    assert!(!text.contains('\n'));
    assert_eq!(connect(&first).get("/who").status, 200);
}
