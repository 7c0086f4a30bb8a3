//! The period in which a certificate is valid (RFC 5280 §4.1.2.5).

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use super::{
    certificate,
    der::{SEQUENCE, element, expect},
};

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the start and the end of a certificate's validity, or `None` if it cannot be parsed. Times before
/// 1970 are not supported.
pub(super) fn of(certificate: &[u8]) -> Option<Range<SystemTime>> {
    let (validity, _) = expect(certificate::from_validity(certificate)?, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some(from..until)
}

/// Parses a time of the form `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5). Returns it and the
/// bytes behind it.
fn time(der: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (tag, text, rest) = element(der)?;
    let (year, text) = match tag {
        UTC_TIME => {
            let short = number(text.get(..2)?)?;
            (if short < 50 { 2000 + short } else { 1900 + short }, &text[2..])
        }
        GENERALIZED_TIME => (number(text.get(..4)?)?, &text[4..]),
        _ => return None,
    };
    let field = |index: usize| number(text.get(2 * index..2 * index + 2)?);
    let (month, day) = (field(0)?, field(1)?);
    let seconds = field(2)? * 3600 + field(3)? * 60 + field(4)?;
    if text.get(10..) != Some(b"Z") || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_epoch(year, month, day)?;
    Some((SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + seconds))?, rest))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
}

/// Returns the number of days from 1 January 1970 to a date of the Gregorian calendar.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    // The year is taken to begin in March, so that the leap day is its last day.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    /// Number of days from 1 March of year 0 to 1 January 1970.
    const EPOCH: u64 = 719_468;
    days.checked_sub(EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        let der = [&[tag, text.len() as u8], text.as_bytes()].concat();
        Some(time(&der)?.0.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn times_follow_the_calendar() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "000229120000Z"), Some(951_825_600));
        assert_eq!(seconds(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(seconds(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        for wrong in
            ["", "7001010000Z", "701301000000Z", "7001010000000", "70010100000xZ", "690101000000Z\u{7f}"]
        {
            assert_eq!(seconds(UTC_TIME, wrong), None, "{wrong}");
        }
        assert_eq!(seconds(GENERALIZED_TIME, "19691231235959Z"), None);
    }
}
