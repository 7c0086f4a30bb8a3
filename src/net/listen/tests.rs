//! Tests that bind real sockets, and the texts of the errors.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use super::*;

fn tcp(text: &str, shards: usize) -> Result<Bound, BindError> {
    bind(&text.parse().unwrap(), shards, &ListenOptions::default())
}

fn port_of(bound: &Bound) -> SocketAddr {
    match bound.address() {
        Listen::Tcp(address) => *address,
        other => panic!("{other} is no TCP address"),
    }
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("windlass-{}-{name}.sock", std::process::id()))
}

#[test]
fn every_shard_gets_a_socket_on_the_chosen_port_and_a_share_of_the_connections() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut bound = tcp(address, 4).unwrap();
        let address = port_of(&bound);
        assert_ne!(address.port(), 0);
        let sockets = bound.take_sockets();
        assert_eq!(sockets.len(), 4);
        assert!(bound.take_sockets().is_empty());
        let _clients: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut total = 0;
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
            let accepted = std::iter::from_fn(|| socket.accept().ok()).count();
            assert!(accepted > 0, "a shard got none of the 200 connections");
            total += accepted;
        }
        assert_eq!(total, 200);
    }
}

#[test]
fn accepted_sockets_inherit_no_delay() {
    for no_delay in [true, false] {
        let options = ListenOptions { no_delay, ..ListenOptions::default() };
        let mut bound = bind(&"127.0.0.1:0".parse().unwrap(), 1, &options).unwrap();
        let _client = TcpStream::connect(port_of(&bound)).unwrap();
        let (accepted, _) = bound.take_sockets()[0].accept().unwrap();
        assert_eq!(accepted.tcp_nodelay().unwrap(), no_delay);
    }
}

#[test]
fn a_second_server_of_the_same_user_is_refused_and_the_error_names_the_first() {
    for shards in [1, 3] {
        let first = tcp("127.0.0.1:0", shards).unwrap();
        let address = port_of(&first).to_string();
        let start = Instant::now();
        let error = tcp(&address, 2).unwrap_err();
        assert!(start.elapsed() >= Duration::from_micros(31_750), "it was not retried");
        assert!(error.in_use());
        let text = error.to_string();
        let process = format!("process {} (", std::process::id());
        for part in
            [&*address, "tried 8 times", &process, "choose another port", "backlog 4096", "descriptors open"]
        {
            assert!(text.contains(part), "{part:?} is missing in: {text}");
        }
    }
}

#[test]
fn the_port_of_a_server_that_just_stopped_is_free() {
    let address = {
        let mut bound = tcp("127.0.0.1:0", 2).unwrap();
        let address = port_of(&bound);
        let sockets = bound.take_sockets();
        let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
            // The server closes first, so that TIME_WAIT is on its side.
            while let Ok((mut accepted, _)) = socket.accept() {
                accepted.set_nonblocking(false).unwrap();
                accepted.write_all(b"bye").unwrap();
            }
        }
        drop(sockets);
        drop(clients);
        address
    };
    for _ in 0..10 {
        tcp(&address.to_string(), 2).unwrap();
    }
}

#[test]
fn an_address_that_is_freed_between_attempts_is_bound() {
    // On a busy machine all attempts may be over before the address is freed.
    let is_bound = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            drop(listener);
        });
        let bound = tcp(&address, 2);
        stopper.join().unwrap();
        bound.is_ok()
    };
    assert!((0..100).any(|_| is_bound()));
}

#[test]
fn other_errors_are_not_retried_and_suggest_what_to_do() {
    let error = tcp("192.0.2.1:8080", 1).unwrap_err();
    assert!(!error.in_use());
    let text = error.to_string();
    assert!(text.contains("no interface has this address") && !text.contains("tried"), "{text}");
}

#[test]
fn v6_only_is_set_when_asked() {
    let options = ListenOptions { v6_only: Some(true), ..ListenOptions::default() };
    let mut bound = bind(&"[::]:0".parse().unwrap(), 2, &options).unwrap();
    let port = port_of(&bound).port();
    assert!(bound.take_sockets().iter().all(|socket| socket.only_v6().unwrap()));
    drop(bound);
    let options = ListenOptions { v6_only: Some(false), ..ListenOptions::default() };
    let _both = bind(&format!("[::]:{port}").parse().unwrap(), 2, &options).unwrap();
    TcpStream::connect(("127.0.0.1", port)).unwrap();
}

#[test]
fn an_ipv6_address_leaves_ipv4_to_an_ipv4_address_with_its_port() {
    let [v6, v4, other]: [Listen; 3] =
        ["[::]:8080", "0.0.0.0:8080", "0.0.0.0:8081"].map(|text| text.parse().unwrap());
    let v6_only =
        |options: &ListenOptions, listen, all: &[&Listen]| options.among(all.iter().copied(), listen).v6_only;
    let default = ListenOptions::default();
    assert_eq!(v6_only(&default, &v6, &[&v6, &v4]), Some(true));
    assert_eq!(v6_only(&default, &v4, &[&v6, &v4]), None);
    assert_eq!(v6_only(&default, &v6, &[&v6, &other]), None);
    let dual = ListenOptions { v6_only: Some(false), ..default };
    assert_eq!(v6_only(&dual, &v6, &[&v6, &v4]), Some(false));
}

#[test]
fn an_address_given_twice_is_explained() {
    let first = tcp("127.0.0.1:0", 1).unwrap();
    let text = tcp(&port_of(&first).to_string(), 1).unwrap_err().to_string();
    assert!(text.contains("itself listens") && text.contains("give each address once"), "{text}");
}

#[test]
fn an_abstract_socket_has_a_name_and_no_file() {
    let name = format!("windlass-{}-abstract", std::process::id());
    let listen: Listen = format!("unix:@{name}").parse().unwrap();
    let mut bound = bind(&listen, 2, &ListenOptions::default()).unwrap();
    assert_eq!(bound.address(), &listen);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let sockets = bound.take_sockets();
    for socket in &sockets {
        let _client = UnixStream::connect_addr(&address).unwrap();
        socket.accept().unwrap();
    }
    assert_eq!(Listen::of(&sockets[0]).unwrap(), listen);
    let error = bind(&listen, 1, &ListenOptions::default()).unwrap_err();
    assert!(error.in_use() && error.to_string().contains("choose another name"), "{error}");
    assert!(!PathBuf::from(format!("@{name}")).exists());
    drop((sockets, bound));
    bind(&listen, 1, &ListenOptions::default()).unwrap();
}

#[test]
fn a_unix_socket_is_shared_by_the_shards_and_removed_with_its_owner() {
    let path = temporary("shared");
    let mut bound = bind(&Listen::Unix(path.clone()), 3, &ListenOptions::default()).unwrap();
    let sockets = bound.take_sockets();
    assert_eq!(sockets.len(), 3);
    for socket in &sockets {
        let _client = UnixStream::connect(&path).unwrap();
        socket.accept().unwrap();
    }
    let error = bind(&Listen::Unix(path.clone()), 1, &ListenOptions::default()).unwrap_err();
    assert!(error.in_use() && error.to_string().contains("a process listens on this socket"), "{error}");
    drop(sockets);
    assert!(path.exists());
    drop(bound);
    assert!(!path.exists());
}

#[test]
fn a_stale_unix_socket_is_replaced_but_another_file_is_not() {
    let path = temporary("stale");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let bound = bind(&Listen::Unix(path.clone()), 1, &ListenOptions::default()).unwrap();
    // The file was replaced, so it must not be removed.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    drop(bound);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let error = bind(&Listen::Unix(path.clone()), 1, &ListenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("the path is not a socket"), "{error}");
    std::fs::remove_file(&path).unwrap();
}
