//! Choice of a compressed file by `Accept-Encoding` (RFC 9110 §12.5.3), as a pure function.

/// A content coding of compressed files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// All codings, in the order in which they are preferred if the client has no preference.
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Returns the name of the coding in fields.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Returns the end of the names of files in this coding.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn is_named(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name().as_bytes())
            || self == Self::Gzip && name.eq_ignore_ascii_case(b"x-gzip")
    }
}

/// The coding in which a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Without a coding.
    Identity,
    /// In this coding.
    Coded(Coding),
    /// The client accepts none of them: 406.
    NotAcceptable,
}

/// Chooses the coding of a response. `lines` are the lines of `Accept-Encoding`, and `available` the codings
/// in which there is a file, in the order of preference.
///
/// The coding with the highest weight wins. The file without a coding wins only if the client gives it the
/// highest weight by name, or accepts nothing else.
pub(super) fn choose<'a>(lines: impl Iterator<Item = &'a [u8]>, available: &[Coding]) -> Choice {
    let mut weights = Weights::default();
    for element in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
        weights.add(element.trim_ascii());
    }
    if weights.is_absent {
        return Choice::Identity;
    }
    let mut best = None;
    for coding in available {
        let weight = weights.of(*coding).unwrap_or(0);
        if weight > best.map_or(0, |(_, best)| best) {
            best = Some((*coding, weight));
        }
    }
    match (best, weights.identity) {
        (Some((_, weight)), Some(identity)) if identity > weight => Choice::Identity,
        (Some((coding, _)), _) => Choice::Coded(coding),
        (None, Some(0)) => Choice::NotAcceptable,
        (None, None) if weights.any == Some(0) => Choice::NotAcceptable,
        (None, _) => Choice::Identity,
    }
}

/// Weights of the codings in thousandths. `None`: not listed.
struct Weights {
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    any: Option<u16>,
    /// The field is missing.
    is_absent: bool,
}

impl Default for Weights {
    fn default() -> Self {
        Self { codings: [None; Coding::ALL.len()], identity: None, any: None, is_absent: true }
    }
}

impl Weights {
    /// Adds one element of the list. An element with an invalid weight is ignored.
    fn add(&mut self, element: &[u8]) {
        self.is_absent = false;
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let Some(weight) = parts.next().map_or(Some(1000), weight) else { return };
        if name == b"*" {
            self.any = Some(weight);
        } else if name.eq_ignore_ascii_case(b"identity") {
            self.identity = Some(weight);
        } else if let Some(index) = Coding::ALL.iter().position(|coding| coding.is_named(name)) {
            self.codings[index] = Some(weight);
        }
    }

    /// Returns the weight of a coding.
    fn of(&self, coding: Coding) -> Option<u16> {
        let index = Coding::ALL.iter().position(|other| *other == coding)?;
        self.codings[index].or(self.any)
    }
}

/// Returns the weight of a parameter such as `q=0.5` (RFC 9110 §12.4.2). Returns `None` if it is invalid.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, fraction) = match value {
        [whole, b'.', fraction @ ..] => (*whole, fraction),
        [whole] => (*whole, &[][..]),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, thousandths) {
        (b'0', thousandths) => Some(thousandths),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Choice::{Coded, Identity, NotAcceptable},
        Coding::{Brotli, Gzip, Zstd},
        *,
    };

    #[test]
    fn the_highest_weight_wins_and_ties_are_broken_by_the_server() {
        for (line, all, only_gzip) in [
            ("", Identity, Identity),
            ("gzip", Coded(Gzip), Coded(Gzip)),
            ("gzip, deflate, br, zstd", Coded(Brotli), Coded(Gzip)),
            ("gzip;q=1, br;q=0.5", Coded(Gzip), Coded(Gzip)),
            ("gzip;q=0.1, zstd;q=0.2", Coded(Zstd), Coded(Gzip)),
            ("compress, gzip", Coded(Gzip), Coded(Gzip)),
            ("compress;q=0.5, gzip;q=1.0", Coded(Gzip), Coded(Gzip)),
            ("gzip;q=1.0, identity; q=0.5, *;q=0", Coded(Gzip), Coded(Gzip)),
            ("*", Coded(Brotli), Coded(Gzip)),
            ("*;q=0.5, br;q=0", Coded(Zstd), Coded(Gzip)),
            ("X-GZIP", Coded(Gzip), Coded(Gzip)),
            ("gzip;q=0", Identity, Identity),
            ("identity", Identity, Identity),
            ("identity;q=1, gzip;q=0.5", Identity, Identity),
            ("identity;q=0.5, gzip;q=0.5", Coded(Gzip), Coded(Gzip)),
            ("br, identity;q=0", Coded(Brotli), NotAcceptable),
            ("*;q=0", NotAcceptable, NotAcceptable),
            ("identity;q=0", NotAcceptable, NotAcceptable),
            ("*;q=0, identity;q=0.1", Identity, Identity),
            ("gzip;q=2", Identity, Identity),
            ("gzip;q=0.1234", Identity, Identity),
            ("gzip;level=1", Identity, Identity),
            ("gzip;q=1.001", Identity, Identity),
            ("gzip;q=1.", Coded(Gzip), Coded(Gzip)),
        ] {
            assert_eq!(choose([line.as_bytes()].into_iter(), &Coding::ALL), all, "{line}");
            assert_eq!(choose([line.as_bytes()].into_iter(), &[Gzip]), only_gzip, "{line}");
        }
        assert_eq!(choose([].into_iter(), &Coding::ALL), Identity, "without the field");
        let lines = [&b"br;q=0.1"[..], b"gzip"];
        assert_eq!(choose(lines.into_iter(), &Coding::ALL), Coded(Gzip), "two lines");
    }
}
