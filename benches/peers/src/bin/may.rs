//! may_minihttp with one scheduler thread.

use std::io::{self, BufRead};

use may_minihttp::{HttpServer, HttpService, Request, Response};
use windlass_peers::{items, workload};

fn main() -> io::Result<()> {
    may::config().set_workers(1);
    let server = HttpServer(Workload).start(workload::listen_address()?)?;
    server.join().map_err(|_| io::Error::other("the server panicked"))
}

#[derive(Clone)]
struct Workload;

impl HttpService for Workload {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        let target = request.path().to_owned();
        let (path, query) =
            target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
        match (request.method(), path) {
            ("GET", "/demo/plaintext") => text(response, workload::HELLO),
            ("GET", "/demo/json") => json(response, &workload::message_bytes()),
            ("GET", "/demo/items") => json(response, &items::bytes()),
            ("GET", "/demo/work") => {
                may::coroutine::sleep(workload::work_time(query));
                text(response, workload::WORKED);
            }
            ("POST", "/demo/echo") => echo(request, response)?,
            _ => {
                response.status_code(404, "Not Found");
            }
        }
        Ok(())
    }
}

fn text(response: &mut Response, body: &'static str) {
    response.header("content-type: text/plain").body(body);
}

fn json(response: &mut Response, body: &[u8]) {
    response.header("content-type: application/json");
    response.body_mut().extend_from_slice(body);
}

fn echo(request: Request, response: &mut Response) -> io::Result<()> {
    let mut body = request.body();
    loop {
        let chunk = body.fill_buf()?;
        if chunk.is_empty() {
            return Ok(());
        }
        response.body_mut().extend_from_slice(chunk);
        let length = chunk.len();
        body.consume(length);
    }
}
