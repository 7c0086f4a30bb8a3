//! gRPC-like calls on Windlass: an example of streamed bodies and trailers.
//!
//! - [`wire`]: framing of messages, and statuses
//! - [`call`]: routes for methods
//! - [`timer`]: deadlines, inline and async
//! - [`interop`]: `grpc.testing.TestService`, the service for interoperability tests between gRPC
//!   implementations
//!
//! The binary serves `interop` for an independent client (`scripts/grpc-interop.sh`).

pub mod call;
pub mod interop;
pub mod messages;
pub mod timer;
pub mod wire;
