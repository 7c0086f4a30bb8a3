//! Readiness of mounted services: a service is called only after the same instance reported that it is ready.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tower::{Service, ServiceBuilder};
use windlass::{Body, Router};

use crate::common::{builder, connect, endless, eventually, start};

/// A service that is ready after some polls, and panics if called before.
struct ReadyAfterPolls {
    polls_left: usize,
}

impl Clone for ReadyAfterPolls {
    /// Resets the readiness, as the services of tower do: a clone must become ready on its own.
    fn clone(&self) -> Self {
        Self { polls_left: 3 }
    }
}

impl Service<http::Request<Body>> for ReadyAfterPolls {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.polls_left == 0 {
            return Poll::Ready(Ok(()));
        }
        self.polls_left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        assert_eq!(self.polls_left, 0, "the service must be ready before it is called");
        std::future::ready(Ok(http::Response::new("called".into())))
    }
}

#[test]
fn a_service_is_polled_until_it_is_ready() {
    let server = start(Router::new().mount("/", ReadyAfterPolls { polls_left: 0 }));
    let mut peer = connect(&server);
    for _ in 0..3 {
        assert_eq!(peer.get("/").text(), "called");
    }
}

/// An application that counts its running requests. Each request waits for a permit of `go`.
fn counting(running: &Arc<AtomicUsize>, go: &Arc<tokio::sync::Semaphore>) -> axum::Router {
    let (running, go) = (running.clone(), go.clone());
    let handler = move || {
        let (running, go) = (running.clone(), go.clone());
        async move {
            running.fetch_add(1, Ordering::SeqCst);
            go.acquire().await.unwrap().forget();
            running.fetch_sub(1, Ordering::SeqCst);
            "done"
        }
    };
    axum::Router::new().fallback(handler)
}

#[test]
fn a_concurrency_limit_is_shared_by_all_requests() {
    let (running, go) = (Arc::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let limited = ServiceBuilder::new().concurrency_limit(2).service(counting(&running, &go));
    let server = start(Router::new().mount("/", limited));
    let mut peers: Vec<_> = (0..6).map(|_| connect(&server)).collect();
    peers.iter_mut().for_each(|peer| peer.request("GET", "/"));
    let jobs = || server.pool().unwrap().stats().jobs.running;
    eventually("all requests have reached the service", || jobs() == 6);
    eventually("two requests run", || running.load(Ordering::SeqCst) == 2);
    go.add_permits(1);
    eventually("one request has finished", || jobs() == 5);
    eventually("the next request runs", || running.load(Ordering::SeqCst) == 2);
    go.add_permits(5);
    for peer in &mut peers {
        assert_eq!(peer.reply().text(), "done");
    }
}

#[test]
fn the_wait_for_readiness_counts_towards_the_job_deadline() {
    let (running, go) = (Arc::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let limited = ServiceBuilder::new().concurrency_limit(1).service(counting(&running, &go));
    let mut timeouts = endless();
    timeouts.job = Some(Duration::from_millis(100));
    let server = builder(Router::new().mount("/", limited)).timeouts(timeouts).start().unwrap();
    let (mut first, mut second) = (connect(&server), connect(&server));
    first.request("GET", "/");
    second.request("GET", "/");
    assert_eq!((first.reply().status, second.reply().status), (503, 503));
    // The retried request may time out as well on a busy machine.
    eventually("the permit of the timed-out request is free again", || {
        go.add_permits(1);
        connect(&server).get("/").text() == "done"
    });
}

#[test]
fn a_service_that_times_out_fails_its_request_only() {
    let (running, go) = (Arc::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let timed = ServiceBuilder::new().timeout(Duration::from_millis(50)).service(counting(&running, &go));
    let server = start(Router::new().mount("/", timed));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/").status, 500);
    go.add_permits(1);
    assert_eq!(peer.get("/").text(), "done");
}
