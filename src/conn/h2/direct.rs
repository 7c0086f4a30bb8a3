//! Direct delivery: writes the events in the outlets of streams without waiting for the core's schedule.
//!
//! A stream whose outlet is open has nothing else to send, so its event is written at once if windows and
//! outbox have room, and no other stream is scheduled. Any other event is sent when its stream is scheduled.

use super::{H2, sending::write_data, stream::Stage};
use crate::{
    conn::{env::Env, io::Io},
    proto::h2::{End, Key},
};

impl H2 {
    /// Writes the events in the outlets that were filled. Returns `false` if some of them wait until their
    /// streams are scheduled.
    pub(super) fn send_events(&mut self, env: &mut Env, io: &mut Io) -> bool {
        // The memory of the list stays with the connection.
        let mut filled = std::mem::take(&mut self.filled);
        let mut is_all_sent = true;
        for id in filled.drain(..) {
            if let Some(key) = self.core.key(id) {
                is_all_sent &= self.send_event(env, io, key);
            }
        }
        self.filled = filled;
        is_all_sent
    }

    /// Writes the event in the outlet of a stream. Returns `false` if it waits until the stream is scheduled.
    fn send_event(&mut self, env: &Env, io: &mut Io, key: Key) -> bool {
        let room = self.core.direct_room(key).min(self.room_at_once(io));
        let Some(stream) = self.streams.get_mut(key) else { return true };
        match &mut stream.stage {
            Stage::Streaming(_, streaming) => {
                let Some(data) = streaming.take_at_once(env, room) else {
                    self.core.want(key);
                    return false;
                };
                if data.len() == room {
                    streaming.shut_outlet();
                }
                if !data.is_empty() {
                    write_data(&mut self.core, io, key, data, End::Open);
                }
                true
            }
            #[cfg(feature = "ws")]
            Stage::Socket(_, tunnel) => {
                let unsent = tunnel.deliver(env);
                if unsent >= room {
                    tunnel.endpoint.shut_outlet();
                }
                if unsent > room {
                    tunnel.wait.for_window(env.now, tunnel.written);
                    self.core.want(key);
                    return false;
                }
                while tunnel.has_unsent() {
                    write_data(&mut self.core, io, key, tunnel.take(room), End::Open);
                }
                true
            }
            _ => true,
        }
    }
}
