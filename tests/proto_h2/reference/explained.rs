//! Differences between the two, each argued from the RFCs.

use super::{
    Case, Script,
    step::{Request, Step},
};
use crate::common::frames::{
    CONTINUATION, END_HEADERS, GOAWAY, HEADERS, PRIORITY, PRIORITY_UPDATE, PUSH_PROMISE, SETTINGS,
    WINDOW_UPDATE, frame, headers, request, settings,
};

/// A difference that is right.
pub(super) struct Explained {
    /// The rule that requires it.
    pub(super) because: &'static str,
    pub(super) is: fn(&Case) -> bool,
    /// Frames that show it.
    pub(super) example: fn() -> Script,
}

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

pub(super) const EXPLAINED: &[Explained] = &[
    Explained {
        because: "RFC 9113 §8.2.1: a field value must not start or end with white space; the crate lets it \
            pass",
        is: |case| {
            let theirs =
                case.theirs.streams.get(&case.frame.stream).and_then(|stream| stream.request.as_ref());
            let has_space =
                |request: &Request| request.fields.iter().any(|(_, value)| value.trim_ascii() != value);
            let ours = case.ours.streams.get(&case.frame.stream);
            theirs.is_some_and(has_space) && ours.is_some_and(|stream| stream.status == Some(400))
        },
        example: || vec![headers(1, &[request("GET", "/"), vec![("a", " b")]].concat(), true)],
    },
    Explained {
        because: "RFC 9113 §8.1: trailers must not hold pseudo-header fields, or are malformed; the crate \
            drops the fields",
        is: |case| {
            case.frame.kind == HEADERS
                && case.our_reset() == Some(PROTOCOL_ERROR)
                && case.theirs.goaway.is_none()
        },
        example: || vec![headers(1, &request("POST", "/"), false), headers(1, &[(":path", "/")], true)],
    },
    Explained {
        because: "RFC 9113 §4.2, §6: a wrong length is FRAME_SIZE_ERROR; the crate says PROTOCOL_ERROR",
        is: |case| case.codes() == (Some(FRAME_SIZE_ERROR), Some(PROTOCOL_ERROR)),
        example: || vec![frame(WINDOW_UPDATE, 0, 0, [0; 3])],
    },
    Explained {
        because: "RFC 9113 §6.3: a PRIORITY of a wrong length is an error of its stream; the crate ends \
            the connection",
        is: |case| case.frame.kind == PRIORITY && case.our_reset() == Some(FRAME_SIZE_ERROR),
        example: || vec![headers(1, &request("GET", "/"), true), frame(PRIORITY, 0, 1, [0; 4])],
    },
    Explained {
        because: "RFC 9113 §5.1: HEADERS on a closed stream is STREAM_CLOSED; the crate says \
            PROTOCOL_ERROR",
        is: |case| case.frame.kind == HEADERS && case.codes() == (Some(STREAM_CLOSED), Some(PROTOCOL_ERROR)),
        example: || vec![headers(1, &request("GET", "/"), true), headers(1, &request("GET", "/"), true)],
    },
    Explained {
        because: "RFC 9113 §5.1.1: HEADERS on a stream that was passed over ends the connection, whatever \
            its block; the crate first decodes that, and resets the stream if the block is malformed",
        is: |case| {
            case.frame.kind == HEADERS && matches!(case.codes(), (Some(PROTOCOL_ERROR | STREAM_CLOSED), None))
        },
        example: || vec![headers(5, &request("GET", "/"), true), headers(3, &[("te", "x")], true)],
    },
    Explained {
        because: "RFC 9113 §6.9.1: a window beyond the largest ends its stream, also when the response has \
            been sent; the crate looks at windows of streams only while it sends",
        is: |case| case.frame.kind == WINDOW_UPDATE && case.our_reset() == Some(FLOW_CONTROL_ERROR),
        example: || {
            let open = headers(1, &request("POST", "/"), false);
            vec![open, frame(WINDOW_UPDATE, 0, 1, [0x7f, 0xff, 0xff, 0xff])]
        },
    },
    Explained {
        because: "RFC 9218 §2.1, RFC 8441 §3: settings 8 and 9 are 0 or 1, and 9 does not change; the \
            crate knows neither",
        is: |case| case.frame.kind == SETTINGS && case.codes() == (Some(PROTOCOL_ERROR), None),
        example: || vec![frame(SETTINGS, 0, 0, settings(&[(9, 1)]))],
    },
    Explained {
        because: "RFC 9113 §6.5.2: a window beyond the largest is FLOW_CONTROL_ERROR; the crate says \
            PROTOCOL_ERROR",
        is: |case| {
            case.frame.kind == SETTINGS && case.codes() == (Some(FLOW_CONTROL_ERROR), Some(PROTOCOL_ERROR))
        },
        example: || vec![frame(SETTINGS, 0, 0, settings(&[(4, 1 << 31)]))],
    },
    Explained {
        because: "RFC 9113 §4.3: a block that is not HPACK is COMPRESSION_ERROR; the crate may say \
            PROTOCOL_ERROR",
        is: |case| {
            matches!(case.frame.kind, HEADERS | CONTINUATION)
                && case.codes() == (Some(COMPRESSION_ERROR), Some(PROTOCOL_ERROR))
        },
        example: || vec![frame(HEADERS, END_HEADERS, 1, [0x00, 0x05, b'a'])],
    },
    Explained {
        because: "RFC 9113 §8.1.1, §8.2.1: a request with an invalid field name is malformed, which is an \
            error of its stream; the crate ends the connection",
        is: |case| case.our_reset() == Some(PROTOCOL_ERROR) && case.theirs.goaway == Some(PROTOCOL_ERROR),
        example: || vec![headers(1, &[request("GET", "/"), vec![("X", "1")]].concat(), true)],
    },
    Explained {
        because: "RFC 9113 §8.1.1: a message is judged as a whole; the crate judges the parts of a block \
            as they come",
        is: |case| {
            let theirs = case.theirs.streams.get(&case.frame.stream).and_then(|stream| stream.reset);
            let is_begun = matches!(case.frame.kind, HEADERS | CONTINUATION) && !case.frame.has(END_HEADERS);
            is_begun && case.ours == Step::default() && theirs.or(case.theirs.goaway) == Some(PROTOCOL_ERROR)
        },
        example: || vec![frame(HEADERS, 0, 1, [0xb9])],
    },
    Explained {
        because: "RFC 9113 §8.4: a client must not push, and its PUSH_PROMISE is PROTOCOL_ERROR; the crate \
            ignores some",
        is: |case| case.frame.kind == PUSH_PROMISE && case.codes() == (Some(PROTOCOL_ERROR), None),
        example: || {
            vec![headers(1, &request("POST", "/"), false), frame(PUSH_PROMISE, 0, 1, [0, 0, 0, 2, 0x82])]
        },
    },
    Explained {
        because: "RFC 9218 §7.1: PRIORITY_UPDATE has rules of its own; the crate does not know it",
        is: |case| case.frame.kind == PRIORITY_UPDATE && case.ours.goaway.is_some(),
        example: || vec![frame(PRIORITY_UPDATE, 0, 0, [0; 3])],
    },
    Explained {
        because: "RFC 9113 §6.8: who ended the connection with an error reads nothing more; the crate \
            answers with GOAWAY",
        is: |case| case.frame.kind == GOAWAY && case.codes() == (None, Some(0)),
        example: || vec![frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 1])],
    },
];
