//! Encodes header blocks with the static table and with literals without indexing (RFC 7541 §6.2).

use http::{HeaderName, HeaderValue, StatusCode};

use super::{huffman, integer};

/// A size update to zero (RFC 7541 §6.3): for a peer that lowered the size of our table.
pub const EMPTY_TABLE: u8 = 0x20;

/// Bits in front of a literal without indexing, and of one that must never be indexed (RFC 7541 §6.2).
const LITERAL: u8 = 0x00;
const NEVER_INDEXED: u8 = 0x10;

/// Representation of the strings of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// As they are: least work.
    Plain,
    /// By Huffman's code where that is shorter: for blocks that are encoded once and sent often.
    Shortest,
}

/// Appends `:status`.
#[inline]
pub fn status(out: &mut Vec<u8>, status: StatusCode) {
    match status.as_u16() {
        200 => out.push(0x88),
        204 => out.push(0x89),
        206 => out.push(0x8a),
        304 => out.push(0x8b),
        400 => out.push(0x8c),
        404 => out.push(0x8d),
        500 => out.push(0x8e),
        _ => literal(out, 8, status.as_str().as_bytes(), Strings::Plain),
    }
}

/// Appends a field; one whose value is sensitive is marked as never to be indexed.
pub fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue, strings: Strings) {
    let first = if value.is_sensitive() { NEVER_INDEXED } else { LITERAL };
    match name_index(name.as_str()) {
        Some(index) => integer::encode(out, first, 4, index),
        None => {
            out.push(first);
            string(out, name.as_str().as_bytes(), strings);
        }
    }
    string(out, value.as_bytes(), strings);
}

/// Appends a field whose name has this index in the static table.
#[inline]
pub fn literal(out: &mut Vec<u8>, name_index: usize, value: &[u8], strings: Strings) {
    integer::encode(out, LITERAL, 4, name_index);
    string(out, value, strings);
}

/// Appends a field with a name of any kind, in lower case.
pub fn literal_name(out: &mut Vec<u8>, name: &[u8], value: &[u8], strings: Strings) {
    out.push(LITERAL);
    string(out, name, strings);
    string(out, value, strings);
}

#[inline]
fn string(out: &mut Vec<u8>, text: &[u8], strings: Strings) {
    if strings == Strings::Shortest {
        let len = huffman::encoded_len(text);
        if len < text.len() {
            integer::encode(out, 0x80, 7, len);
            return huffman::encode(text, out);
        }
    }
    integer::encode(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// Indices of names in the static table that responses use.
pub mod index {
    /// `content-length`.
    pub const CONTENT_LENGTH: usize = 28;
    /// `content-type`.
    pub const CONTENT_TYPE: usize = 31;
    /// `date`.
    pub const DATE: usize = 33;
}

/// Returns the index of a name in the static table, if it is one of a field.
fn name_index(name: &str) -> Option<usize> {
    Some(match name {
        "content-type" => index::CONTENT_TYPE,
        "content-length" => index::CONTENT_LENGTH,
        "cache-control" => 24,
        "date" => index::DATE,
        "server" => 54,
        "vary" => 59,
        "etag" => 34,
        "set-cookie" => 55,
        "location" => 46,
        "link" => 45,
        "last-modified" => 44,
        "expires" => 36,
        "age" => 21,
        "allow" => 22,
        "via" => 60,
        "accept-ranges" => 18,
        "access-control-allow-origin" => 20,
        "content-disposition" => 25,
        "content-encoding" => 26,
        "content-language" => 27,
        "content-location" => 29,
        "content-range" => 30,
        "proxy-authenticate" => 48,
        "refresh" => 52,
        "retry-after" => 53,
        "strict-transport-security" => 56,
        "www-authenticate" => 61,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::static_table, *};

    #[test]
    fn indices_of_names_are_those_of_the_static_table() {
        let names = (1..=static_table::LEN).filter_map(static_table::get).map(|entry| entry.name);
        let mut known = 0;
        for name in names.clone() {
            if let Some(index) = name_index(name) {
                assert_eq!(Some(index), static_table::name_index(name), "{name}");
                known += 1;
            }
        }
        assert_eq!(known, 27);
    }
}
