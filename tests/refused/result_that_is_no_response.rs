//~ is not a handler
//~ expected `Fn(Request) -> impl IntoResponse`, or an `async fn` of that shape
//~ its output is a response: a text, bytes, a status, `Json(…)`, or a `Result` of these
//~ any error type converts to `windlass::HandlerError`
use windlass::{Request, Router, get};

pub struct Report;

async fn report(_: Request) -> Report {
    Report
}

pub fn router() -> Router {
    Router::new().route(get("/", report))
}
