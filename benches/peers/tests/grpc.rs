//! gRPC mode of the load generator: it accepts a correct server and detects faults of an incorrect one.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};

/// Response of a scripted server.
struct Reply {
    http_status: u16,
    body: Vec<u8>,
    /// `None` ends the stream without trailers.
    grpc_status: Option<&'static str>,
}

/// Returns the response to a call, given the index of the call on its connection, from 0, and its body.
type Script = fn(usize, Vec<u8>) -> Reply;

fn ok(body: Vec<u8>) -> Reply {
    Reply { http_status: 200, body, grpc_status: Some("0") }
}

/// Serves plain HTTP/2 on a thread that runs until the process ends.
fn serve(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, script));
            }
        });
    });
    address
}

async fn converse(stream: tokio::net::TcpStream, script: Script) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut count = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, script, count));
        count += 1;
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    script: Script,
    count: usize,
) {
    let mut body = Vec::new();
    let mut stream = request.into_body();
    while let Some(Ok(data)) = stream.data().await {
        body.extend_from_slice(&data);
    }
    let answer = script(count, body);
    let head = Response::builder().status(answer.http_status).header("content-type", "application/grpc");
    let Ok(mut stream) = respond.send_response(head.body(()).unwrap(), false) else { return };
    let Some(status) = answer.grpc_status else {
        return drop(stream.send_data(answer.body.into(), true));
    };
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
    // Sending fails if the client has disconnected.
    let _ = stream.send_data(answer.body.into(), false).and_then(|()| stream.send_trailers(trailers));
}

fn load(target: SocketAddr, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args([
        "--target",
        &target.to_string(),
        "--connections",
        "2",
        "--duration",
        "0.2",
        "--timeout",
        "0.5",
    ]);
    let Output { status, mut stdout, stderr } = command.args(arguments).output().unwrap();
    stdout.extend(stderr);
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

const UNARY: [&str; 4] = ["--grpc", "unary", "--pipeline", "4"];

#[test]
fn a_correct_server_passes() {
    let (code, text) = load(serve(|_, body| ok(body)), &UNARY);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("errors=0\n") && !text.contains("requests=0\n"), "{text}");
}

#[test]
fn the_response_to_another_call_is_detected() {
    let server = serve(|count, mut body| {
        let digit = body.get_mut(16).unwrap();
        *digit = if count == 0 { *digit } else { b'x' };
        ok(body)
    });
    let (code, text) = load(server, &UNARY);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn a_truncated_response_is_detected() {
    let server = serve(|count, mut body| {
        body.truncate(body.len() - count.min(1));
        ok(body)
    });
    let (code, text) = load(server, &UNARY);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn bytes_after_the_response_are_detected() {
    let server = serve(|count, mut body| {
        body.extend_from_within(..count.min(1));
        ok(body)
    });
    let (code, text) = load(server, &UNARY);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn a_status_other_than_ok_is_detected() {
    let failing =
        serve(|count, body| Reply { grpc_status: Some(if count == 0 { "0" } else { "14" }), ..ok(body) });
    let (code, text) = load(failing, &UNARY);
    assert!(code == 1 && text.contains("errors_status=") && text.contains("grpc-status 14"), "{text}");
    let refusing = serve(|count, body| Reply { http_status: if count == 0 { 200 } else { 503 }, ..ok(body) });
    let (code, text) = load(refusing, &UNARY);
    assert!(code == 1 && text.contains("errors_status=") && text.contains("503"), "{text}");
}

#[test]
fn a_response_without_a_status_is_detected() {
    let server = serve(|count, body| Reply { grpc_status: (count == 0).then_some("0"), ..ok(body) });
    let (code, text) = load(server, &UNARY);
    assert!(code == 1 && text.contains("errors_malformed="), "{text}");
}

#[test]
fn an_echo_is_not_accepted_as_a_stream() {
    let (code, text) = load(serve(|_, body| ok(body)), &["--grpc", "stream"]);
    assert!(code == 2 && text.contains("before the load: body"), "{text}");
}

#[test]
fn a_silent_server_is_detected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, text) = load(listener.local_addr().unwrap(), &UNARY);
    assert!(code == 2 && text.contains("timeout"), "{text}");
}

const PEERS: [(&str, &str); 2] =
    [("tonic", env!("CARGO_BIN_EXE_peer-tonic")), ("windlass", env!("CARGO_BIN_EXE_peer-windlass-grpc"))];

/// Peer process that is killed when dropped.
struct Peer(Child);

impl Peer {
    /// Starts a peer on a free port. Tries again if another process takes the port first.
    fn start(program: &str, arguments: &[&str]) -> (Self, SocketAddr) {
        const ATTEMPTS: usize = 5;
        (0..ATTEMPTS)
            .find_map(|_| Self::try_start(program, arguments))
            .expect("peer should accept connections")
    }

    fn try_start(program: &str, arguments: &[&str]) -> Option<(Self, SocketAddr)> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program);
        let mut peer =
            Self(command.args(["--listen", &address.to_string()]).args(arguments).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{program} should accept connections");
            if peer.0.try_wait().unwrap().is_some() {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Some((peer, address))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn peers_serve_both_methods_without_tls() {
    for (name, program) in PEERS {
        let (_peer, address) = Peer::start(program, &[]);
        for method in ["unary", "stream"] {
            let (code, text) = load(address, &["--grpc", method, "--pipeline", "4"]);
            assert_eq!(code, 0, "{name}: {text}");
        }
    }
}

#[test]
fn peers_serve_both_methods_over_tls_to_clients_that_trust_them() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let pair = |name: &str| {
        let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [certificate, key] = ["cert", "key"].map(|kind| directory.join(format!("{name}-{kind}.pem")));
        fs::write(&certificate, generated.cert.pem()).unwrap();
        fs::write(&key, generated.signing_key.serialize_pem()).unwrap();
        [certificate, key].map(|path| path.to_str().unwrap().to_owned())
    };
    let ([certificate, key], [other, _]) = (pair("peer"), pair("other"));
    for (name, program) in PEERS {
        let (_peer, address) = Peer::start(program, &["--tls-cert", &certificate, "--tls-key", &key]);
        for method in ["unary", "stream"] {
            let (code, text) = load(address, &["--grpc", method, "--tls-ca", &certificate]);
            assert_eq!(code, 0, "{name}: {text}");
        }
        assert_eq!(load(address, &["--grpc", "unary", "--tls-ca", &other]).0, 2, "{name}");
        assert_eq!(load(address, &["--grpc", "unary"]).0, 2, "{name}");
    }
}
