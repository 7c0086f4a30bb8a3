//! A rate limiter in an actor, which middleware asks before a handler runs.
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

/// Size of a bucket: requests that a client may make at once.
const BURST: f64 = 5.0;
/// Maximum number of buckets. At the limit, full buckets are removed first.
const CLIENTS: usize = 100_000;

/// Asks whether this client may make a request.
struct Check(Option<IpAddr>, Reply<bool>);

struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Token buckets by client. Each fills with `per_second` tokens a second.
struct Limiter {
    per_second: f64,
    buckets: HashMap<Option<IpAddr>, Bucket>,
}

impl Limiter {
    fn take_token(&mut self, client: Option<IpAddr>, now: Instant) -> bool {
        if self.buckets.len() >= CLIENTS && !self.buckets.contains_key(&client) {
            self.remove_full(now);
        }
        let bucket = self.buckets.entry(client).or_insert(Bucket { tokens: BURST, filled: now });
        bucket.tokens =
            (bucket.tokens + now.duration_since(bucket.filled).as_secs_f64() * self.per_second).min(BURST);
        bucket.filled = now;
        let has_token = bucket.tokens >= 1.0;
        bucket.tokens -= f64::from(u8::from(has_token));
        has_token
    }

    /// Removes the buckets that are full again, or all of them if none is full.
    fn remove_full(&mut self, now: Instant) {
        let full = Duration::from_secs_f64(BURST / self.per_second);
        self.buckets.retain(|_, bucket| now.duration_since(bucket.filled) < full);
        if self.buckets.len() >= CLIENTS {
            self.buckets.clear();
        }
    }
}

impl Actor for Limiter {
    type Msg = Check;

    async fn handle(&mut self, Check(client, reply): Check, _: &mut Context<Check>) -> Flow {
        reply.send(self.take_token(client, Instant::now()));
        Flow::Continue
    }
}

async fn limited(limiter: Addr<Check>, request: Request, next: Next) -> Result<Response, HandlerError> {
    let client = request.client();
    if limiter.ask(|reply| Check(client, reply), Duration::from_secs(1)).await? {
        return Ok(next.run(request).await);
    }
    Err(Rejection::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests, try again later.").into())
}

/// Starts a server that permits each client a burst of requests, and then `per_second` requests a second.
///
/// # Errors
///
/// The server cannot start.
pub fn start(builder: Builder, per_second: f64) -> Result<Server, StartError> {
    builder
        .with_actors(move |system, routes| {
            let limiter = move || Limiter { per_second, buckets: HashMap::new() };
            let limiter = system.spawn(Placement::LeastLoaded, SpawnOptions::named("limiter"), limiter)?;
            Ok(routes
                .with(move |request, next| limited(limiter.clone(), request, next))
                .route(get("/", |_: Request| "permitted\n")))
        })
        .start()
}

#[allow(dead_code, reason = "the tests call `start` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = start(Server::builder().listen("127.0.0.1:8080"), 1.0)?;
    println!("serving on {:?}; press Enter to stop", server.addresses());
    std::io::stdin().read_line(&mut String::new())?;
    println!("{}", server.drain(None));
    Ok(())
}
