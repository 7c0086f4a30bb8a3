//! Messages of `grpc.testing.TestService`, with the fields that its calls use. Field numbers follow the
//! published definition.

use bytes::Bytes;
use prost::Message;

/// A message without fields.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Empty {}

/// A block of bytes that gives a message its size.
#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    /// Kind of content; always 0.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The content.
    #[prost(bytes = "bytes", tag = "2")]
    pub body: Bytes,
}

impl Payload {
    /// Creates a payload of zeros.
    pub fn zeros(length: usize) -> Self {
        Self { kind: 0, body: vec![0; length].into() }
    }
}

/// Status with which a call must end.
#[derive(Clone, PartialEq, Message)]
pub struct EchoStatus {
    /// Status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Status message.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// Request of `UnaryCall`.
#[derive(Clone, PartialEq, Message)]
pub struct SimpleRequest {
    /// Kind of the requested payload.
    #[prost(int32, tag = "1")]
    pub response_type: i32,
    /// Length of the requested payload in bytes.
    #[prost(int32, tag = "2")]
    pub response_size: i32,
    /// Payload of the request.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<Payload>,
    /// Status with which the call must end; `None` for success.
    #[prost(message, optional, tag = "7")]
    pub response_status: Option<EchoStatus>,
}

/// Response of `UnaryCall`.
#[derive(Clone, PartialEq, Message)]
pub struct SimpleResponse {
    /// The requested payload.
    #[prost(message, optional, tag = "1")]
    pub payload: Option<Payload>,
}

/// Request message of `StreamingInputCall`.
#[derive(Clone, PartialEq, Message)]
pub struct StreamingInputCallRequest {
    /// Payload whose length is added up.
    #[prost(message, optional, tag = "1")]
    pub payload: Option<Payload>,
}

/// Response of `StreamingInputCall`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct StreamingInputCallResponse {
    /// Total length of all payloads in bytes.
    #[prost(int32, tag = "1")]
    pub aggregated_payload_size: i32,
}

/// Description of one message of a response stream.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct ResponseParameters {
    /// Length of its payload in bytes.
    #[prost(int32, tag = "1")]
    pub size: i32,
    /// Delay before the message in microseconds.
    #[prost(int32, tag = "2")]
    pub interval_us: i32,
}

/// Request of `StreamingOutputCall`, and request message of `FullDuplexCall`.
#[derive(Clone, PartialEq, Message)]
pub struct StreamingOutputCallRequest {
    /// Kind of the requested payloads.
    #[prost(int32, tag = "1")]
    pub response_type: i32,
    /// The requested messages.
    #[prost(message, repeated, tag = "2")]
    pub response_parameters: Vec<ResponseParameters>,
    /// Payload of the request.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<Payload>,
    /// Status with which the call must end at once; `None` for success.
    #[prost(message, optional, tag = "7")]
    pub response_status: Option<EchoStatus>,
}

/// Message of a response stream.
#[derive(Clone, PartialEq, Message)]
pub struct StreamingOutputCallResponse {
    /// The requested payload.
    #[prost(message, optional, tag = "1")]
    pub payload: Option<Payload>,
}
