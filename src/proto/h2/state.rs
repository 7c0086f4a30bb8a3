//! Every state of a connection and of a stream.
//!
//! ```text
//!  connection
//!
//!  Preface ──24 bytes──► FirstSettings ──SETTINGS──► Open ──leave──► Announced ──PING ACK──► Leaving
//!     │                        │                      │                  │                     │
//!     └────────────────────────┴───── a fault, quit ──┴──────────────────┴─────────────────────┤
//!                                                                              no stream left  ▼
//!                                                                                           Closed
//!
//!  stream (RFC 9113 §5.1; nothing is pushed, so there are no reserved ones)
//!
//!            HEADERS            END_STREAM received
//!  (idle) ───────────► Open ──────────────────────────► HalfClosedRemote
//!                       │                                      │
//!                       │ END_STREAM sent                      │ END_STREAM sent
//!                       ▼                                      ▼
//!                HalfClosedLocal ──END_STREAM received──► (closed)   ◄── RST_STREAM, from any state
//!
//!  sending of a stream's data
//!
//!            wants                     window used up
//!  Idle ───────────────► Ready ─────────────────────────────► Blocked
//!    ▲                   │   ▲                                   │
//!    └──────rests────────┘   └──────────window opened────────────┘
//! ```
//!
//! An idle stream has an identifier above all that the peer used, a closed one an identifier below that and
//! no entry; neither has a state.

/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The client's preface is not complete.
    Preface,
    /// The next frame must be the client's SETTINGS.
    FirstSettings,
    /// Streams may begin.
    Open,
    /// GOAWAY was sent for streams far in the future, with a PING whose answer shows that the peer has seen
    /// it.
    Announced,
    /// GOAWAY was sent with the last stream that is served.
    Leaving {
        /// Identifier of the last stream that is served.
        last_stream: u32,
    },
    /// Nothing is read or written.
    Closed,
}

/// Sides of a stream that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    /// No side has ended.
    Open,
    /// The peer's side has ended.
    HalfClosedRemote,
    /// This side has ended.
    HalfClosedLocal,
}

/// State of sending a stream's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// The stream has no data, as far as is known.
    Idle,
    /// The stream has data and is scheduled.
    Ready,
    /// The stream has data and waits for the peer to open the stream's window.
    Blocked,
}

/// Meaning of the bytes that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Rest of the client's preface, of which so many bytes have come.
    Preface(usize),
    /// Header of a frame, or a frame that is read as a whole.
    Frame,
    /// Length of the padding of a DATA frame.
    PadLength,
    /// Data of a DATA frame.
    Data,
    /// So many bytes that are dropped.
    Skip(usize),
}
