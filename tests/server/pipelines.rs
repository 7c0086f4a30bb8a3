//! Property test: any pipeline of valid requests, split at any byte, is answered completely and in order.

use std::{fmt::Write, thread};

use proptest::{
    prelude::{Just, Strategy, any, prop, prop_oneof},
    test_runner::{Config, TestRunner},
};
use windlass::{Body, Request, Router, Server, get, post, put, static_route};

use crate::common::{Peer, connect, start};

/// A valid request of any kind.
#[derive(Clone, Debug)]
enum PipelinedRequest {
    Get { path: &'static str, head: bool, old: bool },
    Wait { ms: u8 },
    Echo { path: &'static str, body: Vec<u8>, framing: Framing },
    Unserved { body: Vec<u8> },
    NotAllowed,
}

#[derive(Clone, Debug)]
enum Framing {
    Length,
    /// Chunks of this size; `true` for a trailer section.
    Chunked(usize, bool),
}

/// Expected reply to a request.
#[derive(Debug)]
struct Expected {
    method: &'static str,
    status: u16,
    body: Vec<u8>,
}

const ECHOES: [&str; 5] = ["/echo", "/echo-async", "/echo-blocking", "/streamed", "/streamed-async"];

async fn echo(mut request: Request) -> Vec<u8> {
    request.take_body().collect(usize::MAX).await.unwrap().to_vec()
}

async fn wait(request: Request) -> String {
    let ms: u64 = request.query_value("ms").unwrap().parse().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    format!("waited {ms}")
}

/// Returns the request body as the response body while it arrives.
fn pass_on(mut request: Request) -> Body {
    request.take_body()
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline", |_: Request| "inline"))
        .route(get("/async", async |_: Request| "async").run_async())
        .route(get("/blocking", |_: Request| "blocking").run_async())
        .route(get("/wait", wait).run_async())
        .route(post("/echo", echo))
        .route(post("/echo-async", echo).run_async())
        .route(put("/echo-put", echo))
        .route(post("/echo-blocking", pass_on).run_async())
        .route(post("/streamed", echo).streamed())
        .route(post("/streamed-async", pass_on).streamed().run_async())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 3000..20_000),
    ]
}

fn pipelined_request() -> impl Strategy<Value = PipelinedRequest> {
    let path = prop::sample::select(&["/static", "/inline", "/async", "/blocking"][..]);
    let framing = prop_oneof![
        Just(Framing::Length),
        (1..5000_usize, any::<bool>()).prop_map(|(size, trailers)| Framing::Chunked(size, trailers)),
    ];
    prop_oneof![
        4 => (path, any::<bool>(), any::<bool>())
            .prop_map(|(path, head, old)| PipelinedRequest::Get { path, head, old }),
        2 => (0..4_u8).prop_map(|ms| PipelinedRequest::Wait { ms }),
        4 => (prop::sample::select(&ECHOES[..]), body(), framing)
            .prop_map(|(path, body, framing)| PipelinedRequest::Echo { path, body, framing }),
        1 => body().prop_map(|body| PipelinedRequest::Unserved { body }),
        1 => Just(PipelinedRequest::NotAllowed),
    ]
}

impl PipelinedRequest {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Get { path, head, old } => {
                let (method, end) = (if *head { "HEAD" } else { "GET" }, "Connection: keep-alive\r\n\r\n");
                let version = if *old { "1.0" } else { "1.1" };
                out.extend(format!("{method} {path} HTTP/{version}\r\nHost: t\r\n{end}").bytes());
            }
            Self::Wait { ms } => out.extend(format!("GET /wait?ms={ms} HTTP/1.1\r\nHost: t\r\n\r\n").bytes()),
            Self::Echo { path, body, framing } => write_post(out, path, body, framing),
            Self::Unserved { body } => write_post(out, "/nowhere", body, &Framing::Length),
            Self::NotAllowed => out.extend_from_slice(b"DELETE /static HTTP/1.1\r\nHost: t\r\n\r\n"),
        }
    }

    fn expected(&self) -> Expected {
        let reply = |status, body: &[u8]| Expected { method: "GET", status, body: body.to_vec() };
        match self {
            Self::Get { head: true, .. } => Expected { method: "HEAD", status: 200, body: Vec::new() },
            Self::Get { path, .. } => reply(200, &path.as_bytes()[1..]),
            Self::Wait { ms } => reply(200, format!("waited {ms}").as_bytes()),
            Self::Echo { body, .. } => reply(200, body),
            Self::Unserved { .. } => reply(404, b"There is nothing at this path.\n"),
            Self::NotAllowed => reply(405, b"This path does not accept this method.\n"),
        }
    }
}

fn write_post(out: &mut Vec<u8>, path: &str, body: &[u8], framing: &Framing) {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: t\r\n");
    match framing {
        Framing::Length => {
            write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
            out.extend(head.bytes().chain(body.iter().copied()));
        }
        Framing::Chunked(size, trailers) => {
            out.extend(head.bytes().chain(*b"Transfer-Encoding: chunked\r\n\r\n"));
            for chunk in body.chunks(*size) {
                out.extend(
                    format!("{:X}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"),
                );
            }
            out.extend_from_slice(if *trailers { b"0\r\nX-Trailer: 1\r\n\r\n" } else { b"0\r\n\r\n" });
        }
    }
}

/// Sends the requests in pieces that end at the cuts, and checks the replies in parallel.
fn run(server: &Server, requests: &[PipelinedRequest], cuts: &[prop::sample::Index], fin: bool) {
    let mut bytes = Vec::new();
    requests.iter().for_each(|request| request.write(&mut bytes));
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    let mut peer = connect(server);
    let reader = peer.reader();
    thread::scope(|scope| {
        scope.spawn(move || expect(reader, requests, fin));
        for piece in cuts.windows(2) {
            peer.send(&bytes[piece[0]..piece[1]]);
            thread::yield_now();
        }
        if fin {
            peer.finish();
        }
    });
}

fn expect(mut reader: Peer, requests: &[PipelinedRequest], fin: bool) {
    for (index, request) in requests.iter().enumerate() {
        let expected = request.expected();
        let reply = reader.reply_to(expected.method);
        assert_eq!(reply.status, expected.status, "{request:?}");
        // The last reply announces the close if the FIN was received before it was written.
        let may_close = fin && index + 1 == requests.len();
        assert!(may_close || !reply.closes(), "{request:?}");
        assert!(reply.body == expected.body, "{request:?}: unexpected body {}", reply.body.escape_ascii());
    }
    if fin {
        reader.expect_close();
    }
}

#[test]
fn any_pipeline_split_anywhere_is_answered_in_order() {
    let server = start(routes());
    let pipeline = prop::collection::vec(pipelined_request(), 1..14);
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..12);
    let config = Config { cases: 150, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    TestRunner::new(config)
        .run(&(pipeline, cuts, any::<bool>()), |(requests, cuts, fin)| {
            run(&server, &requests, &cuts, fin);
            Ok(())
        })
        .unwrap();
}
