//! Listening sockets: addresses, binding, and errors that say what to do. Knows no engine and accepts
//! nothing.

mod address;
mod bind;
mod port_owner;
#[cfg(test)]
mod tests;

pub use address::{Listen, ListenError};
pub(crate) use bind::inherit;
pub use bind::{BindError, Bound, ListenOptions, bind};
