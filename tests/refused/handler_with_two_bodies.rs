//~ is not a handler
//~ only the last one may take the body or the `Request`
use windlass::{Request, Router, get};

pub fn router() -> Router {
    Router::new().route(get("/", |_: String, _: Request| "hello"))
}
