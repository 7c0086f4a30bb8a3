//! HTTP/2 streams side by side, each with a body of its own.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::client::{ResponseFuture, handshake};
use http::Request;
use tokio::{net::TcpStream, runtime::Builder, task::JoinSet, time::timeout};

use super::{clients::Tally, dice::Dice, wire::Broken};
use crate::common::PATIENCE;

/// Streams of a connection at once.
const STREAMS: usize = 8;

pub(super) fn side_by_side(address: SocketAddr, dice: &mut Dice, tally: &Tally) -> Result<(), Broken> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let asked = runtime.block_on(async { timeout(PATIENCE, ask(address, dice, tally)).await });
    runtime.shutdown_timeout(Duration::ZERO);
    asked.expect("silence")
}

async fn ask(address: SocketAddr, dice: &mut Dice, tally: &Tally) -> Result<(), Broken> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = handshake(stream).await.map_err(|_| Broken)?;
    // Its end is seen by whoever asks.
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
                assert!(tally.take(status, &back, &body), "a frame that is cut is no request")
            }
            (_, Err(_)) => all = Err(Broken),
        }
    }
    all
}

/// Reads an answer to its end.
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
