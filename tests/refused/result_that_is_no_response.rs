//~ is no handler
//~ expected `Fn(Request) -> impl IntoResponse`, or an `async fn` of that shape
//~ what it returns must be a response: a text, bytes, a status, `Json(…)`, or a `Result` of these (of any error: `HandlerError`)
use windlass::{Request, Router, get};

pub struct Report;

async fn report(_: Request) -> Report {
    Report
}

pub fn router() -> Router {
    Router::new().route(get("/", report))
}
