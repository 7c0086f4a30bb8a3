//~ cannot be sent between threads safely
//~ required by a bound in `windlass::Router::state`
use std::rc::Rc;
use windlass::Router;

pub fn router() -> Router {
    Router::new().state(Rc::new(7))
}
