//! An HTTP/2 client based on the `h2` crate; its connection runs on a thread of its own.
#![allow(dead_code, reason = "not every test uses every helper")]

use std::{net::SocketAddr, thread};

use ::h2::client::{ResponseFuture, SendRequest};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use tokio::{net::TcpStream, runtime, sync::oneshot};
use windlass::{Server, http};

use crate::common::{TIMEOUT, address};

/// An HTTP/2 connection with blocking calls.
pub(crate) struct Client {
    pub(crate) send: SendRequest<Bytes>,
    runtime: runtime::Runtime,
    /// Ends the connection's thread when dropped.
    _alive: oneshot::Sender<()>,
}

/// A complete reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} occurs twice: {:?}", self.headers);
        first
    }
}

impl Client {
    pub(crate) fn connect(server: &Server) -> Self {
        Self::connect_to(address(server), ::h2::client::Builder::new())
    }

    /// Connects with these settings.
    pub(crate) fn connect_to(address: SocketAddr, builder: ::h2::client::Builder) -> Self {
        let (ready, connected) = std::sync::mpsc::channel();
        let (alive, dropped) = oneshot::channel::<()>();
        thread::spawn(move || {
            runtime().block_on(async move {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (send, connection) = builder.handshake(stream).await.unwrap();
                ready.send(send).unwrap();
                tokio::spawn(connection);
                // Returns an error once the client is dropped.
                let _ = dropped.await;
            });
        });
        Self { send: connected.recv_timeout(TIMEOUT).unwrap(), runtime: runtime(), _alive: alive }
    }

    /// Runs a future to completion, with a timeout.
    #[track_caller]
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime
            .block_on(async { tokio::time::timeout(TIMEOUT, future).await })
            .expect("the call must finish in time")
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.call(Method::GET, path, "")
    }

    /// Sends a request with this body and reads its reply.
    #[track_caller]
    pub(crate) fn call(&mut self, method: Method, path: &str, body: impl Into<Bytes>) -> Reply {
        self.request(request(method, path), body.into())
    }

    #[track_caller]
    pub(crate) fn request(&mut self, request: Request<()>, body: Bytes) -> Reply {
        let (response, mut stream) = self.send.send_request(request, body.is_empty()).unwrap();
        if !body.is_empty() {
            stream.send_data(body, true).unwrap();
        }
        self.wait(read(response)).unwrap()
    }

    /// Starts a request whose body is sent later.
    pub(crate) fn open(&mut self, request: Request<()>) -> (ResponseFuture, ::h2::SendStream<Bytes>) {
        self.send.send_request(request, false).unwrap()
    }
}

/// Builds a request for the host `test`.
pub(crate) fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://test{path}")).body(()).unwrap()
}

/// Reads a reply to its end.
pub(crate) async fn read(response: ResponseFuture) -> Result<Reply, ::h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?;
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: bytes.into(), trailers })
}

fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
