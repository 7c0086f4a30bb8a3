//! Path parameters: copied from the matched route into the request's head.

use matchit::Params;

use crate::request::{Head, Span};

/// Stores the parameters that the router found in `path`, the path of this head. Returns `false` if a value
/// is not valid text.
pub(in crate::conn) fn store(head: &mut Head, path: &[u8], params: Option<Params<'_, '_>>) -> bool {
    for (name, value) in params.iter().flat_map(Params::iter) {
        if !is_text(value) {
            return false;
        }
        let value = Span::within(path, value.as_bytes()).offset_by(head.path);
        let name = head.append(name.as_bytes());
        head.params.push((name, value));
    }
    true
}

/// Returns `true` if a parameter, percent-decoded, is UTF-8 without NUL.
fn is_text(value: &str) -> bool {
    if !value.contains('%') {
        return true;
    }
    percent_encoding::percent_decode_str(value).decode_utf8().is_ok_and(|text| !text.contains('\0'))
}
