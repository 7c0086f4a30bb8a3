//! The static table (RFC 7541, appendix A).

use crate::proto::{
    h2::field::{Name, Scheme, Value},
    semantics::{Method, Reject},
};

/// An entry of the static table.
#[derive(Clone, Copy, Debug)]
pub(super) struct StaticEntry {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    pub(super) kind: Name,
    pub(super) verdict: Value,
}

/// Number of entries of the static table. The indices of the dynamic table follow.
pub(super) const LEN: usize = TABLE.len();

/// Returns the entry of an index; indices start at 1. `None` if it is 0 or too large.
pub(super) fn get(index: usize) -> Option<&'static StaticEntry> {
    TABLE.get(index.wrapping_sub(1))
}

/// Returns the first index of a name.
#[cfg(test)]
pub(super) fn name_index(name: &str) -> Option<usize> {
    TABLE.iter().position(|entry| entry.name == name).map(|place| place + 1)
}

const fn entry(name: &'static str, value: &'static str) -> StaticEntry {
    judged(name, value, Value::Valid)
}

const fn judged(name: &'static str, value: &'static str, verdict: Value) -> StaticEntry {
    StaticEntry { name, value, kind: Name::of_valid(name.as_bytes()), verdict }
}

static TABLE: [StaticEntry; 61] = [
    judged(":authority", "", Value::Refused(Reject::HostInvalid)),
    judged(":method", "GET", Value::Method(Method::Get)),
    judged(":method", "POST", Value::Method(Method::Post)),
    judged(":path", "/", Value::Origin { path_len: 1 }),
    judged(":path", "/index.html", Value::Origin { path_len: 11 }),
    judged(":scheme", "http", Value::Scheme(Scheme::Http)),
    judged(":scheme", "https", Value::Scheme(Scheme::Https)),
    entry(":status", "200"),
    entry(":status", "204"),
    entry(":status", "206"),
    entry(":status", "304"),
    entry(":status", "400"),
    entry(":status", "404"),
    entry(":status", "500"),
    entry("accept-charset", ""),
    entry("accept-encoding", "gzip, deflate"),
    entry("accept-language", ""),
    entry("accept-ranges", ""),
    entry("accept", ""),
    entry("access-control-allow-origin", ""),
    entry("age", ""),
    entry("allow", ""),
    entry("authorization", ""),
    entry("cache-control", ""),
    entry("content-disposition", ""),
    entry("content-encoding", ""),
    entry("content-language", ""),
    entry("content-length", ""),
    entry("content-location", ""),
    entry("content-range", ""),
    entry("content-type", ""),
    entry("cookie", ""),
    entry("date", ""),
    entry("etag", ""),
    entry("expect", ""),
    entry("expires", ""),
    entry("from", ""),
    judged("host", "", Value::Refused(Reject::HostInvalid)),
    entry("if-match", ""),
    entry("if-modified-since", ""),
    entry("if-none-match", ""),
    entry("if-range", ""),
    entry("if-unmodified-since", ""),
    entry("last-modified", ""),
    entry("link", ""),
    entry("location", ""),
    entry("max-forwards", ""),
    entry("proxy-authenticate", ""),
    entry("proxy-authorization", ""),
    entry("range", ""),
    entry("referer", ""),
    entry("refresh", ""),
    entry("retry-after", ""),
    entry("server", ""),
    entry("set-cookie", ""),
    entry("strict-transport-security", ""),
    entry("transfer-encoding", ""),
    entry("user-agent", ""),
    entry("vary", ""),
    entry("via", ""),
    entry("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_judged_as_any_other_field() {
        for entry in &TABLE {
            assert_eq!(entry.kind, Name::of(entry.name.as_bytes()), "{}", entry.name);
            assert_eq!(
                entry.verdict,
                Value::of(entry.kind, entry.value.as_bytes()),
                "{}: {}",
                entry.name,
                entry.value
            );
        }
    }
}
