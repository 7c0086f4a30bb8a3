//! One connection: its state, its start and its end.

use std::time::Instant;

use super::{
    ErrorCode, Event, Fault, Head, Key, Limits, Priority, ResetBy, StreamFault,
    block::Block,
    frame::{self, FrameHeader},
    hpack::Decoder,
    meter::{Kind, Meter},
    schedule::Schedule,
    settings::{self, PeerSettings},
    state::{ConnectionState, Reading, Sending, StreamState},
    streams::{Stream, Streams},
    window::{DEFAULT_WINDOW_BYTES, ReceiveWindow, SendWindow},
};

/// Number of streams reset by this side that are remembered, so that frames that the peer sent before it knew
/// are ignored.
const RESETS_REMEMBERED: usize = 128;

/// Payload of the PING behind the first GOAWAY.
const LEAVING_PING: [u8; 8] = *b"windlass";

/// The largest identifier of a stream.
const STREAM_MAX: u32 = (1 << 31) - 1;

/// Arguments that most calls need.
#[derive(Debug)]
pub struct Context<'a> {
    /// Bounds.
    pub limits: &'a Limits,
    /// The time of the call.
    pub now: Instant,
    /// Memory for decoded heads; its contents are valid until the next call.
    pub head: &'a mut Head,
    /// Outbox that frames are appended to.
    pub out: &'a mut Vec<u8>,
}

/// A connection, on the server's side.
///
/// Feed it with [`next`](Self::next), and send with the methods that append to an outbox. After each use of
/// it call `next` until it returns `None`.
#[derive(Debug)]
pub struct Connection {
    pub(super) state: ConnectionState,
    pub(super) reading: Reading,
    /// Start of a frame that has not come as a whole.
    pub(super) partial: Vec<u8>,
    /// Header of the DATA frame that is read; `len` is the data still to come.
    pub(super) data: FrameHeader,
    /// Bytes of padding behind the data of that frame.
    pub(super) padding: u8,
    /// Header block that has not come in one frame.
    pub(super) block: Option<Box<Block>>,
    pub(super) decoder: Decoder,
    pub(super) streams: Streams,
    pub(super) schedule: Schedule,
    pub(super) meter: Meter,
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    /// Bytes by which the receive windows of the streams may still grow.
    pub(super) growth_left: u32,
    pub(super) peer: PeerSettings,
    /// The peer has acknowledged this side's settings.
    pub(super) is_acknowledged: bool,
    /// The peer sent GOAWAY: once no stream is left the connection is over.
    pub(super) peer_leaves: bool,
    /// The highest identifier that the peer used.
    pub(super) last_stream: u32,
    /// Range of identifiers that the peer passed over last: the first one, and the one behind the last.
    pub(super) passed_over: (u32, u32),
    /// Streams that this side reset, oldest first.
    resets: Vec<u32>,
    /// Time of the last call in which a request arrived, and the identifier of the first request at that
    /// time.
    pub(super) instant: (Instant, u32),
    /// Number of requests that were cancelled at that same time.
    pub(super) resets_at_once: u32,
    /// Priorities of streams that have not begun (RFC 9218 §7.1).
    pub(super) early_priorities: Vec<(u32, Priority)>,
}

impl Connection {
    /// Begins a connection whose first bytes are the client's preface; appends this side's preface, the
    /// SETTINGS.
    pub fn new(limits: &Limits, now: Instant, out: &mut Vec<u8>) -> Self {
        settings::write(out, limits);
        Self {
            state: ConnectionState::Preface,
            reading: Reading::Preface(0),
            partial: Vec::new(),
            data: FrameHeader { len: 0, frame_type: frame::FrameType::Data, flags: 0, stream: 0 },
            padding: 0,
            block: None,
            decoder: Decoder::new(limits.header_table_bytes as usize),
            streams: Streams::default(),
            schedule: Schedule::default(),
            meter: Meter::new(limits, now),
            send_window: SendWindow::new(DEFAULT_WINDOW_BYTES),
            receive_window: ReceiveWindow::new(limits.connection_window_bytes.max(DEFAULT_WINDOW_BYTES)),
            growth_left: limits.connection_window_bytes / 2,
            peer: PeerSettings::default(),
            is_acknowledged: false,
            peer_leaves: false,
            last_stream: 0,
            passed_over: (0, 0),
            resets: Vec::new(),
            instant: (now, 0),
            resets_at_once: 0,
            early_priorities: Vec::new(),
        }
    }

    /// Begins a connection that an HTTP/1.1 request asked for by `Upgrade: h2c` (RFC 7540 §3.2), behind the
    /// `101`. Stream 1 carries that request's answer. `peer` are the [settings](super::upgrade) of that
    /// request.
    pub fn upgraded(limits: &Limits, now: Instant, peer: PeerSettings, out: &mut Vec<u8>) -> (Self, Key) {
        let mut connection = Self { peer, ..Self::new(limits, now, out) };
        connection.last_stream = 1;
        let stream = connection.open(1, StreamState::HalfClosedRemote, Priority::UNNAMED, None, limits);
        (connection, stream)
    }

    /// Adds a stream.
    pub(super) fn open(
        &mut self,
        id: u32,
        state: StreamState,
        priority: Priority,
        expected: Option<u64>,
        limits: &Limits,
    ) -> Key {
        let mut window = limits.stream_window_bytes;
        if !self.is_acknowledged {
            // The peer may not know a smaller one yet.
            window = window.max(DEFAULT_WINDOW_BYTES);
        }
        self.streams.insert(Stream {
            id,
            state,
            sending: Sending::Idle,
            priority,
            had_turn: false,
            send_window: SendWindow::new(self.peer.initial_window),
            receive_window: ReceiveWindow::new(window),
            held_alone: 0,
            grown: 0,
            expected,
            next: super::streams::NONE,
            previous: super::streams::NONE,
        })
    }

    /// Takes a peer's bytes up to the next event. Afterwards `input` has the bytes that are left. Returns
    /// `None` once all are taken and nothing is left to report. When the connection has ended, the rest of
    /// the input is dropped.
    #[inline]
    pub fn next<'i>(&mut self, input: &mut &'i [u8], cx: &mut Context<'_>) -> Option<Event<'i>> {
        if self.state == ConnectionState::Closed {
            *input = &[];
            return None;
        }
        match self.read(input, cx) {
            Ok(Some(event)) => Some(event),
            Ok(None) if self.has_ended() => {
                *input = &[];
                self.state = ConnectionState::Closed;
                Some(Event::Over(None))
            }
            Ok(None) => None,
            Err(fault) => {
                *input = &[];
                self.fail(fault, cx.out);
                Some(Event::Over(Some(fault)))
            }
        }
    }

    /// Returns `true` if one side has announced that it leaves, no stream is open and no header block is
    /// incomplete.
    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        let leaves = self.peer_leaves || matches!(self.state, ConnectionState::Leaving { .. });
        leaves && self.streams.len() == 0 && self.block.is_none()
    }

    fn fail(&mut self, fault: Fault, out: &mut Vec<u8>) {
        if fault != Fault::PEER {
            frame::write_goaway(out, self.last_stream, fault.code, fault.text);
        }
        self.state = ConnectionState::Closed;
    }

    /// Asks the peer to begin no further stream: GOAWAY in two steps (RFC 9113 §6.8). Streams that were on
    /// their way are served, and the connection is over with the last of them. Has no effect unless the
    /// connection is `Open`.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if matches!(self.state, ConnectionState::Open) {
            self.state = ConnectionState::Announced;
            frame::write_goaway(out, STREAM_MAX, ErrorCode::NoError, "");
            frame::write_ping(out, 0, &LEAVING_PING);
        }
    }

    /// Takes the second step of [`leave`](Self::leave) once the answer to its PING shows that the peer has
    /// seen the first.
    pub(super) fn ping_acknowledged(&mut self, payload: &[u8; 8], out: &mut Vec<u8>) {
        if self.state == ConnectionState::Announced && *payload == LEAVING_PING {
            self.state = ConnectionState::Leaving { last_stream: self.last_stream };
            frame::write_goaway(out, self.last_stream, ErrorCode::NoError, "");
        }
    }

    /// Ends the connection with GOAWAY; all its streams are over, without events. Has no effect on a closed
    /// one.
    pub fn quit(&mut self, code: ErrorCode, text: &str, out: &mut Vec<u8>) {
        if self.state != ConnectionState::Closed {
            frame::write_goaway(out, self.last_stream, code, text);
            self.state = ConnectionState::Closed;
        }
    }

    /// Returns the state of the connection.
    pub fn state(&self) -> ConnectionState {
        self.state
    }

    /// Returns `true` while the client's preface and first settings have not come.
    pub fn is_greeting(&self) -> bool {
        matches!(self.state, ConnectionState::Preface | ConnectionState::FirstSettings)
    }

    /// Returns `true` while a frame or a header block is incomplete. The caller then applies the header
    /// timeout.
    ///
    /// Payloads of DATA frames and of unknown types do not count: they are not kept.
    pub fn is_mid_frame(&self) -> bool {
        self.block.is_some() || !self.partial.is_empty()
    }

    /// Returns the key of the stream with this identifier; `None` if it is not open.
    pub fn key(&self, id: u32) -> Option<Key> {
        self.streams.find(id)
    }

    /// Returns how many streams are open or half closed.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Returns the bytes of memory that are held for the peer beside the connection itself.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
            + self.block.as_ref().map_or(0, |block| block.held_bytes())
            + self.decoder.held_bytes()
            + self.streams.held_bytes()
            + self.resets.capacity() * size_of::<u32>()
            + self.early_priorities.capacity() * size_of::<(u32, Priority)>()
    }

    /// Notes that so many bytes were written for the peer, which may answer them with more PINGs and
    /// WINDOW_UPDATEs.
    pub fn sent(&mut self, bytes: usize, limits: &Limits) {
        self.meter.sent(bytes, limits);
    }

    /// Resets a stream for a fault of the peer, and returns the event if the stream was open. Too many such
    /// faults are a fault of the connection.
    pub(super) fn stream_fault(
        &mut self,
        id: u32,
        fault: StreamFault,
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        self.meter.count(Kind::StreamFault, cx.limits, cx.now)?;
        frame::write_reset(cx.out, id, fault.code);
        self.remember_reset(id);
        let Some(stream) = self.streams.find(id) else { return Ok(None) };
        self.close(stream, cx.out);
        Ok(Some(Event::Reset { stream, by: ResetBy::Fault(fault) }))
    }

    /// Removes a stream, if it is open, and releases what the stream held of the connection's window.
    pub(super) fn close(&mut self, key: Key, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get(key) else { return };
        let held = stream.receive_window.held() - stream.held_alone;
        self.growth_left += stream.grown;
        let sending = stream.sending;
        if sending == Sending::Ready {
            self.schedule.remove(&mut self.streams, key);
        }
        self.streams.remove(key);
        self.release_connection(held, out);
    }

    /// Returns how many bytes of request bodies the connection's window still allows.
    pub fn receive_room(&self) -> usize {
        self.receive_window.left() as usize
    }

    pub(super) fn release_connection(&mut self, bytes: u32, out: &mut Vec<u8>) {
        if let Some(increment) = self.receive_window.release_shared(bytes) {
            frame::write_window_update(out, 0, increment);
        }
    }

    pub(super) fn remember_reset(&mut self, id: u32) {
        if self.resets.len() == RESETS_REMEMBERED {
            self.resets.remove(0);
        }
        self.resets.push(id);
    }

    /// Returns `true` if this side reset the stream and still remembers that.
    pub(super) fn was_reset(&self, id: u32) -> bool {
        self.resets.contains(&id)
    }

    /// Returns `true` for identifiers of streams that have not begun, and for those that no client may begin.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id > self.last_stream || id.is_multiple_of(2)
    }
}
