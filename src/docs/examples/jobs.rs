//! A job queue. An actor runs the jobs one after the other and publishes the progress of each to a topic.
//!
//! ```sh
//! cargo run --example jobs
//! curl -d '{"steps":5}' -H 'content-type: application/json' http://127.0.0.1:8080/jobs
//! curl -N http://127.0.0.1:8080/jobs/1/events
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use windlass::{
    Builder, HandlerError, Json, Rejection, Request, Response, Server, StartError,
    actors::{Actor, Addr, Context, Flow, Placement, SpawnOptions},
    broker::{Broker, Event, TopicName},
    get,
    http::StatusCode,
    post,
};

/// Maximum number of waiting jobs. More are answered with `503`.
const QUEUE: usize = 100;

#[derive(Deserialize)]
struct Order {
    steps: u32,
}

#[derive(Serialize)]
struct Ticket {
    id: u64,
    events: String,
}

struct Job {
    topic: TopicName,
    steps: u32,
}

/// The actor that runs the jobs. Its mailbox is the queue.
struct Worker {
    broker: Broker,
    step: Duration,
}

impl Actor for Worker {
    type Msg = Job;

    async fn handle(&mut self, job: Job, cx: &mut Context<Job>) -> Flow {
        for step in 1..=job.steps {
            cx.sleep(self.step).await;
            // Not awaited. The topic keeps the event, also if it has no subscriber yet.
            drop(self.broker.publish(&job.topic, Event::new(format!("step {step} of {}", job.steps))));
        }
        drop(self.broker.publish(&job.topic, Event::new("done")));
        Flow::Continue
    }
}

struct Jobs {
    worker: Addr<Job>,
    broker: Broker,
    last: AtomicU64,
}

impl Jobs {
    async fn submit(
        self: Arc<Self>,
        mut request: Request,
    ) -> Result<(StatusCode, Json<Ticket>), HandlerError> {
        let order: Order = request.json().await?;
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let job = Job { topic: format!("jobs/{id}").parse()?, steps: order.steps };
        if self.worker.try_tell(job).is_err() {
            return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "The queue is full.").into());
        }
        Ok((StatusCode::ACCEPTED, Json(Ticket { id, events: format!("/jobs/{id}/events") })))
    }

    /// Streams the events of a job from its first one. A client that reconnects with `Last-Event-ID` receives
    /// the events it missed.
    fn events(&self, request: &Request) -> Result<Response, HandlerError> {
        let id: u64 = request.param_as("id")?;
        if id == 0 || id > self.last.load(Ordering::Relaxed) {
            return Err(Rejection::new(StatusCode::NOT_FOUND, "There is no such job.").into());
        }
        let topic = format!("jobs/{id}").parse()?;
        Ok(match request.header("last-event-id") {
            Some(_) => self.broker.subscribe(&topic, request),
            None => self.broker.stream(&topic, Some(b"earliest")),
        })
    }
}

/// Starts a server with the queue. Each step of a job takes `step`.
///
/// # Errors
///
/// The server cannot start.
pub fn start(builder: Builder, step: Duration) -> Result<Server, Box<dyn std::error::Error>> {
    let broker = Broker::new(Default::default())?;
    let publisher = broker.clone();
    let server: Result<Server, StartError> = builder
        .broker(&broker)
        .with_actors(move |system, routes| {
            let progress = publisher.clone();
            let worker = move || Worker { broker: progress.clone(), step };
            let options = SpawnOptions { mailbox: QUEUE, ..SpawnOptions::named("worker") };
            let worker = system.spawn(Placement::LeastLoaded, options, worker)?;
            let jobs = Arc::new(Jobs { worker, broker: publisher, last: AtomicU64::new(0) });
            let submitted = jobs.clone();
            Ok(routes
                .route(post("/jobs", move |request| jobs.clone().submit(request)))
                .route(get("/jobs/{id}/events", move |request: Request| submitted.events(&request))))
        })
        .start();
    Ok(server?)
}

#[allow(dead_code, reason = "the tests call `start` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = start(Server::builder().listen("127.0.0.1:8080"), Duration::from_secs(1))?;
    println!("serving on {:?}; press Enter to stop", server.addresses());
    std::io::stdin().read_line(&mut String::new())?;
    println!("{}", server.drain(Some(Duration::from_secs(1))));
    Ok(())
}
