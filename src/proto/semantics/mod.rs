//! HTTP semantics (RFC 9110): the rules that hold for a message whichever protocol carries it.
//!
//! Targets, authorities, methods, field values and lengths are judged here, by the same code for HTTP/1.1 and
//! HTTP/2. Nothing here knows how a message is framed.

mod authority;
mod fields;
mod method;
mod reject;
mod response;
mod scan;
mod target;
mod tokens;
mod trailers;
mod value;

pub use authority::is_authority;
pub(in crate::proto) use authority::{is_host, is_same_authority};
pub use fields::{Field, Fields, Span};
pub use method::Method;
pub use reject::Reject;
pub(in crate::proto) use response::{Content, Digits, MessageFields, content};
pub use response::{Date, Length};
pub(in crate::proto) use scan::is_name;
pub use target::{Form, origin_form};
pub(in crate::proto) use target::{Target, parse as parse_target};
pub(in crate::proto) use tokens::{is_token, is_token_byte, list, trim};
pub use trailers::is_forbidden_trailer;
pub(in crate::proto) use value::{Expectation, content_length, expectation, is_field_value};
