//! Facts about a header section that the verdict on it needs.

use super::field::{Scheme, Value};
use crate::proto::semantics::{Reject, Span};

/// Facts of a header section, collected while its lines are decoded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Size of the header list so far, by RFC 9113 §6.5.2.
    pub(super) list_bytes: usize,
    pub(super) has_method: bool,
    pub(super) scheme: Option<Scheme>,
    /// `:path`, and the verdict on it.
    pub(super) target: Option<(Span, Value)>,
    /// The verdict on `:authority`.
    pub(super) authority: Option<Value>,
    /// The `host` field, and the verdict on it.
    pub(super) host: Option<(Span, Value)>,
    /// A field was received that is no pseudo-header field.
    pub(super) regular: bool,
    pub(super) cookies: u32,
    pub(super) malformed: Option<&'static str>,
    pub(super) reject: Option<Reject>,
}
