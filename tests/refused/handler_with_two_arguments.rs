//~ is no handler
//~ a handler takes exactly one `windlass::Request` and is `Send + Sync + 'static`; what it captures must be too
use windlass::{Request, Router, get};

pub fn router() -> Router {
    Router::new().route(get("/", |_: Request, _: u32| "hello"))
}
