//! Windlass.
pub mod doctor;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod proto;
#[cfg(test)]
mod testing;
