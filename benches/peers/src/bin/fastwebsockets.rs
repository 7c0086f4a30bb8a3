//! fastwebsockets with hyper 1.x on a current-thread tokio runtime. Serves the WebSocket routes of the
//! workload.

use std::{convert::Infallible, io};

use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, WebSocketError, upgrade};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
};
use windlass_peers::workload;

type Topic = broadcast::Sender<Bytes>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(workload::listen_address()?).await?;
    let topic = Topic::new(workload::MAX_BACKLOG);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, topic.clone()));
    }
}

async fn serve(stream: TcpStream, topic: Topic) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, topic.clone()));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn answer(mut request: Request<Incoming>, topic: Topic) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, workload::WS_ECHO) => open(&mut request, echo),
        (&Method::GET, workload::TOPIC) => open(&mut request, |socket| send_events(socket, topic)),
        (&Method::POST, workload::TOPIC) => publish(request, &topic).await,
        _ => status(StatusCode::NOT_FOUND),
    })
}

/// Answers the handshake and spawns `run` on the socket, as the crate's examples do.
fn open<F>(
    request: &mut Request<Incoming>,
    run: impl FnOnce(upgrade::UpgradeFut) -> F,
) -> Response<Empty<Bytes>>
where
    F: Future<Output = Result<(), WebSocketError>> + Send + 'static,
{
    let Ok((response, socket)) = upgrade::upgrade(request) else { return status(StatusCode::BAD_REQUEST) };
    tokio::spawn(tokio::task::unconstrained(run(socket)));
    response
}

async fn echo(socket: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(socket.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

/// Sends every event. Subscribers send no messages here, so none are read.
async fn send_events(socket: upgrade::UpgradeFut, topic: Topic) -> Result<(), WebSocketError> {
    let mut events = topic.subscribe();
    let mut socket = socket.await?;
    while let Ok(event) = events.recv().await {
        socket.write_frame(Frame::text(Payload::Borrowed(&event))).await?;
    }
    Ok(())
}

async fn publish(request: Request<Incoming>, topic: &Topic) -> Response<Empty<Bytes>> {
    let Ok(body) = request.into_body().collect().await else { return status(StatusCode::BAD_REQUEST) };
    // `send` fails if nobody is subscribed.
    let _ = topic.send(body.to_bytes());
    status(StatusCode::ACCEPTED)
}

fn status(code: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = code;
    response
}
