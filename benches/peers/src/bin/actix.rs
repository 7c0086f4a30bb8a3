//! actix-web 4 with one worker. Its accepting thread is idle while connections are kept alive.

use std::{cell::RefCell, io, mem::take};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Result,
    http::header::{CONTENT_TYPE, ContentType},
    rt::{spawn, time::sleep},
    web,
};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, Session};
use bytestring::ByteString;
use futures_util::StreamExt;
use windlass_peers::{items, workload};

/// Maximum size of a message.
const MESSAGE_BYTES: usize = 1024 * 1024;

/// WebSockets subscribed to the topic. One worker runs everything, so a `RefCell` is enough.
type Topic = web::Data<RefCell<Vec<Session>>>;

#[actix_web::main]
async fn main() -> io::Result<()> {
    HttpServer::new(|| {
        App::new()
            .app_data(Topic::new(RefCell::default()))
            .route("/demo/plaintext", web::get().to(|| async { text(workload::HELLO) }))
            .route("/demo/json", web::get().to(|| async { HttpResponse::Ok().json(workload::message()) }))
            .route("/demo/items", web::get().to(|| async { HttpResponse::Ok().json(&items::PAGE) }))
            .route("/demo/work", web::get().to(work))
            .route("/demo/echo", web::post().to(echo))
            .route(workload::WS_ECHO, web::get().to(ws_echo))
            .route(workload::TOPIC, web::get().to(subscribe))
            .route(workload::TOPIC, web::post().to(publish))
    })
    .workers(1)
    .keep_alive(workload::KEEP_ALIVE)
    .bind(workload::listen_address()?)?
    .run()
    .await
}

fn text(body: &'static str) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, workload::TEXT)).body(body)
}

async fn work(request: HttpRequest) -> HttpResponse {
    sleep(workload::work_time(Some(request.query_string()))).await;
    text(workload::WORKED)
}

async fn echo(request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let octets = ContentType::octet_stream();
    match request.headers().get(CONTENT_TYPE) {
        Some(value) => HttpResponse::Ok().insert_header((CONTENT_TYPE, value)).body(body),
        None => HttpResponse::Ok().insert_header(octets).body(body),
    }
}

async fn ws_echo(request: HttpRequest, body: web::Payload) -> Result<HttpResponse> {
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    let messages = messages.max_frame_size(MESSAGE_BYTES).aggregate_continuations();
    spawn(echo_messages(session, messages.max_continuation_size(MESSAGE_BYTES)));
    Ok(response)
}

async fn echo_messages(mut session: Session, mut messages: AggregatedMessageStream) {
    while let Some(Ok(message)) = messages.next().await {
        let sent = match message {
            AggregatedMessage::Text(text) => session.text(text).await,
            AggregatedMessage::Binary(bytes) => session.binary(bytes).await,
            _ => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Subscribes a WebSocket to the topic. Subscribers send no messages here, so incoming ones are discarded.
async fn subscribe(request: HttpRequest, body: web::Payload, topic: Topic) -> Result<HttpResponse> {
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    topic.borrow_mut().push(session);
    // Dropping the message stream would close the socket.
    spawn(messages.for_each(async |_| ()));
    Ok(response)
}

/// Sends an event to the sockets one after the other, without a task or a channel for each.
async fn publish(topic: Topic, body: String) -> HttpResponse {
    let text = ByteString::from(body);
    let sessions = take(&mut *topic.borrow_mut());
    for mut session in sessions {
        if session.text(text.clone()).await.is_ok() {
            topic.borrow_mut().push(session);
        }
    }
    HttpResponse::Accepted().finish()
}
