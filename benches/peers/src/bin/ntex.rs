//! ntex with one worker, on its tokio runtime.

use std::io;

use ntex::{
    SharedCfg,
    http::{HttpServiceConfig, header::CONTENT_TYPE},
    time::sleep,
    util::Bytes,
    web::{self, App, HttpRequest, HttpResponse, HttpServer},
};
use windlass_peers::{items, workload};

#[ntex::main]
async fn main() -> io::Result<()> {
    let keep_alive = workload::KEEP_ALIVE.as_secs() as usize;
    HttpServer::new(async || {
        App::new()
            .route("/demo/plaintext", web::get().to(|| async { text(workload::HELLO) }))
            .route("/demo/json", web::get().to(|| async { HttpResponse::Ok().json(&workload::message()) }))
            .route("/demo/items", web::get().to(|| async { HttpResponse::Ok().json(&items::PAGE) }))
            .route("/demo/work", web::get().to(work))
            .route("/demo/echo", web::post().to(echo))
    })
    .workers(1)
    .config(SharedCfg::new("peer").add(HttpServiceConfig::new().set_keepalive(keep_alive)))
    .bind(workload::listen_address()?)?
    .run()
    .await
}

fn text(body: &'static str) -> HttpResponse {
    HttpResponse::Ok().header(CONTENT_TYPE, workload::TEXT).body(body)
}

async fn work(request: HttpRequest) -> HttpResponse {
    sleep(workload::work_time(Some(request.query_string()))).await;
    text(workload::WORKED)
}

async fn echo(request: HttpRequest, body: Bytes) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if let Some(value) = request.headers().get(CONTENT_TYPE) {
        response.header(CONTENT_TYPE, value);
    }
    response.body(body)
}
