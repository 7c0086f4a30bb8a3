//! Error codes and faults (RFC 9113 §5.4, §7).

use super::hpack;

/// An error code of RST_STREAM and GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of RFC 9113 §7")]
pub enum ErrorCode {
    NoError,
    ProtocolError,
    InternalError,
    FlowControlError,
    SettingsTimeout,
    StreamClosed,
    FrameSizeError,
    RefusedStream,
    Cancel,
    CompressionError,
    ConnectError,
    EnhanceYourCalm,
    InadequateSecurity,
    Http11Required,
    /// A code that is not known, to be treated as [`InternalError`](Self::InternalError).
    Unknown,
}

impl ErrorCode {
    const KNOWN: [Self; 14] = [
        Self::NoError,
        Self::ProtocolError,
        Self::InternalError,
        Self::FlowControlError,
        Self::SettingsTimeout,
        Self::StreamClosed,
        Self::FrameSizeError,
        Self::RefusedStream,
        Self::Cancel,
        Self::CompressionError,
        Self::ConnectError,
        Self::EnhanceYourCalm,
        Self::InadequateSecurity,
        Self::Http11Required,
    ];

    /// Reads a code.
    pub fn from_u32(code: u32) -> Self {
        Self::KNOWN.get(code as usize).copied().unwrap_or(Self::Unknown)
    }

    /// Returns the code as it is sent.
    pub fn to_u32(self) -> u32 {
        match self {
            Self::Unknown => Self::InternalError.to_u32(),
            known => known as u32,
        }
    }
}

/// A fault of the peer that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code of the GOAWAY.
    pub code: ErrorCode,
    /// A short name for metrics.
    pub label: &'static str,
    /// Description, sent to the peer with the GOAWAY.
    pub text: &'static str,
}

impl Fault {
    pub(super) const fn protocol(text: &'static str) -> Self {
        Self { code: ErrorCode::ProtocolError, label: "h2_protocol_error", text }
    }

    pub(super) const fn frame_size(text: &'static str) -> Self {
        Self { code: ErrorCode::FrameSizeError, label: "h2_frame_size_error", text }
    }

    pub(super) const fn flow_control(text: &'static str) -> Self {
        Self { code: ErrorCode::FlowControlError, label: "h2_flow_control_error", text }
    }

    pub(super) const fn stream_closed(text: &'static str) -> Self {
        Self { code: ErrorCode::StreamClosed, label: "h2_stream_closed", text }
    }

    pub(super) const fn calm(text: &'static str) -> Self {
        Self { code: ErrorCode::EnhanceYourCalm, label: "h2_enhance_your_calm", text }
    }

    /// The peer ended the connection with an error of its own. No GOAWAY answers it.
    pub const PEER: Self = Self {
        code: ErrorCode::NoError,
        label: "h2_peer_goaway",
        text: "the peer ended the connection with an error",
    };
}

impl From<hpack::Malformed> for Fault {
    fn from(_: hpack::Malformed) -> Self {
        let text = "a header block is not valid HPACK";
        Self { code: ErrorCode::CompressionError, label: "h2_compression_error", text }
    }
}

/// A fault of the peer that ends one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamFault {
    /// The code of the RST_STREAM.
    pub code: ErrorCode,
    /// A short name for metrics.
    pub label: &'static str,
    /// Description, for logs. It is not sent.
    pub text: &'static str,
}

impl StreamFault {
    pub(super) const fn malformed(text: &'static str) -> Self {
        Self { code: ErrorCode::ProtocolError, label: "h2_malformed", text }
    }

    pub(super) const fn protocol(text: &'static str) -> Self {
        Self { code: ErrorCode::ProtocolError, label: "h2_stream_error", text }
    }

    pub(super) const fn frame_size(text: &'static str) -> Self {
        Self { code: ErrorCode::FrameSizeError, label: "h2_stream_error", text }
    }

    pub(super) const fn flow_control(text: &'static str) -> Self {
        Self { code: ErrorCode::FlowControlError, label: "h2_stream_error", text }
    }

    pub(super) const fn closed(text: &'static str) -> Self {
        Self { code: ErrorCode::StreamClosed, label: "h2_stream_error", text }
    }
}
