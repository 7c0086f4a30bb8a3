//~ cannot be sent between threads safely
//~ has type `std::sync::MutexGuard<'_, u32>` which is not `Send`
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use windlass::{Router, extract::State, get, sleep};

pub fn router() -> Router {
    let count = Arc::new(Mutex::new(0_u32));
    Router::new().state(count).route(get("/", async |State(count): State<Arc<Mutex<u32>>>| {
        let guard = count.lock().unwrap();
        sleep(Duration::from_millis(1)).await;
        guard.to_string()
    }))
}
