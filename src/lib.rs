//! Windlass.
pub mod doctor;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod proto;
#[cfg(feature = "io-uring")]
#[cfg(test)]
mod testing;
