//! actix-web 4 with one worker (its accepting thread stays idle while connections are kept alive).

use std::io;

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header::{CONTENT_TYPE, ContentType},
    rt::time::sleep,
    web,
};
use windlass_peers::{items, workload};

#[actix_web::main]
async fn main() -> io::Result<()> {
    HttpServer::new(|| {
        App::new()
            .route("/demo/plaintext", web::get().to(|| async { text(workload::HELLO) }))
            .route("/demo/json", web::get().to(|| async { HttpResponse::Ok().json(workload::message()) }))
            .route("/demo/items", web::get().to(|| async { HttpResponse::Ok().json(&items::PAGE) }))
            .route("/demo/work", web::get().to(work))
            .route("/demo/echo", web::post().to(echo))
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
