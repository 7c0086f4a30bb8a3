//~ function is expected to take 2 arguments, but it takes 1 argument
//~ to implement `Middleware`
use windlass::{Request, Response, Router};

async fn log(_: Request) -> Response {
    Response::new()
}

pub fn router() -> Router {
    Router::new().with(log)
}
