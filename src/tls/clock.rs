//! The system clock as TLS reads it. rustls panics if that clock is before 1970.

use std::{
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{
    crypto::aws_lc_rs::Ticketer, pki_types::UnixTime, server::ProducesTickets, time_provider::TimeProvider,
};

/// A clock that shows 1970 while the system's clock is before it.
#[derive(Debug)]
pub(super) struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(SystemTime::now()))
    }
}

/// Returns the time for rustls: 1970 for a time before it.
fn unix_time(now: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Session tickets. There are none while the system's clock is before 1970.
#[derive(Debug, Default)]
pub(super) struct Tickets(OnceLock<Option<Arc<dyn ProducesTickets>>>);

impl Tickets {
    /// Makes the key of the tickets. While the system's clock is before 1970 it leaves that to the first use
    /// after.
    ///
    /// # Errors
    ///
    /// The system has no random number.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let tickets = Self::default();
        if is_valid(SystemTime::now()) {
            let _ = tickets.0.set(Some(Ticketer::new()?));
        }
        Ok(tickets)
    }

    /// Returns the producer of the tickets, or `None` if `now` is before 1970 or no key could be made.
    fn at(&self, now: SystemTime) -> Option<&Arc<dyn ProducesTickets>> {
        if !is_valid(now) {
            return None;
        }
        self.0.get_or_init(|| Ticketer::new().ok()).as_ref()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.at(SystemTime::now()).is_some_and(|tickets| tickets.enabled())
    }

    fn lifetime(&self) -> u32 {
        self.at(SystemTime::now()).map_or(0, |tickets| tickets.lifetime())
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.at(SystemTime::now())?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.at(SystemTime::now())?.decrypt(cipher)
    }
}

fn is_valid(now: SystemTime) -> bool {
    now >= UNIX_EPOCH
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_shows_1970() {
        assert_eq!(unix_time(UNIX_EPOCH - Duration::from_secs(1)).as_secs(), 0);
        assert_eq!(unix_time(UNIX_EPOCH + Duration::from_secs(7)).as_secs(), 7);
    }

    #[test]
    fn there_are_no_tickets_while_the_clock_is_before_1970() {
        let tickets = Tickets::default();
        assert!(tickets.at(UNIX_EPOCH - Duration::from_secs(1)).is_none());
        assert!(tickets.at(UNIX_EPOCH).is_some(), "the key is made once the clock is right");
    }
}
