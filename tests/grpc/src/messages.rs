//! The messages of `grpc.testing.TestService`, as far as its calls use them; numbers as in its published definition.

use bytes::Bytes;
use prost::Message;

/// Holds nothing.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Empty {}

/// A block of bytes that makes a message as large as is wanted.
#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    /// What kind of content: 0, the only one there is.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The content.
    #[prost(bytes = "bytes", tag = "2")]
    pub body: Bytes,
}

impl Payload {
    /// Makes a payload of zeros.
    pub fn zeros(length: usize) -> Self {
        Self { kind: 0, body: vec![0; length].into() }
    }
}

/// The status a call shall end with.
#[derive(Clone, PartialEq, Message)]
pub struct EchoStatus {
    /// Its number.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Its text.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// What `UnaryCall` takes.
#[derive(Clone, PartialEq, Message)]
pub struct SimpleRequest {
    /// The kind of payload that is wanted.
    #[prost(int32, tag = "1")]
    pub response_type: i32,
    /// Its length, bytes.
    #[prost(int32, tag = "2")]
    pub response_size: i32,
    /// What makes this one as large as it is.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<Payload>,
    /// The status the call shall end with, if not that of success.
    #[prost(message, optional, tag = "7")]
    pub response_status: Option<EchoStatus>,
}

/// What `UnaryCall` returns.
#[derive(Clone, PartialEq, Message)]
pub struct SimpleResponse {
    /// The payload that was wanted.
    #[prost(message, optional, tag = "1")]
    pub payload: Option<Payload>,
}

/// One message of those that `StreamingInputCall` takes.
#[derive(Clone, PartialEq, Message)]
pub struct StreamingInputCallRequest {
    /// What is counted.
    #[prost(message, optional, tag = "1")]
    pub payload: Option<Payload>,
}

/// What `StreamingInputCall` returns.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct StreamingInputCallResponse {
    /// Bytes of all payloads.
    #[prost(int32, tag = "1")]
    pub aggregated_payload_size: i32,
}

/// Describes one message of a streamed reply.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct ResponseParameters {
    /// Length of its payload, bytes.
    #[prost(int32, tag = "1")]
    pub size: i32,
    /// How long to wait before it, microseconds.
    #[prost(int32, tag = "2")]
    pub interval_us: i32,
}

/// What `StreamingOutputCall` takes, and each message of those that `FullDuplexCall` takes.
#[derive(Clone, PartialEq, Message)]
pub struct StreamingOutputCallRequest {
    /// The kind of payload that is wanted.
    #[prost(int32, tag = "1")]
    pub response_type: i32,
    /// The messages that are wanted.
    #[prost(message, repeated, tag = "2")]
    pub response_parameters: Vec<ResponseParameters>,
    /// What makes this one as large as it is.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<Payload>,
    /// The status the call shall end with at once, if not that of success.
    #[prost(message, optional, tag = "7")]
    pub response_status: Option<EchoStatus>,
}

/// One message of a streamed reply.
#[derive(Clone, PartialEq, Message)]
pub struct StreamingOutputCallResponse {
    /// The payload that was wanted.
    #[prost(message, optional, tag = "1")]
    pub payload: Option<Payload>,
}
