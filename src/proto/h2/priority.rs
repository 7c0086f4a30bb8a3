//! Priorities of responses (RFC 9218).

/// Priority of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 is sent first, 7 last.
    pub urgency: u8,
    /// The response is of use in parts, so it is sent in alternation with others of its urgency.
    pub is_incremental: bool,
}

impl Priority {
    /// Priority of a request that names none: sent in alternation with others of the middle urgency.
    pub const UNNAMED: Self = Self { urgency: 3, is_incremental: true };

    /// Defaults of the parameters of a priority that is named (RFC 9218 §4).
    const NAMED: Self = Self { urgency: 3, is_incremental: false };

    /// Number of urgencies.
    pub const URGENCIES: usize = 8;

    /// Reads the value of a `priority` field, or of PRIORITY_UPDATE: a dictionary of structured fields (RFC
    /// 9651).
    ///
    /// Members that are not known, or have no value that they may have, are ignored.
    pub fn parse(value: &[u8]) -> Self {
        value.split(|&byte| byte == b',').fold(Self::NAMED, Self::with_member)
    }

    fn with_member(self, member: &[u8]) -> Self {
        // Behind a `;` stand parameters, which mean nothing here.
        let member = member.split(|&byte| byte == b';').next().unwrap_or_default();
        match member.trim_ascii() {
            [b'u', b'=', digit @ b'0'..=b'7'] => Self { urgency: digit - b'0', ..self },
            b"i" | b"i=?1" => Self { is_incremental: true, ..self },
            b"i=?0" => Self { is_incremental: false, ..self },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_dictionaries() {
        let cases = [
            ("", 3, false),
            ("u=0", 0, false),
            ("i", 3, true),
            ("u=5, i", 5, true),
            ("i=?1,u=7", 7, true),
            ("u=1, i=?0", 1, false),
            ("u=2;x=1, i;y", 2, true),
            ("u=1, u=4", 4, false),
            ("u=8", 3, false),
            ("u=-1, i=1", 3, false),
            ("nonsense, =, u", 3, false),
        ];
        for (value, urgency, is_incremental) in cases {
            assert_eq!(Priority::parse(value.as_bytes()), Priority { urgency, is_incremental }, "{value}");
        }
    }
}
