//! Requests over HTTP/2, several at a time on each connection.

use std::{rc::Rc, time::Instant};

use bytes::Bytes;
use http::Request;
use tokio::{
    task::{JoinSet, spawn_local},
    time::{sleep, timeout, timeout_at},
};

use super::{
    connect::connect,
    run::{RECOVERY, Run},
};
use crate::client::{
    fault::{Fault, Kind},
    http2::{self, Sender},
};

/// Sends a request whenever one is due. Opens the connection again after it was lost.
pub(super) async fn send_requests(run: Rc<Run>) {
    while !run.gate.is_over() {
        match use_connection(&run).await {
            Ok(()) if run.gate.is_over() => {}
            Ok(()) => run.tally.update(|totals| totals.reconnects += 1),
            Err(fault) => {
                run.count_fault(&fault, 1);
                sleep(RECOVERY).await;
            }
        }
    }
}

/// Opens a connection and sends requests on it until it ends.
async fn use_connection(run: &Rc<Run>) -> Result<(), Fault> {
    let open = async { http2::start(connect(run.plan.target.address).await?).await };
    let opened = timeout(run.plan.traffic.timeout, open).await;
    let (sender, drive) = opened.unwrap_or_else(|_| Err(Run::timed_out()))?;
    let driver = spawn_local(drive);
    let mut streams = JoinSet::new();
    for _ in 0..run.plan.traffic.streams {
        streams.spawn_local(use_stream(run.clone(), sender.clone()));
    }
    drop(sender);
    while streams.join_next().await.is_some() {}
    driver.abort();
    Ok(())
}

/// Sends one request at a time until the connection ends or no more requests are due.
async fn use_stream(run: Rc<Run>, mut sender: Sender) {
    while let Some(due) = run.gate.next().await {
        let deadline = run.deadline(due);
        if deadline <= Instant::now() {
            run.count_unsent();
            continue;
        }
        match timeout_at(deadline.into(), sender.ready()).await {
            Ok(Ok(())) => {}
            // The connection ended with no request in flight here.
            Ok(Err(_)) => return run.gate.give_back(due),
            Err(_) => {
                run.count_response(due, Err(Run::timed_out()));
                continue;
            }
        }
        let response = timeout_at(deadline.into(), exchange(&run, &mut sender)).await;
        if !run.count_response(due, response.unwrap_or_else(|_| Err(Run::timed_out()))) {
            sleep(RECOVERY).await;
        }
    }
}

async fn exchange(run: &Run, sender: &mut Sender) -> Result<u16, Fault> {
    let target = &run.plan.target;
    let uri = format!("http://{}{}", target.authority, target.path);
    let request = Request::get(uri).body(()).map_err(|error| Fault::new(Kind::Malformed, error))?;
    let mut reply = sender.request(request, Bytes::new()).await?;
    while reply.data().await?.is_some() {}
    Ok(reply.head.status().as_u16())
}
