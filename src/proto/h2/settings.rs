//! Settings (RFC 9113 §6.5): writes those of this side, and applies a peer's.

use super::{
    Fault, Limits,
    frame::{self, FrameType, PAYLOAD_BYTES_MAX},
    hpack::DEFAULT_TABLE_BYTES,
    window::{DEFAULT_WINDOW_BYTES, WINDOW_BYTES_MAX},
};

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
/// Setting of RFC 8441 §3.
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
/// Setting of RFC 9218 §2.1.
const NO_RFC7540_PRIORITIES: u16 = 0x9;

/// Bytes of one setting.
const SETTING_BYTES: usize = 6;

/// Largest value of SETTINGS_MAX_FRAME_SIZE.
const FRAME_SIZE_MAX: u32 = (1 << 24) - 1;

/// Settings of the peer, as far as they bind this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Send window that a stream starts with, in bytes.
    pub initial_window: u32,
    /// Longest payload of a frame that the peer accepts.
    pub frame_bytes: usize,
    /// The next header block must begin with a size update, as the peer allows a smaller table than it knows
    /// of.
    pub owes_table_update: bool,
    /// Maximum size of the encoder's dynamic table that the peer knows of. The encoder adds no entries to it.
    table_bytes: usize,
    /// The peer ignores the priorities of RFC 7540 if `true`; `None` before its first SETTINGS.
    ignores_old_priorities: Option<bool>,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            initial_window: DEFAULT_WINDOW_BYTES,
            frame_bytes: PAYLOAD_BYTES_MAX,
            owes_table_update: false,
            table_bytes: DEFAULT_TABLE_BYTES,
            ignores_old_priorities: None,
        }
    }
}

impl PeerSettings {
    /// Applies the settings in the payload of a SETTINGS frame, in order.
    ///
    /// # Errors
    ///
    /// A setting has a value that is not allowed, or the length is not a multiple of 6. Earlier settings of
    /// the frame stay applied.
    pub fn apply(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let (settings, rest) = payload.as_chunks::<SETTING_BYTES>();
        if !rest.is_empty() {
            return Err(Fault::frame_size("the length of SETTINGS is not a multiple of 6"));
        }
        let is_first = self.ignores_old_priorities.is_none();
        for [i0, i1, v0, v1, v2, v3] in settings {
            self.set(u16::from_be_bytes([*i0, *i1]), u32::from_be_bytes([*v0, *v1, *v2, *v3]), is_first)?;
        }
        self.ignores_old_priorities.get_or_insert(false);
        Ok(())
    }

    fn set(&mut self, identifier: u16, value: u32, is_first: bool) -> Result<(), Fault> {
        match identifier {
            HEADER_TABLE_SIZE => self.limit_table(value as usize),
            ENABLE_PUSH if value > 1 => return Err(Fault::protocol("ENABLE_PUSH is neither 0 nor 1")),
            INITIAL_WINDOW_SIZE if value > WINDOW_BYTES_MAX => {
                return Err(Fault::flow_control("INITIAL_WINDOW_SIZE is larger than 2^31-1"));
            }
            INITIAL_WINDOW_SIZE => self.initial_window = value,
            MAX_FRAME_SIZE if !(PAYLOAD_BYTES_MAX as u32..=FRAME_SIZE_MAX).contains(&value) => {
                return Err(Fault::protocol("MAX_FRAME_SIZE is not from 2^14 to 2^24-1"));
            }
            MAX_FRAME_SIZE => self.frame_bytes = value as usize,
            ENABLE_CONNECT_PROTOCOL if value > 1 => {
                return Err(Fault::protocol("ENABLE_CONNECT_PROTOCOL is neither 0 nor 1"));
            }
            NO_RFC7540_PRIORITIES => {
                let told = self.ignores_old_priorities.unwrap_or(false);
                if value > 1 || !is_first && told != (value == 1) {
                    return Err(Fault::protocol("NO_RFC7540_PRIORITIES is neither 0 nor 1, or has changed"));
                }
                self.ignores_old_priorities = Some(value == 1);
            }
            // What limits our header lists and pushes has nothing to limit; others are to be ignored.
            _ => {}
        }
        Ok(())
    }

    /// Applies SETTINGS_HEADER_TABLE_SIZE. The encoder uses no table, so a smaller limit makes it announce an
    /// empty one, once and for all.
    fn limit_table(&mut self, bytes: usize) {
        if bytes < self.table_bytes {
            self.owes_table_update = true;
            self.table_bytes = 0;
        }
    }
}

/// Appends this side's SETTINGS, and the WINDOW_UPDATE that widens the connection's window.
pub(super) fn write(out: &mut Vec<u8>, limits: &Limits) {
    let settings = [
        (HEADER_TABLE_SIZE, limits.header_table_bytes, DEFAULT_TABLE_BYTES as u32),
        (MAX_CONCURRENT_STREAMS, limits.streams, u32::MAX),
        (INITIAL_WINDOW_SIZE, limits.stream_window_bytes, DEFAULT_WINDOW_BYTES),
        (MAX_HEADER_LIST_SIZE, limits.header_list_bytes as u32, u32::MAX),
        (ENABLE_CONNECT_PROTOCOL, u32::from(limits.connect_protocol), 0),
        (NO_RFC7540_PRIORITIES, 1, 0),
    ];
    let needed = settings.iter().filter(|(_, value, default)| value != default);
    frame::write_header(out, needed.clone().count() * SETTING_BYTES, FrameType::Settings, 0, 0);
    for (identifier, value, _) in needed {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    if let Some(increment @ 1..) = limits.connection_window_bytes.checked_sub(DEFAULT_WINDOW_BYTES) {
        frame::write_window_update(out, 0, increment);
    }
}
