//~ is not a handler
//~ a handler takes exactly one `windlass::Request`; it and its captures are `Send + Sync + 'static`
use windlass::{Request, Router, get};

pub fn router() -> Router {
    Router::new().route(get("/", |_: Request, _: u32| "hello"))
}
