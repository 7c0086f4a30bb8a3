//~ `[u32; 3]` is not a response
//~ return a `Response`, a text, bytes, a `StatusCode`, `Json(…)`, or a tuple or `Result` of these
use windlass::{Route, static_route};

pub fn route() -> Route {
    static_route("/", [1_u32, 2, 3])
}
