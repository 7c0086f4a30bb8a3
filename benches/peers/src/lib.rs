//! The workload every peer serves, and what the bare servers share.
//!
//! Each peer is one small binary `peer-NAME --listen ADDR` that serves, on one thread (tonic and windlass-grpc instead
//! the gRPC workload of [`echo`], also over TLS with `--tls-cert FILE --tls-key FILE`):
//!
//! | route | answer |
//! |---|---|
//! | `GET /demo/plaintext` | `Hello, World!`, `text/plain` |
//! | `GET /demo/json` | `{"message":"Hello, World!"}`, serialised for each request where the peer has a serialiser |
//! | `GET /demo/items` | a page of a catalogue, about 1 KiB of JSON, serialised in the same way |
//! | `GET /demo/work?ms=N` | `worked` after a sleep of N ms (at most 60000) that blocks nobody |
//! | `POST /demo/echo` | the body |
//! | `GET /demo/ws-echo` | a WebSocket that sends every message back; axum, actix, fastwebsockets and ring-bare |
//! | `/topics/bench` | POST publishes, GET subscribes: by a WebSocket at these and ring-bare, by server-sent events at axum and ring-bare |
//!
//! Everything else is 404. hyper and axum speak HTTP/2 instead with `--h2` (prior knowledge). The peers know no limits
//! and no time-outs: they are here to be compared with, not used.

pub mod bare;
#[cfg(feature = "grpc")]
pub mod echo;
pub mod items;
#[cfg(feature = "grpc")]
pub mod tls;
pub mod workload;
