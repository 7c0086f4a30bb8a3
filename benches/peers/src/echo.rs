//! The gRPC workload: the messages of `bench.Echo`, written by hand so that nobody needs protoc.
//!
//! ```proto
//! syntax = "proto3";
//! package bench;
//!
//! service Echo {
//!   rpc Unary (Items) returns (Items);               // the same items back
//!   rpc ServerStream (Order) returns (stream Part);  // parts 1, 2, … Order.parts, each with the order's label
//! }
//! message Items { repeated string items = 1; }
//! message Order { uint32 parts = 1; string label = 2; }
//! message Part { uint32 index = 1; string label = 2; }
//! ```
//!
//! The load generator compares replies byte for byte, so a server has to encode as prost does: fields in the order of
//! their numbers, none that holds its default. Each message travels as gRPC frames it: a zero byte (not compressed),
//! its length in four bytes, big-endian.

use prost::Message;

/// Name of the service.
pub const SERVICE: &str = "bench.Echo";

/// Path of the call that brings [`Items`] back.
pub const UNARY: &str = "/bench.Echo/Unary";

/// Path of the call that is answered with a stream of [`Part`].
pub const SERVER_STREAM: &str = "/bench.Echo/ServerStream";

/// Items in a measured [`UNARY`] call; each has ten bytes.
pub const ITEMS: usize = 50;

/// Parts in a measured [`SERVER_STREAM`] call; each label has ten bytes.
pub const PARTS: u32 = 100;

/// What [`UNARY`] takes and returns.
#[derive(Clone, PartialEq, Message)]
pub struct Items {
    /// The payload.
    #[prost(string, repeated, tag = "1")]
    pub items: Vec<String>,
}

/// What [`SERVER_STREAM`] takes.
#[derive(Clone, PartialEq, Message)]
pub struct Order {
    /// How many parts are wanted.
    #[prost(uint32, tag = "1")]
    pub parts: u32,
    /// What each of them is to carry.
    #[prost(string, tag = "2")]
    pub label: String,
}

impl Order {
    /// Makes the parts, one after the other.
    pub fn fill(self) -> impl Iterator<Item = Part> + Send {
        (1..=self.parts).map(move |index| Part { index, label: self.label.clone() })
    }
}

/// One message of the answer to [`SERVER_STREAM`].
#[derive(Clone, PartialEq, Message)]
pub struct Part {
    /// Its place in the stream, from 1.
    #[prost(uint32, tag = "1")]
    pub index: u32,
    /// The order's label.
    #[prost(string, tag = "2")]
    pub label: String,
}

/// Appends a message as gRPC frames it: not compressed.
pub fn push_framed(message: &impl Message, out: &mut Vec<u8>) {
    out.push(0);
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    // A Vec grows, so there is always room, the one thing that could be missing.
    let _ = message.encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_wire_format() {
        let mut out = Vec::new();
        push_framed(&Items { items: vec!["ab".into(), "c".into()] }, &mut out);
        assert_eq!(out, b"\0\0\0\0\x07\x0a\x02ab\x0a\x01c");
        out.clear();
        push_framed(&Order { parts: 100, label: "x".into() }, &mut out);
        assert_eq!(out, b"\0\0\0\0\x05\x08\x64\x12\x01x");
    }

    #[test]
    fn an_order_is_filled_in_order() {
        let parts: Vec<_> = Order { parts: 3, label: "x".into() }.fill().collect();
        assert_eq!(parts.iter().map(|part| part.index).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(parts.iter().all(|part| part.label == "x"));
    }
}
