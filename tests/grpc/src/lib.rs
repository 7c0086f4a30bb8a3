//! gRPC-shaped calls on Windlass: what its streamed bodies and trailers are for, and how little it takes.
//!
//! [`wire`] is how gRPC frames messages and says how a call ended, [`call`] makes routes of methods, [`timer`] ends a
//! call at its deadline wherever it runs. [`interop`] is `grpc.testing.TestService`, which gRPC implementations are
//! tested against each other with; the binary serves it for a client written by others (scripts/grpc-interop.sh).

pub mod call;
pub mod interop;
pub mod messages;
pub mod timer;
pub mod wire;
