//~ `windlass::Response` is not a future
//~ to implement `Middleware`
use windlass::{Next, Request, Response, Router};

fn gate(_: Request, _: Next) -> Response {
    Response::new()
}

pub fn router() -> Router {
    Router::new().with(gate)
}
