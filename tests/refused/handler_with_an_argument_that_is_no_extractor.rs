//~ is not a handler
//~ all arguments are extractors (`windlass::extract`); only the last one may take the body or the `Request`
use windlass::{Router, get};

struct Thing;

pub fn router() -> Router {
    Router::new().route(get("/", |_: Thing| "hello"))
}
