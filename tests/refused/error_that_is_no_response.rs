//~ is not a handler
//~ its output is a response: a text, bytes, a status, `Json(…)` of a type with `Serialize`, or
//~ any error type converts to `windlass::HandlerError`
use windlass::{Request, Router, get};

async fn read(_: Request) -> Result<String, std::io::Error> {
    std::fs::read_to_string("/etc/hostname")
}

pub fn router() -> Router {
    Router::new().route(get("/", read))
}
