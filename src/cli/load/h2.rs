//! Requests over HTTP/2, some at once on each connection.

use std::{future::poll_fn, rc::Rc, time::Instant};

use ::h2::client::{Builder, SendRequest};
use bytes::Bytes;
use http::Request;
use tokio::{
    task::{JoinSet, spawn_local},
    time::{sleep, timeout, timeout_at},
};

use super::{
    connect::connect,
    run::{Load, RECOVERY},
};
use crate::client::fault::{Fault, Kind};

/// Window for one answer, and for those of a connection: answers shall not wait for us.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Asks whenever something is due, on a connection that is opened again when it is lost.
pub(super) async fn ask(load: Rc<Load>) {
    while !load.gate.is_over() {
        match connection(&load).await {
            Ok(()) if load.gate.is_over() => {}
            Ok(()) => load.tally.reconnected(),
            Err(fault) => {
                load.fail(&fault, 1);
                sleep(RECOVERY).await;
            }
        }
    }
}

/// Opens one and uses it as long as it lives.
async fn connection(load: &Rc<Load>) -> Result<(), Fault> {
    let opened = timeout(load.plan.traffic.timeout, open(load)).await;
    let (sender, driver) = opened.unwrap_or_else(|_| Err(Load::late()))?;
    // Its end is seen by whoever asks.
    let driver = spawn_local(driver);
    let mut streams = JoinSet::new();
    for _ in 0..load.plan.traffic.streams {
        streams.spawn_local(stream(load.clone(), sender.clone()));
    }
    drop(sender);
    while streams.join_next().await.is_some() {}
    driver.abort();
    Ok(())
}

async fn open(load: &Load) -> Result<(SendRequest<Bytes>, impl Future<Output = ()> + use<>), Fault> {
    let stream = connect(load.plan.target.address).await?;
    let mut builder = Builder::new();
    builder.initial_window_size(STREAM_WINDOW_BYTES).initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder.enable_push(false);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| broken(&error))?;
    Ok((sender, async move {
        let _ = connection.await;
    }))
}

/// Asks, one request after the other, until the connection ends or nothing is due any more.
async fn stream(load: Rc<Load>, mut sender: SendRequest<Bytes>) {
    while let Some(due) = load.gate.next().await {
        let deadline = load.deadline(due);
        if deadline <= Instant::now() {
            load.unsent();
            continue;
        }
        match timeout_at(deadline.into(), poll_fn(|cx| sender.poll_ready(cx))).await {
            Ok(Ok(())) => {}
            // It ended while this stream owed nothing.
            Ok(Err(_)) => return load.gate.give_back(due),
            Err(_) => {
                load.account(due, Err(Load::late()));
                continue;
            }
        }
        let answered = timeout_at(deadline.into(), exchange(&load, &mut sender)).await;
        if !load.account(due, answered.unwrap_or_else(|_| Err(Load::late()))) {
            sleep(RECOVERY).await;
        }
    }
}

async fn exchange(load: &Load, sender: &mut SendRequest<Bytes>) -> Result<u16, Fault> {
    let target = &load.plan.target;
    let uri = format!("http://{}{}", target.authority, target.path);
    let request = Request::get(uri).body(()).map_err(|error| Fault::new(Kind::Malformed, error))?;
    let (response, _) = sender.send_request(request, true).map_err(|error| broken(&error))?;
    let response = response.await.map_err(|error| broken(&error))?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| broken(&error))?;
        body.flow_control().release_capacity(data.len()).map_err(|error| broken(&error))?;
    }
    Ok(status)
}

fn broken(error: &::h2::Error) -> Fault {
    let kind = if error.is_io() {
        Kind::Io
    } else if error.is_go_away() || error.is_reset() {
        Kind::Closed
    } else {
        Kind::Malformed
    };
    Fault::new(kind, error)
}
