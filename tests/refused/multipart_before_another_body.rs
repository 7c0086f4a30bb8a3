//~ is not a handler
//~ only the last one may take the body or the `Request`
use windlass::{Router, extract::Multipart, post};

pub fn router() -> Router {
    Router::new().route(post("/", |_: Multipart, _: String| "hello"))
}
