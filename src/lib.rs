//! Windlass.
pub mod doctor;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod proto;
#[cfg(all(test, feature = "io-uring"))]
mod testing;
