//! `bench.Echo` in the form of tonic's generated code, but without boxing the future of each method.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{self, BoxFuture, BoxStream, Service, StdError, http, tokio_stream},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;
use windlass_peers::echo::{self, Items, Order, Part};

/// The `bench.Echo` service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = echo::SERVICE;
}

impl<B> Service<http::Request<B>> for Echo
where
    B: codegen::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        match request.uri().path() {
            echo::UNARY => {
                Box::pin(async { Ok(Grpc::new(ProstCodec::default()).unary(Unary, request).await) })
            }
            echo::SERVER_STREAM => Box::pin(async {
                Ok(Grpc::new(ProstCodec::default()).server_streaming(ServerStream, request).await)
            }),
            _ => Box::pin(ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}

struct Unary;

impl UnaryService<Items> for Unary {
    type Response = Items;
    type Future = Ready<Result<Response<Items>, Status>>;

    fn call(&mut self, request: Request<Items>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

struct ServerStream;

impl ServerStreamingService<Order> for ServerStream {
    type Response = Part;
    type ResponseStream = BoxStream<Part>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Order>) -> Self::Future {
        let parts = request.into_inner().fill().map(Ok);
        ready(Ok(Response::new(Box::pin(tokio_stream::iter(parts)))))
    }
}
