//! A minimal gRPC client over the `h2` crate, and the server it calls.

use std::{env, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use prost::Message;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use windlass::{
    EngineKind, Limits, Listen, PoolSettings, Server, Tls,
    actors::Cores,
    http::{HeaderMap, Request},
};
use windlass_grpc::{interop::TestService, wire};

/// Timeout for anything that must happen; far longer than it takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A server with the test service, and a client connected to it.
pub(crate) struct Fixture {
    pub(crate) service: TestService,
    pub(crate) client: Client,
    _server: Server,
}

/// Runs a test against a service on the shards, then against one on the pool.
pub(crate) fn on_shards_and_pool(test: impl AsyncFn(Fixture)) {
    for on_the_pool in [false, true] {
        run(async {
            let service = TestService::default();
            let server = start(&service, on_the_pool, None);
            let client = Client::connect(server.tcp_address().unwrap()).await;
            test(Fixture { service, client, _server: server }).await;
        });
    }
}

/// Runs a test over TLS.
pub(crate) fn over_tls(test: impl AsyncFn(Fixture)) {
    run(async {
        let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let chain = generated.cert.pem();
        let pair = Tls::from_pem(chain.as_bytes(), generated.signing_key.serialize_pem().as_bytes()).unwrap();
        let service = TestService::default();
        let server = start(&service, false, Some(pair));
        let client = Client::connect_tls(server.tcp_address().unwrap(), &chain).await;
        test(Fixture { service, client, _server: server }).await;
    });
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(TIMEOUT, test).await })
        .expect("the test must finish in time");
}

fn start(service: &TestService, on_the_pool: bool, pair: Option<Tls>) -> Server {
    let engine = env::var("WINDLASS_TEST_ENGINE").map_or(EngineKind::Auto, |name| name.parse().unwrap());
    let router = if on_the_pool { service.router().run_async() } else { service.router() };
    let mut limits = Limits::default();
    // Far below the size of a message, so that streamed messages really are streamed.
    limits.body_window_bytes = 8 * 1024;
    let mut pool = PoolSettings::default();
    pool.workers = Some(2);
    let builder =
        Server::builder().engine(engine).cores(Cores::Unpinned(2)).router(router).limits(limits).pool(pool);
    let any: Listen = "127.0.0.1:0".parse().unwrap();
    let builder = match pair {
        Some(pair) => builder.listen_tls(any, pair),
        None => builder.listen(any),
    };
    builder.start().unwrap()
}

/// Waits until this number of streaming calls run.
pub(crate) async fn until_running(service: &TestService, count: usize) {
    while service.running() != count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A client connection.
pub(crate) struct Client(SendRequest<Bytes>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self::handshake(socket(address).await).await
    }

    async fn connect_tls(address: SocketAddr, chain: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let shaking = connector.connect("localhost".try_into().unwrap(), socket(address).await);
        Self::handshake(shaking.await.unwrap()).await
    }

    async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + 'static + Send) -> Self {
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        // The calls on the connection see its end.
        tokio::spawn(async move { drop(connection.await) });
        Self(send)
    }

    /// Starts a call of `grpc.testing.TestService`.
    pub(crate) async fn call(&mut self, method: &str, metadata: &[(&str, &str)]) -> Calling {
        self.call_path(&format!("/grpc.testing.TestService/{method}"), metadata).await
    }

    /// Starts a call. `metadata` may override the standard headers.
    pub(crate) async fn call_path(&mut self, path: &str, metadata: &[(&str, &str)]) -> Calling {
        let mut head = Request::post(format!("http://localhost{path}")).body(()).unwrap();
        for (name, value) in
            [("content-type", "application/grpc+proto"), ("te", "trailers")].iter().chain(metadata)
        {
            head.headers_mut()
                .insert(name.parse::<windlass::http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let mut ready = self.0.clone().ready().await.unwrap();
        let (response, up) = ready.send_request(head, false).unwrap();
        Calling { up, response: Some(response) }
    }

    /// Makes a complete call with one message.
    pub(crate) async fn unary(
        &mut self,
        method: &str,
        metadata: &[(&str, &str)],
        message: &impl Message,
    ) -> Answer {
        let mut calling = self.call(method, metadata).await;
        calling.send(message);
        calling.finish();
        calling.answer().await
    }
}

async fn socket(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A call whose messages are sent one by one.
pub(crate) struct Calling {
    up: SendStream<Bytes>,
    /// `None` once the response head was awaited.
    response: Option<ResponseFuture>,
}

impl Calling {
    pub(crate) fn send(&mut self, message: &impl Message) {
        let mut wire = BytesMut::new();
        wire::push(message, &mut wire).unwrap();
        self.send_raw(wire.freeze());
    }

    pub(crate) fn send_raw(&mut self, bytes: impl Into<Bytes>) {
        self.up.send_data(bytes.into(), false).unwrap();
    }

    pub(crate) fn finish(&mut self) {
        self.up.send_data(Bytes::new(), true).unwrap();
    }

    /// Cancels the call.
    pub(crate) fn cancel(mut self) {
        self.up.send_reset(h2::Reason::CANCEL);
    }

    /// Waits for the head of the response.
    pub(crate) async fn answer(&mut self) -> Answer {
        let (head, body) = self
            .response
            .take()
            .expect("the response head may be awaited only once")
            .await
            .unwrap()
            .into_parts();
        Answer { http_status: head.status.as_u16(), head: head.headers, body, buffer: BytesMut::new() }
    }
}

/// A response whose head has arrived.
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    pub(crate) head: HeaderMap,
    body: RecvStream,
    buffer: BytesMut,
}

/// End of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) code: u32,
    /// The message in its percent-encoded form.
    pub(crate) message: String,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// Waits for the next message.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Option<M> {
        loop {
            if let Some(length) = wire::length(&self.buffer).unwrap()
                && self.buffer.len() >= wire::PREFIX_BYTES + length
            {
                self.buffer.advance(wire::PREFIX_BYTES);
                return Some(M::decode(self.buffer.split_to(length)).unwrap());
            }
            let Some(data) = self.body.data().await else {
                assert!(self.buffer.is_empty(), "the response must not end inside a message");
                return None;
            };
            let data = data.unwrap();
            self.body.flow_control().release_capacity(data.len()).unwrap();
            self.buffer.extend_from_slice(&data);
        }
    }

    /// Waits for the only message and the end of the call.
    pub(crate) async fn only<M: Message + Default>(mut self) -> (M, End) {
        let message = self.next().await.expect("expected a message");
        (message, self.end().await)
    }

    /// Waits for the end of the call after one message of any type.
    pub(crate) async fn end_after_message(self) -> End {
        self.only::<windlass_grpc::messages::Empty>().await.1
    }

    /// Waits for the end of the call after the last message.
    pub(crate) async fn end(mut self) -> End {
        assert_eq!(self.http_status, 200, "{:?}", self.head);
        assert_eq!(self.head["content-type"], "application/grpc");
        assert_eq!(self.next::<windlass_grpc::messages::Empty>().await, None);
        let trailers = match self.body.trailers().await.unwrap() {
            Some(trailers) => trailers,
            // A trailers-only response: the head carries the status.
            None => self.head,
        };
        let text = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let code = text("grpc-status").expect("expected a status").parse().unwrap();
        End { code, message: text("grpc-message").unwrap_or_default(), trailers }
    }
}
