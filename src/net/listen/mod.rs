//! Listening sockets: addresses, binding, and helpful errors; must not know engines or shards.

mod address;
mod bind;
mod port_owner;
#[cfg(test)]
mod tests;

pub use address::{Listen, ListenError};
pub(crate) use bind::inherit;
pub use bind::{BindError, Bound, ListenOptions, bind};
