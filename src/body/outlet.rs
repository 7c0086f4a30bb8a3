//! Connects a stream to an outlet: direct delivery of its events while it is idle, instead of a poll for
//! them.

use windlass_actors::OutletEvent;

/// Answer of a source to an outlet that its events may come through. `T` is what the stream sends for an
/// event. Only sources of this crate connect an outlet.
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
