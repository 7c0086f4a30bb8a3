//! Windlass.
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod proto;
