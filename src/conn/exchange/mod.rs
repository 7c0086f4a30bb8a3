//! Parts of a request and its reply that are the same under every HTTP version.
//!
//! It must not know the wire format of any version.

pub(super) mod answers;
pub(super) mod body_rate;
pub(super) mod params;
pub(super) mod route;
pub(super) mod telemetry;
