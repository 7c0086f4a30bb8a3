//! The workload of all peers, and the code that the bare servers share.
//!
//! Each peer is one small binary `peer-NAME --listen ADDR` that serves these routes on one thread. tonic and
//! windlass-grpc instead serve the gRPC workload of [`echo`], over TLS with `--tls-cert FILE --tls-key FILE`.
//!
//! | route | response |
//! |---|---|
//! | `GET /demo/plaintext` | `Hello, World!`, `text/plain` |
//! | `GET /demo/json` | `{"message":"Hello, World!"}`, serialised for each request where possible |
//! | `GET /demo/items` | a catalogue page of about 1 KiB of JSON, serialised in the same way |
//! | `GET /demo/work?ms=N` | `worked` after an asynchronous sleep of N ms, at most 60000 |
//! | `POST /demo/echo` | the request body |
//! | `GET /demo/large` | 1 MiB of text (hyper only) |
//! | `POST /demo/upload` | the length of the request body, which is read as it arrives (hyper only) |
//! | `GET /demo/ws-echo` | a WebSocket that echoes every message |
//! | `POST /topics/bench` | publishes the request body |
//! | `GET /topics/bench` | subscribes by a WebSocket or by server-sent events |
//!
//! axum, actix, fastwebsockets and ring-bare serve WebSockets. axum and ring-bare serve server-sent events.
//! Other paths return 404. hyper, axum and ring-bare serve HTTP/2 with `--h2` (prior knowledge)
//! instead of HTTP/1.1.
//! The peers have no limits and no timeouts: they serve comparison only.

pub mod bare;
#[cfg(feature = "grpc")]
pub mod echo;
pub mod items;
#[cfg(feature = "tls")]
pub mod tls;
pub mod workload;
