//! Conditional requests (RFC 9110 §13), as a pure function of the request's fields and the file's validators.

use http::Method;

use super::entry::Validators;

/// Result of the preconditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request is served.
    Proceed,
    /// The client has the current content: 304.
    NotModified,
    /// A precondition failed: 412.
    Failed,
}

/// Comparison of entity tags (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Equal, and neither tag is weak.
    Strong,
    /// Equal without regard to weakness.
    Weak,
}

/// The conditional fields and the `Range` of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions<'a> {
    if_match: Vec<&'a [u8]>,
    if_none_match: Vec<&'a [u8]>,
    if_modified_since: Once<'a>,
    if_unmodified_since: Once<'a>,
    if_range: Once<'a>,
    pub(super) range: Once<'a>,
}

/// Value of a field that may occur once. A repeated field is invalid, so it has none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Once<'a> {
    /// The field is missing.
    #[default]
    Missing,
    Value(&'a [u8]),
    Repeated,
}

impl<'a> Once<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = if matches!(self, Self::Missing) { Self::Value(value) } else { Self::Repeated };
    }

    /// Returns the value. Returns `None` if the field is missing or repeated.
    pub(super) fn value(self) -> Option<&'a [u8]> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }

    /// Returns the date, in seconds since 1970. Returns `None` if there is no valid one.
    fn date(self) -> Option<u64> {
        let text = std::str::from_utf8(self.value()?).ok()?;
        let date = httpdate::parse_http_date(text.trim_matches([' ', '\t'])).ok()?;
        date.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
    }
}

impl<'a> Conditions<'a> {
    /// Collects the conditional fields and the `Range` of a request.
    pub(super) fn of(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut conditions = Self::default();
        for (name, value) in fields {
            match name.len() {
                5 if name.eq_ignore_ascii_case(b"range") => conditions.range.add(value),
                8 if name.eq_ignore_ascii_case(b"if-match") => conditions.if_match.push(value),
                8 if name.eq_ignore_ascii_case(b"if-range") => conditions.if_range.add(value),
                13 if name.eq_ignore_ascii_case(b"if-none-match") => conditions.if_none_match.push(value),
                17 if name.eq_ignore_ascii_case(b"if-modified-since") => {
                    conditions.if_modified_since.add(value);
                }
                19 if name.eq_ignore_ascii_case(b"if-unmodified-since") => {
                    conditions.if_unmodified_since.add(value);
                }
                _ => {}
            }
        }
        conditions
    }

    /// Evaluates the preconditions in the order of RFC 9110 §13.2.2, for GET or HEAD.
    pub(super) fn evaluate(&self, validators: &Validators) -> Verdict {
        if !self.if_match.is_empty() {
            if !matches(&self.if_match, validators, Comparison::Strong) {
                return Verdict::Failed;
            }
        } else if let Some(date) = self.if_unmodified_since.date()
            && validators.modified_seconds > date
        {
            return Verdict::Failed;
        }
        if !self.if_none_match.is_empty() {
            if matches(&self.if_none_match, validators, Comparison::Weak) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = self.if_modified_since.date()
            && validators.modified_seconds <= date
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Returns the value of `Range` if it is to be applied: the method is GET and `If-Range`, if present,
    /// holds (RFC 9110 §13.1.5, §14.2).
    pub(super) fn range_to_apply(&self, method: &Method, validators: &Validators) -> Option<&'a [u8]> {
        let range = self.range.value()?;
        let holds = match self.if_range {
            Once::Missing => true,
            Once::Repeated => false,
            Once::Value(value) => holds_if_range(value, self.if_range, validators),
        };
        (*method == Method::GET && holds).then_some(range)
    }
}

/// Returns `true` if the value of `If-Range` is the current strong entity tag, or the exact date of the last
/// change if that is strong.
fn holds_if_range(value: &[u8], field: Once<'_>, validators: &Validators) -> bool {
    let value = value.trim_ascii();
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return validators.is_strong && value == validators.tag.as_bytes();
    }
    validators.is_strong && field.date() == Some(validators.modified_seconds)
}

/// Returns `true` if the lines of `If-Match` or `If-None-Match` are `*` or contain the entity tag.
fn matches(lines: &[&[u8]], validators: &Validators, comparison: Comparison) -> bool {
    if let [line] = lines
        && line.trim_ascii() == b"*"
    {
        return true;
    }
    let current = validators.tag.as_bytes();
    let opaque = current.strip_prefix(b"W/").unwrap_or(current);
    lines.iter().flat_map(|line| Tags(line)).any(|tag| match comparison {
        Comparison::Strong => validators.is_strong && tag == current,
        Comparison::Weak => tag.strip_prefix(b"W/").unwrap_or(tag) == opaque,
    })
}

/// The entity tags of one line. Ends at the first malformed one.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_separator = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
        let start = self.0.iter().position(|byte| !is_separator(byte))?;
        let rest = &self.0[start..];
        let prefix = if rest.starts_with(b"W/") { 2 } else { 0 };
        let opaque = rest[prefix..].strip_prefix(b"\"")?;
        let end = prefix + 2 + memchr::memchr(b'"', opaque)?;
        let after = &rest[end..];
        self.0 = if after.first().is_none_or(is_separator) { after } else { &[] };
        Some(&rest[..end])
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tags_are_read_up_to_the_first_malformed_one() {
        let read = |line: &'static str| -> Vec<String> {
            Tags(line.as_bytes()).map(|tag| String::from_utf8(tag.to_vec()).unwrap()).collect()
        };
        assert_eq!(read("\"a\", W/\"b\",\"c,d\" ,, \"\""), ["\"a\"", "W/\"b\"", "\"c,d\"", "\"\""]);
        assert_eq!(read("\"a\", b, \"c\""), ["\"a\""]);
        assert_eq!(read("\"a\"b, \"c\""), ["\"a\""]);
        assert!(read("a").is_empty() && read("\"a").is_empty() && read("w/\"a\"").is_empty());
        assert!(read("").is_empty() && read(" , ").is_empty() && read("W/").is_empty());
    }

    #[test]
    fn repeated_fields_of_one_value_are_ignored() {
        let date: &[u8] = b"Thu, 01 Jan 1970 00:01:40 GMT";
        let validators =
            Validators { tag: HeaderValue::from_static("\"x\""), is_strong: true, modified_seconds: 100 };
        let once = Conditions::of([(&b"If-Modified-Since"[..], date)].into_iter());
        assert_eq!(once.evaluate(&validators), Verdict::NotModified);
        let twice = [(&b"If-Modified-Since"[..], date), (&b"if-modified-since"[..], date)];
        assert_eq!(Conditions::of(twice.into_iter()).evaluate(&validators), Verdict::Proceed);
    }
}
