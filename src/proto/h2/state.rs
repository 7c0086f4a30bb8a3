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
        /// That stream.
        last_stream: u32,
    },
    /// Nothing is read or written any more.
    Closed,
}

/// Which sides of a stream have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    /// Neither.
    Open,
    /// The peer's.
    HalfClosedRemote,
    /// Ours.
    HalfClosedLocal,
}

/// Whether a stream has data to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// It has none, as far as is known.
    Idle,
    /// It has, and waits for its turn.
    Ready,
    /// It has, and waits for the peer to open its window.
    Blocked,
}

/// Which bytes come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Of the client's preface, behind so many of them.
    Preface(usize),
    /// Of a frame's header, or of a frame that is read as a whole.
    Frame,
    /// Of a DATA frame: the length of its padding.
    PadLength,
    /// Of a DATA frame: data.
    Data,
    /// So many that are thrown away.
    Skip(usize),
}
