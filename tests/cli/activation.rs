//! Socket activation: serving on sockets that were opened before the server started, and errors for missing
//! ones.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    process::Command,
};

use rustix::{
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    process::Signal,
};

use crate::common::{Client, Serving, TIMEOUT, is_refused, output, windlass};

/// Duplicates a socket so that children inherit it, with a descriptor number above those they use.
fn inheritable(socket: impl AsFd) -> OwnedFd {
    let copy = fcntl_dupfd_cloexec(socket, 20).unwrap();
    fcntl_setfd(&copy, FdFlags::empty()).unwrap();
    copy
}

/// Builds a command with two sockets passed as a service manager passes them.
fn activated(arguments: &[&str], names: &str, sockets: [&OwnedFd; 2]) -> Command {
    let [first, second] = sockets.map(|socket| socket.as_raw_fd());
    let mut command = Command::new("bash");
    let run =
        format!("export LISTEN_PID=$$; exec \"$0\" \"$@\" 3<&{first} 4<&{second} {first}<&- {second}<&-");
    command.args(["-c", &run, env!("CARGO_BIN_EXE_windlass")]).args(arguments);
    command.envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", names)]).env_remove("RUST_LOG");
    command
}

fn get_over_unix(path: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(b"GET /demo/plaintext HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn passed_sockets_are_served_and_a_restart_refuses_no_client() {
    let path = std::env::temp_dir().join(format!("windlass-activation-{}.sock", std::process::id()));
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    let address = tcp.local_addr().unwrap();
    let (web, admin) = (inheritable(&tcp), inheritable(&unix));
    for engine in ["io_uring", "epoll"] {
        let arguments = ["--listen", "systemd", "--shards", "2", "--engine", engine];
        let mut serving = Serving::spawn(activated(&arguments, "web:admin", [&web, &admin]));
        assert_eq!(serving.addresses(), [address], "{engine}");
        assert!(serving.has(&format!("serving address=unix:{}", path.display())), "{:?}", serving.lines());
        let mut clients: Vec<_> = (0..50).map(|_| serving.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/demo/plaintext").0, 200, "{engine}");
        }
        let page = clients[0].get("/metrics").2;
        for shard in ["0", "1"] {
            let none = format!("windlass_connections_accepted_total{{shard=\"{shard}\"}} 0\n");
            assert!(!page.contains(&none), "{engine}: one socket feeds all shards: {page}");
        }
        assert!(get_over_unix(&path).starts_with("HTTP/1.1 200"), "{engine}");
        drop(clients);
        serving.signal(Signal::TERM);
        assert!(serving.ended().success(), "{engine}: {:?}", serving.lines());
        assert!(path.exists(), "the server must not remove a socket file that it did not create");

        let mut waiting_client = Client::connect(address);
        waiting_client.send("GET /demo/plaintext HTTP/1.1\r\nHost: t\r\n\r\n");
        let arguments = ["--listen", "systemd:web", "--shards", "1", "--engine", engine];
        let next = Serving::spawn(activated(&arguments, "web:other", [&web, &admin]));
        assert_eq!(
            waiting_client.reply().unwrap().unwrap().0,
            200,
            "a client that connected between two servers must be served"
        );
        assert!(!next.has("unix:"), "only the named socket may be used");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn missing_socket_variables_are_named_in_the_error() {
    let refused = |set: &[(&str, &str)], words: &[&str]| {
        let mut command = windlass(&["--listen", "systemd"]);
        command.envs(set.iter().copied());
        is_refused(&output(command), words);
    };
    refused(&[], &["LISTEN_FDS", ".socket"]);
    refused(&[("LISTEN_FDS", "1")], &["LISTEN_PID"]);
    refused(&[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")], &["LISTEN_PID", "process '1'"]);
}

#[test]
fn sockets_that_do_not_listen_or_have_other_names_are_refused() {
    let (tcp, connected) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixStream::pair().unwrap().0);
    let (web, connected) = (inheritable(&tcp), inheritable(&connected));
    let other = activated(&["--listen", "systemd:admin"], "web:web", [&web, &web]);
    is_refused(&output(other), &["systemd:admin", "passed names: web, web"]);
    let wrong = activated(&["--listen", "systemd"], "web:chat", [&web, &connected]);
    is_refused(&output(wrong), &["passed socket 1 ('chat')", "not a listening"]);
}
