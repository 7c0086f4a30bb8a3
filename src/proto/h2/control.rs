//! Frames that carry neither fields nor data.

use super::{
    Connection, Context, ErrorCode, Event, Fault, Priority, ResetBy, StreamFault,
    frame::{self, FrameHeader, flag},
    meter::Kind,
    state::{ConnectionState, Sending},
};

/// Maximum number of streams that have not begun and whose priority is remembered.
const EARLY_PRIORITIES: usize = 16;

/// Reads a 32-bit number at the front of a payload; `None` if that is too short.
fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

impl Connection {
    pub(super) fn settings(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), Fault> {
        if header.stream != 0 {
            return Err(Fault::protocol("SETTINGS comes on a stream"));
        }
        self.meter.count(Kind::Settings, cx.limits, cx.now)?;
        if header.has(flag::ACK) {
            return self.settings_acknowledged(payload, cx);
        }
        if self.state == ConnectionState::FirstSettings {
            self.state = ConnectionState::Open;
        }
        let before = self.peer.initial_window;
        self.peer.apply(payload)?;
        self.shift_windows(i64::from(self.peer.initial_window) - i64::from(before))?;
        frame::write_settings_ack(cx.out);
        Ok(())
    }

    fn settings_acknowledged(&mut self, payload: &[u8], cx: &Context<'_>) -> Result<(), Fault> {
        if !payload.is_empty() {
            return Err(Fault::frame_size("an acknowledgement of SETTINGS has a payload"));
        }
        if self.state == ConnectionState::FirstSettings {
            return Err(Fault::protocol("the first frame is not SETTINGS"));
        }
        if !std::mem::replace(&mut self.is_acknowledged, true) {
            self.decoder.limit(cx.limits.header_table_bytes as usize);
        }
        Ok(())
    }

    /// Adds the change of INITIAL_WINDOW_SIZE to the send window of every stream (RFC 9113 §6.9.2).
    fn shift_windows(&mut self, difference: i64) -> Result<(), Fault> {
        if difference == 0 {
            return Ok(());
        }
        let keys: Vec<_> = self.streams.keys().collect();
        for key in keys {
            let window = &mut self.streams.at(key.slot).send_window;
            window.shift(difference).map_err(|_| {
                Fault::flow_control("INITIAL_WINDOW_SIZE makes the window of a stream larger than 2^31-1")
            })?;
            self.unblock(key);
        }
        Ok(())
    }

    pub(super) fn ping(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), Fault> {
        if header.stream != 0 {
            return Err(Fault::protocol("PING comes on a stream"));
        }
        let payload: &[u8; 8] =
            payload.try_into().map_err(|_| Fault::frame_size("the payload of PING is not 8 bytes long"))?;
        self.meter.count(Kind::Ping, cx.limits, cx.now)?;
        if header.has(flag::ACK) {
            self.ping_acknowledged(payload, cx.out);
        } else {
            frame::write_ping(cx.out, flag::ACK, payload);
        }
        Ok(())
    }

    /// Takes the peer's GOAWAY: without an error the connection ends with its last stream, with an error at
    /// once.
    pub(super) fn goaway(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Fault> {
        if header.stream != 0 {
            return Err(Fault::protocol("GOAWAY comes on a stream"));
        }
        let code = payload
            .get(4..)
            .and_then(number)
            .ok_or(Fault::frame_size("the payload of GOAWAY is too short"))?;
        if ErrorCode::from_u32(code) != ErrorCode::NoError {
            return Err(Fault::PEER);
        }
        self.peer_leaves = true;
        Ok(())
    }

    pub(super) fn rst_stream(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let id = header.stream;
        if payload.len() != 4 {
            return Err(Fault::frame_size("the payload of RST_STREAM is not 4 bytes long"));
        }
        if self.is_idle(id) {
            return Err(Fault::protocol("RST_STREAM comes on a stream that has not begun"));
        }
        self.meter.count(Kind::Reset, cx.limits, cx.now)?;
        self.note_reset_at_once(id, cx)?;
        let Some(stream) = self.streams.find(id) else { return Ok(None) };
        self.close(stream, cx.out);
        let code = ErrorCode::from_u32(number(payload).unwrap_or_default());
        Ok(Some(Event::Reset { stream, by: ResetBy::Peer(code) }))
    }

    /// Counts a request that is cancelled at the instant (`Context::now`) at which it arrived. More than
    /// `resets_at_once` of them are a fault.
    fn note_reset_at_once(&mut self, id: u32, cx: &Context<'_>) -> Result<(), Fault> {
        let (instant, first) = self.instant;
        if instant != cx.now || id < first {
            return Ok(());
        }
        self.resets_at_once += 1;
        if self.resets_at_once > cx.limits.resets_at_once {
            return Err(Fault::calm("too many requests are cancelled at the moment they arrive"));
        }
        Ok(())
    }

    pub(super) fn window_update(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let id = header.stream;
        let Some(increment) = number(payload).filter(|_| payload.len() == 4) else {
            return Err(Fault::frame_size("the payload of WINDOW_UPDATE is not 4 bytes long"));
        };
        self.meter.count(Kind::WindowUpdate, cx.limits, cx.now)?;
        let increment = increment & 0x7fff_ffff;
        if id == 0 {
            if increment == 0 {
                return Err(Fault::protocol("the increment of WINDOW_UPDATE is 0"));
            }
            let widened = self.send_window.widen(increment);
            return widened.map(|()| None).map_err(|_| {
                Fault::flow_control("WINDOW_UPDATE makes the connection's window larger than 2^31-1")
            });
        }
        if self.is_idle(id) {
            return Err(Fault::protocol("WINDOW_UPDATE comes on a stream that has not begun"));
        }
        let Some(key) = self.streams.find(id) else { return Ok(None) };
        if increment == 0 {
            return self.stream_fault(id, StreamFault::protocol("the increment of WINDOW_UPDATE is 0"), cx);
        }
        if self.streams.at(key.slot).send_window.widen(increment).is_err() {
            return self.stream_fault(
                id,
                StreamFault::flow_control("WINDOW_UPDATE makes a stream's window larger than 2^31-1"),
                cx,
            );
        }
        self.unblock(key);
        Ok(None)
    }

    /// Schedules a stream again that waited for its window, if the window has room.
    fn unblock(&mut self, key: super::Key) {
        let stream = self.streams.at(key.slot);
        if stream.sending == Sending::Blocked && stream.send_window.room() > 0 {
            stream.sending = Sending::Ready;
            self.schedule.add(&mut self.streams, key);
        }
    }

    /// Checks a PRIORITY frame of RFC 7540, which RFC 9113 §5.3.2 deprecates, and ignores it.
    pub(super) fn priority(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let id = header.stream;
        if id == 0 {
            return Err(Fault::protocol("PRIORITY comes on stream 0"));
        }
        self.meter.count(Kind::Other, cx.limits, cx.now)?;
        let fault = match number(payload) {
            _ if payload.len() != 5 => StreamFault::frame_size("the payload of PRIORITY is not 5 bytes long"),
            Some(dependency) if dependency & 0x7fff_ffff == id => {
                StreamFault::protocol("PRIORITY makes a stream depend on itself")
            }
            _ => return Ok(None),
        };
        if self.is_idle(id) {
            // There is no stream to reset.
            return Err(Fault { code: fault.code, ..Fault::protocol(fault.text) });
        }
        self.stream_fault(id, fault, cx)
    }

    /// Takes PRIORITY_UPDATE (RFC 9218 §7.1), for an open stream or for one that has not begun.
    pub(super) fn priority_update(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        if header.stream != 0 {
            return Err(Fault::protocol("PRIORITY_UPDATE comes on a stream"));
        }
        self.meter.count(Kind::Other, cx.limits, cx.now)?;
        let Some((id, value)) = payload.split_first_chunk() else {
            return Err(Fault::frame_size("the payload of PRIORITY_UPDATE is too short"));
        };
        let id = u32::from_be_bytes(*id) & 0x7fff_ffff;
        if id.is_multiple_of(2) {
            return Err(Fault::protocol("PRIORITY_UPDATE names a stream that no client may begin"));
        }
        let priority = Priority::parse(value);
        if let Some(key) = self.streams.find(id) {
            self.prioritize(key, priority);
        } else if id > self.last_stream {
            self.note_early_priority(id, priority);
        }
        Ok(())
    }

    fn note_early_priority(&mut self, id: u32, priority: Priority) {
        self.early_priorities.retain(|(known, _)| *known != id);
        if self.early_priorities.len() == EARLY_PRIORITIES {
            self.early_priorities.remove(0);
        }
        self.early_priorities.push((id, priority));
    }

    /// Removes and returns the priority that a stream was given before it began, if it was given one.
    pub(super) fn take_early_priority(&mut self, id: u32) -> Option<Priority> {
        if self.early_priorities.is_empty() {
            return None;
        }
        let early =
            self.early_priorities.iter().find(|(known, _)| *known == id).map(|(_, priority)| *priority);
        // Of a stream that was passed over nothing will come.
        self.early_priorities.retain(|(known, _)| *known > id);
        early
    }

    /// Changes a stream's priority.
    pub(super) fn prioritize(&mut self, key: super::Key, priority: Priority) {
        let is_ready = self.streams.at(key.slot).sending == Sending::Ready;
        if is_ready {
            self.schedule.remove(&mut self.streams, key);
        }
        self.streams.at(key.slot).priority = priority;
        if is_ready {
            self.schedule.add(&mut self.streams, key);
        }
    }

    /// Counts a frame of no known type, which is ignored.
    pub(super) fn unknown_frame(&mut self, cx: &Context<'_>) -> Result<(), Fault> {
        self.meter.count(Kind::Other, cx.limits, cx.now)
    }

    /// Returns how many bytes the connection's window allows to send.
    pub(super) fn connection_room(&self) -> usize {
        self.send_window.room()
    }
}
