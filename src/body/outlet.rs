//! The answer of a source that is asked to connect to an outlet: direct delivery of its events while it is
//! idle, instead of a poll for them.

use windlass_actors::OutletEvent;

/// Result of [`Source::connect`](super::Source::connect). `T` is the type of what is sent for an event. Only
/// sources of this crate connect an outlet.
#[derive(Clone, Copy, Debug)]
pub enum OutletAnswer<T: 'static> {
    /// The source must always be polled.
    Never,
    /// The source must be polled now. It may connect an outlet later.
    Later,
    /// The source has connected the outlet. The function returns what to send for an event in it, or `None`
    /// for an event of another kind.
    Connected(fn(&OutletEvent) -> Option<&T>),
}
