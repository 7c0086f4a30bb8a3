//! HTTP/2 clients: concurrent streams, each with its own body.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::client::{ResponseFuture, handshake};
use http::Request;
use tokio::{net::TcpStream, runtime::Builder, task::JoinSet, time::timeout};

use super::{clients::Tally, dice::Dice, wire::Broken};
use crate::common::TIMEOUT;

/// Number of concurrent streams per connection.
const STREAMS: usize = 8;

pub(super) fn concurrent_streams(address: SocketAddr, dice: &mut Dice, tally: &Tally) -> Result<(), Broken> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async { timeout(TIMEOUT, send_requests(address, dice, tally)).await });
    runtime.shutdown_timeout(Duration::ZERO);
    result.expect("the server must answer or close")
}

async fn send_requests(address: SocketAddr, dice: &mut Dice, tally: &Tally) -> Result<(), Broken> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = handshake(stream).await.map_err(|_| Broken)?;
    // The requests see the end of the connection.
    tokio::spawn(connection);
    let mut answers = JoinSet::new();
    for _ in 0..STREAMS {
        let body = dice.text(3000);
        let request = Request::post("http://t/demo/echo").body(()).unwrap();
        let ready = std::future::poll_fn(|cx| sender.poll_ready(cx)).await;
        ready.map_err(|_| Broken)?;
        let (response, mut upload) = sender.send_request(request, false).map_err(|_| Broken)?;
        upload.send_data(Bytes::from(body.clone()), true).map_err(|_| Broken)?;
        answers.spawn(async move { (body, read(response).await) });
    }
    let mut all = Ok(());
    while let Some(answered) = answers.join_next().await {
        match answered.unwrap() {
            (body, Ok((status, back))) => {
                assert!(tally.check(status, &back, &body), "a truncated frame must not become a request")
            }
            (_, Err(_)) => all = Err(Broken),
        }
    }
    all
}

/// Reads a response to its end.
async fn read(response: ResponseFuture) -> Result<(u16, String), h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok((head.status.as_u16(), String::from_utf8(bytes).unwrap()))
}
