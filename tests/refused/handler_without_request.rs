//~ is not a handler
//~ expected `Fn(Request) -> impl IntoResponse`, or an `async fn` of that shape
//~ a handler takes exactly one `windlass::Request`; it and its captures are `Send + Sync + 'static`
use windlass::{Router, get};

async fn hello() -> &'static str {
    "hello"
}

pub fn router() -> Router {
    Router::new().route(get("/", hello))
}
