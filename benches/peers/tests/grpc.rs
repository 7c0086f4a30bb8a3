//! The gRPC mode of the load generator: content with a good server, and noticing what a bad one does.
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

/// What a scripted server answers.
struct Answer {
    http_status: u16,
    body: Vec<u8>,
    /// `None`: the stream ends without trailers.
    grpc_status: Option<&'static str>,
}

/// Answers a call: is given its place on its connection, from 0, and its body.
type Script = fn(usize, Vec<u8>) -> Answer;

fn good(body: Vec<u8>) -> Answer {
    Answer { http_status: 200, body, grpc_status: Some("0") }
}

/// Serves plain HTTP/2 on a thread that ends with the process.
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
    // A client that has gone away is its own affair.
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
fn a_good_server_passes() {
    let (code, text) = load(serve(|_, body| good(body)), &UNARY);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("errors=0\n") && !text.contains("requests=0\n"), "{text}");
}

#[test]
fn the_reply_to_another_call_is_noticed() {
    let server = serve(|count, mut body| {
        let digit = body.get_mut(16).unwrap();
        *digit = if count == 0 { *digit } else { b'x' };
        good(body)
    });
    let (code, text) = load(server, &UNARY);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn a_reply_cut_short_is_noticed() {
    let server = serve(|count, mut body| {
        body.truncate(body.len() - count.min(1));
        good(body)
    });
    let (code, text) = load(server, &UNARY);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn bytes_after_the_reply_are_noticed() {
    let server = serve(|count, mut body| {
        body.extend_from_within(..count.min(1));
        good(body)
    });
    let (code, text) = load(server, &UNARY);
    assert!(code == 1 && text.contains("errors_body="), "{text}");
}

#[test]
fn a_status_that_is_not_ok_is_noticed() {
    let failing =
        serve(|count, body| Answer { grpc_status: Some(if count == 0 { "0" } else { "14" }), ..good(body) });
    let (code, text) = load(failing, &UNARY);
    assert!(code == 1 && text.contains("errors_status=") && text.contains("grpc-status 14"), "{text}");
    let refusing =
        serve(|count, body| Answer { http_status: if count == 0 { 200 } else { 503 }, ..good(body) });
    let (code, text) = load(refusing, &UNARY);
    assert!(code == 1 && text.contains("errors_status=") && text.contains("503"), "{text}");
}

#[test]
fn an_answer_without_a_status_is_noticed() {
    let server = serve(|count, body| Answer { grpc_status: (count == 0).then_some("0"), ..good(body) });
    let (code, text) = load(server, &UNARY);
    assert!(code == 1 && text.contains("errors_malformed="), "{text}");
}

#[test]
fn a_server_that_echoes_does_not_pass_for_one_that_streams() {
    let (code, text) = load(serve(|_, body| good(body)), &["--grpc", "stream"]);
    assert!(code == 2 && text.contains("before any load: body"), "{text}");
}

#[test]
fn a_server_that_is_silent_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, text) = load(listener.local_addr().unwrap(), &UNARY);
    assert!(code == 2 && text.contains("timeout"), "{text}");
}

const PEERS: [(&str, &str); 2] =
    [("tonic", env!("CARGO_BIN_EXE_peer-tonic")), ("windlass", env!("CARGO_BIN_EXE_peer-windlass-grpc"))];

/// A peer, ended with the test.
struct Peer(Child);

impl Peer {
    /// Starts it on a port that was free a moment ago, and on another one if somebody was faster.
    fn start(program: &str, arguments: &[&str]) -> (Self, SocketAddr) {
        const ATTEMPTS: usize = 5;
        (0..ATTEMPTS).find_map(|_| Self::try_start(program, arguments)).expect("it ends before it accepts")
    }

    fn try_start(program: &str, arguments: &[&str]) -> Option<(Self, SocketAddr)> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program);
        let mut peer =
            Self(command.args(["--listen", &address.to_string()]).args(arguments).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{program} does not accept");
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
fn peers_serve_both_calls_plain() {
    for (name, program) in PEERS {
        let (_peer, address) = Peer::start(program, &[]);
        for method in ["unary", "stream"] {
            let (code, text) = load(address, &["--grpc", method, "--pipeline", "4"]);
            assert_eq!(code, 0, "{name}: {text}");
        }
    }
}

#[test]
fn peers_serve_both_calls_over_tls_to_who_trusts_them() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let pair = |name: &str| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [certificate, key] = ["cert", "key"].map(|kind| directory.join(format!("{name}-{kind}.pem")));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
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
