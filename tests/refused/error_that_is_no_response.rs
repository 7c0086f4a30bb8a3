//~ is no handler
//~ what it returns must be a response: a text, bytes, a status, `Json(…)`, or a `Result` of these (of any error: `HandlerError`)
use windlass::{Request, Router, get};

async fn read(_: Request) -> Result<String, std::io::Error> {
    std::fs::read_to_string("/etc/hostname")
}

pub fn router() -> Router {
    Router::new().route(get("/", read))
}
