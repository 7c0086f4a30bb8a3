//! Reasons to refuse a request.

use std::{error::Error, fmt};

use http::StatusCode;

/// Fault of the peer in one request, and the status that answers it.
///
/// In HTTP/1.1 the place of the next request is not known for sure after any of these, so the connection
/// closes behind the answer (see [`encode::reject`](super::super::h1::encode::reject)). In HTTP/2 only the
/// stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reject {
    /// More than two empty lines before the request line.
    EmptyLines,
    /// The request line is longer than [`Limits::line_bytes`](super::super::h1::Limits::line_bytes), or the
    /// `:path` of HTTP/2 than its limit.
    LineTooLong,
    /// The head is longer than [`Limits::head_bytes`](super::super::h1::Limits::head_bytes), or the header
    /// list of HTTP/2 than its limit.
    HeadTooLong,
    /// There are more header fields, or trailer fields, than
    /// [`Limits::headers`](super::super::h1::Limits::headers) or the limit of HTTP/2.
    TooManyHeaders,
    /// A line feed without a carriage return before it.
    BareLf,
    /// A carriage return without a line feed behind it.
    BareCr,
    /// A NUL byte.
    Nul,
    /// The method is not a token. So are bytes that are no HTTP at all, such as a TLS ClientHello.
    Method,
    /// The request target has none of the four forms, or not the one that its method needs, or the scheme is
    /// not `http` or `https`.
    Target,
    /// The request target holds bytes beyond ASCII.
    TargetNonAscii,
    /// The request target holds a fragment.
    TargetFragment,
    /// The request line has a third word that is not an HTTP version.
    VersionInvalid,
    /// An HTTP version other than 1.0 and 1.1.
    VersionUnsupported,
    /// A field name is not a token.
    FieldName,
    /// White space between a field name and its colon.
    SpaceBeforeColon,
    /// A field line starts with white space: obsolete line folding, or space before the first field.
    Fold,
    /// A field value holds a control character.
    FieldValue,
    /// An HTTP/1.1 request without Host.
    HostMissing,
    /// More than one Host.
    HostRepeated,
    /// A host that is not `uri-host [ ":" port ]`, or in HTTP/2 an `:authority` and a Host that differ.
    HostInvalid,
    /// A Content-Length that is not a plain decimal number below 2^64.
    LengthInvalid,
    /// More than one Content-Length.
    LengthRepeated,
    /// Content-Length beside Transfer-Encoding.
    LengthWithCoding,
    /// Transfer-Encoding in an HTTP/1.0 request.
    CodingInOldVersion,
    /// A Transfer-Encoding whose one and final coding is not `chunked`.
    CodingInvalid,
    /// A transfer coding before `chunked`, which this server does not know.
    CodingUnknown,
    /// An expectation other than `100-continue`.
    Expectation,
    /// A chunk size that is empty or not hexadecimal.
    ChunkSize,
    /// A chunk size of more than 16 digits, or of 2^63 or more.
    ChunkSizeTooLong,
    /// A chunk extension that is not `name`, `name=token` or `name="quoted string"`.
    ChunkExtension,
    /// More chunk extensions than [`Limits::extension_bytes`](super::super::h1::Limits::extension_bytes).
    ExtensionsTooLong,
    /// Chunk data not followed by a line end.
    ChunkEnd,
    /// A trailer section longer than [`Limits::trailer_bytes`](super::super::h1::Limits::trailer_bytes).
    TrailersTooLong,
}

impl Reject {
    /// All causes, each at the index `cause as usize`, so that counters may be an array.
    pub const ALL: [Self; 33] = [
        Self::EmptyLines,
        Self::LineTooLong,
        Self::HeadTooLong,
        Self::TooManyHeaders,
        Self::BareLf,
        Self::BareCr,
        Self::Nul,
        Self::Method,
        Self::Target,
        Self::TargetNonAscii,
        Self::TargetFragment,
        Self::VersionInvalid,
        Self::VersionUnsupported,
        Self::FieldName,
        Self::SpaceBeforeColon,
        Self::Fold,
        Self::FieldValue,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
        Self::LengthInvalid,
        Self::LengthRepeated,
        Self::LengthWithCoding,
        Self::CodingInOldVersion,
        Self::CodingInvalid,
        Self::CodingUnknown,
        Self::Expectation,
        Self::ChunkSize,
        Self::ChunkSizeTooLong,
        Self::ChunkExtension,
        Self::ExtensionsTooLong,
        Self::ChunkEnd,
        Self::TrailersTooLong,
    ];

    /// Returns the status of the response.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::BAD_REQUEST)
    }

    /// Returns a short name for metrics: lower case and underscores, never anything a client sent.
    pub fn label(self) -> &'static str {
        self.row().1
    }

    /// Returns the cause in plain words, a sentence without its full stop.
    pub fn text(self) -> &'static str {
        self.row().2
    }

    #[rustfmt::skip]
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::EmptyLines => (400, "empty_lines", "there are too many empty lines before the request"),
            Self::LineTooLong => (414, "line_too_long", "the request line is too long"),
            Self::HeadTooLong => (431, "head_too_long", "the request head is too long"),
            Self::TooManyHeaders => (431, "too_many_headers", "there are too many header fields"),
            Self::BareLf => (400, "bare_lf", "a line feed has no carriage return before it"),
            Self::BareCr => (400, "bare_cr", "a carriage return has no line feed behind it"),
            Self::Nul => (400, "nul", "there is a NUL byte in a header field"),
            Self::Method => (400, "method", "the method is not a token"),
            Self::Target => (400, "target", "the request target is not valid"),
            Self::TargetNonAscii => (400, "target_non_ascii", "the request target holds bytes beyond ASCII"),
            Self::TargetFragment => (400, "target_fragment", "the request target holds a fragment"),
            Self::VersionInvalid => (400, "version_invalid", "the HTTP version is not valid"),
            Self::VersionUnsupported => (505, "version_unsupported", "only HTTP/1.1 and 1.0 are supported"),
            Self::FieldName => (400, "field_name", "a header field name is not valid"),
            Self::SpaceBeforeColon => (400, "space_before_colon", "a field has white space before its colon"),
            Self::Fold => (400, "fold", "a header line starts with white space"),
            Self::FieldValue => (400, "field_value", "a header field value holds a control character"),
            Self::HostMissing => (400, "host_missing", "the Host header field is missing"),
            Self::HostRepeated => (400, "host_repeated", "there is more than one Host header field"),
            Self::HostInvalid => (400, "host_invalid", "Host or :authority is not valid, or they differ"),
            Self::LengthInvalid => (400, "length_invalid", "the Content-Length is not a number below 2^64"),
            Self::LengthRepeated => (400, "length_repeated", "there is more than one Content-Length"),
            Self::LengthWithCoding => {
                (400, "length_with_coding", "the request has both Content-Length and Transfer-Encoding")
            }
            Self::CodingInOldVersion => (400, "coding_in_old_version", "HTTP/1.0 has no Transfer-Encoding"),
            Self::CodingInvalid => (400, "coding_invalid", "the last transfer coding is not chunked"),
            Self::CodingUnknown => (501, "coding_unknown", "the only supported transfer coding is chunked"),
            Self::Expectation => (417, "expectation", "the only supported expectation is 100-continue"),
            Self::ChunkSize => (400, "chunk_size", "a chunk size is not a hexadecimal number"),
            Self::ChunkSizeTooLong => (400, "chunk_size_too_long", "a chunk size is too large"),
            Self::ChunkExtension => (400, "chunk_extension", "a chunk extension is not valid"),
            Self::ExtensionsTooLong => (400, "extensions_too_long", "the chunk extensions are too long"),
            Self::ChunkEnd => (400, "chunk_end", "a chunk's data is not followed by a line end"),
            Self::TrailersTooLong => (431, "trailers_too_long", "the trailer section is too long"),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for Reject {}
