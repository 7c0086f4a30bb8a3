//! The atomics the doorbell is made of. The model test swaps them for loom's.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
