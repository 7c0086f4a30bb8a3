//~ is not a handler
//~ its output is a response: a text, bytes, a status, `Json(…)` of a type with `Serialize`, or
use windlass::{Json, Router, get};

struct Thing;

pub fn router() -> Router {
    Router::new().route(get("/", || Json(Thing)))
}
