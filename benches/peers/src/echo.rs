//! The gRPC workload: the messages of `bench.Echo`, written by hand so that building needs no protoc.
//!
//! ```proto
//! syntax = "proto3";
//! package bench;
//!
//! service Echo {
//!   rpc Unary (Items) returns (Items);               // returns the same items
//!   rpc ServerStream (Order) returns (stream Part);  // parts 1, 2, … Order.parts, each with the order's
//!   label
//! }
//! message Items { repeated string items = 1; }
//! message Order { uint32 parts = 1; string label = 2; }
//! message Part { uint32 index = 1; string label = 2; }
//! ```
//!
//! The load generator compares responses byte by byte. So a server must encode like prost: fields in the
//! order of their numbers, without fields that have the default value. Each message has the gRPC prefix: a
//! zero byte (not compressed) and the length in four bytes, big-endian.

use prost::Message;

/// Name of the service.
pub const SERVICE: &str = "bench.Echo";

/// Path of the method that returns the [`Items`] it received.
pub const UNARY: &str = "/bench.Echo/Unary";

/// Path of the method that returns a stream of [`Part`].
pub const SERVER_STREAM: &str = "/bench.Echo/ServerStream";

/// Items in a measured [`UNARY`] call; each has ten bytes.
pub const ITEMS: usize = 50;

/// Parts in a measured [`SERVER_STREAM`] call; each label has ten bytes.
pub const PARTS: u32 = 100;

/// Request and response of [`UNARY`].
#[derive(Clone, PartialEq, Message)]
pub struct Items {
    /// Strings of ten bytes.
    #[prost(string, repeated, tag = "1")]
    pub items: Vec<String>,
}

/// Request of [`SERVER_STREAM`].
#[derive(Clone, PartialEq, Message)]
pub struct Order {
    /// Number of parts to return.
    #[prost(uint32, tag = "1")]
    pub parts: u32,
    /// Label of each part.
    #[prost(string, tag = "2")]
    pub label: String,
}

impl Order {
    /// Returns the parts in the order of their index.
    pub fn fill(self) -> impl Iterator<Item = Part> + Send {
        (1..=self.parts).map(move |index| Part { index, label: self.label.clone() })
    }
}

/// Response message of [`SERVER_STREAM`].
#[derive(Clone, PartialEq, Message)]
pub struct Part {
    /// Position in the stream, starting at 1.
    #[prost(uint32, tag = "1")]
    pub index: u32,
    /// Label of the order.
    #[prost(string, tag = "2")]
    pub label: String,
}

/// Appends a message with the gRPC prefix, not compressed.
pub fn push_framed(message: &impl Message, out: &mut Vec<u8>) {
    out.push(0);
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    // Encoding fails only if the buffer is too small, and a `Vec` grows.
    let _ = message.encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_in_the_grpc_wire_format() {
        let mut out = Vec::new();
        push_framed(&Items { items: vec!["ab".into(), "c".into()] }, &mut out);
        assert_eq!(out, b"\0\0\0\0\x07\x0a\x02ab\x0a\x01c");
        out.clear();
        push_framed(&Order { parts: 100, label: "x".into() }, &mut out);
        assert_eq!(out, b"\0\0\0\0\x05\x08\x64\x12\x01x");
    }

    #[test]
    fn an_order_is_filled_with_numbered_parts() {
        let parts: Vec<_> = Order { parts: 3, label: "x".into() }.fill().collect();
        assert_eq!(parts.iter().map(|part| part.index).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(parts.iter().all(|part| part.label == "x"));
    }
}
