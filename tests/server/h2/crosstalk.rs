//! Many connections of both protocols at once: each request gets its own reply.

use bytes::Bytes;
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    task::JoinSet,
};
use windlass::{Request, Response, Router, http, post};

use super::client::{read, request};
use crate::common::{address, start};

const CONNECTIONS: usize = 300;
const ROUNDS: usize = 8;
const STREAMS: usize = 10;

fn text(connection: usize, round: usize, stream: usize) -> String {
    format!("{connection}-{round}-{stream}-").repeat(1 + (connection + stream) % 40)
}

async fn run_h2_client(address: std::net::SocketAddr, connection: usize) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (send, driver) = ::h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    for round in 0..ROUNDS {
        let mut calls = JoinSet::new();
        for stream in 0..STREAMS {
            let path = if stream % 2 == 0 { "/inline" } else { "/async" };
            let text = text(connection, round, stream);
            let mut send = send.clone().ready().await.unwrap();
            calls.spawn(async move {
                let (response, mut body) = send.send_request(request(Method::POST, path), false).unwrap();
                body.send_data(Bytes::from(text.clone()), true).unwrap();
                assert_eq!(read(response).await.unwrap().text(), text);
            });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
    }
}

async fn run_h1_client(address: std::net::SocketAddr, connection: usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for round in 0..ROUNDS {
        let mut expected = Vec::new();
        for call in 0..2 {
            let path = ["/inline", "/async"][call];
            let text = text(connection, round, call);
            let head = format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", text.len());
            stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
            expected.push(text);
        }
        for text in expected {
            let mut received = Vec::new();
            while !received.ends_with(b"\r\n\r\n") {
                received.push(stream.read_u8().await.unwrap());
            }
            let mut body = vec![0; text.len()];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(String::from_utf8(body).unwrap(), text);
        }
    }
}

#[test]
fn replies_do_not_mix_between_connections_of_both_protocols() {
    let router = Router::new()
        .route(post("/inline", |mut r: Request| Response::new().with_body(r.take_body())))
        .route(post("/async", async |mut r: Request| Response::new().with_body(r.take_body())).run_async());
    let server = start(router);
    let address = address(&server);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut all = JoinSet::new();
        for connection in 0..CONNECTIONS {
            match connection % 2 {
                0 => all.spawn(run_h2_client(address, connection)),
                _ => all.spawn(run_h1_client(address, connection)),
            };
        }
        while let Some(one) = all.join_next().await {
            one.unwrap();
        }
    });
    let requests = CONNECTIONS / 2 * ROUNDS * (STREAMS + 2);
    assert_eq!(server.metrics().requests, requests as u64);
}
