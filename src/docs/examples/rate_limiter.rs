//! A rate limit kept by an actor: middleware asks it before a handler runs.
//!
//! ```sh
//! cargo run --example rate_limiter
//! for i in 1 2 3 4 5 6 7; do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/; done
//! ```

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use windlass::{
    Builder, HandlerError, Next, Rejection, Request, Response, Server, StartError,
    actors::{Actor, Addr, Context, Flow, Placement, Reply, SpawnOptions},
    get,
    http::StatusCode,
};

/// Requests a client may make at once.
const BURST: f64 = 5.0;
/// Clients that are kept in mind; when there are more, those that have been quiet are forgotten first.
const CLIENTS: usize = 100_000;

/// Asks for one request of this client.
struct Ask(Option<IpAddr>, Reply<bool>);

struct Bucket {
    left: f64,
    filled: Instant,
}

/// Token buckets by client, filled at `per_second`.
struct Limiter {
    per_second: f64,
    buckets: HashMap<Option<IpAddr>, Bucket>,
}

impl Limiter {
    fn may(&mut self, client: Option<IpAddr>, now: Instant) -> bool {
        if self.buckets.len() >= CLIENTS && !self.buckets.contains_key(&client) {
            self.forget(now);
        }
        let bucket = self.buckets.entry(client).or_insert(Bucket { left: BURST, filled: now });
        bucket.left =
            (bucket.left + now.duration_since(bucket.filled).as_secs_f64() * self.per_second).min(BURST);
        bucket.filled = now;
        let may = bucket.left >= 1.0;
        bucket.left -= f64::from(u8::from(may));
        may
    }

    /// Forgets clients whose bucket is full again; all of them if none is.
    fn forget(&mut self, now: Instant) {
        let full = Duration::from_secs_f64(BURST / self.per_second);
        self.buckets.retain(|_, bucket| now.duration_since(bucket.filled) < full);
        if self.buckets.len() >= CLIENTS {
            self.buckets.clear();
        }
    }
}

impl Actor for Limiter {
    type Msg = Ask;

    async fn handle(&mut self, Ask(client, reply): Ask, _: &mut Context<Ask>) -> Flow {
        reply.send(self.may(client, Instant::now()));
        Flow::Continue
    }
}

async fn limited(limiter: Addr<Ask>, request: Request, next: Next) -> Result<Response, HandlerError> {
    let client = request.client();
    if limiter.ask(|reply| Ask(client, reply), Duration::from_secs(1)).await? {
        return Ok(next.run(request).await);
    }
    Err(Rejection::new(StatusCode::TOO_MANY_REQUESTS, "too many requests; try again in a moment").into())
}

/// Starts a server that grants each client a burst, and then `per_second` requests.
///
/// # Errors
///
/// The server does not start.
pub fn start(builder: Builder, per_second: f64) -> Result<Server, StartError> {
    builder
        .with_actors(move |system, routes| {
            let limiter = move || Limiter { per_second, buckets: HashMap::new() };
            let limiter = system.spawn(Placement::LeastLoaded, SpawnOptions::named("limiter"), limiter)?;
            Ok(routes
                .with(move |request, next| limited(limiter.clone(), request, next))
                .route(get("/", |_: Request| "you may\n")))
        })
        .start()
}

#[allow(dead_code, reason = "the tests start it by themselves")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = start(Server::builder().listen("127.0.0.1:8080".parse()?), 1.0)?;
    println!("serving at {:?}; Enter ends", server.addresses());
    std::io::stdin().read_line(&mut String::new())?;
    println!("{}", server.drain(None));
    Ok(())
}
