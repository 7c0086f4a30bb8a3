//~ is no handler
//~ expected `Fn(Request) -> impl IntoResponse`, or an `async fn` of that shape
//~ a handler takes exactly one `windlass::Request` and is `Send + Sync + 'static`; what it captures must be too
use windlass::{Router, get};

async fn hello() -> &'static str {
    "hello"
}

pub fn router() -> Router {
    Router::new().route(get("/", hello))
}
