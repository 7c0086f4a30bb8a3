//~ is not a handler
//~ expected a function of extractors that returns a response, or a `Send` future of one
//~ its output is a response: a text, bytes, a status, `Json(…)` of a type with `Serialize`, or
//~ any error type converts to `windlass::HandlerError`
use windlass::{Request, Router, get};

pub struct Report;

async fn report(_: Request) -> Report {
    Report
}

pub fn router() -> Router {
    Router::new().route(get("/", report))
}
