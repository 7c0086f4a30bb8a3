//! Path parameters: from what the route table matched into the request's head. The same for every protocol.

use matchit::Params;

use crate::request::{Head, Span};

/// Notes the parameters found in `path`, which is the head's path. False when one is no text.
pub(super) fn note(head: &mut Head, path: &[u8], params: Option<Params<'_, '_>>) -> bool {
    for (name, value) in params.iter().flat_map(Params::iter) {
        if !is_text(value) {
            return false;
        }
        let value = Span::within(path, value.as_bytes()).moved(head.path);
        let name = head.append(name.as_bytes());
        head.params.push((name, value));
    }
    true
}

/// Says whether a parameter is UTF-8 without NUL once decoded.
fn is_text(value: &str) -> bool {
    if !value.contains('%') {
        return true;
    }
    percent_encoding::percent_decode_str(value).decode_utf8().is_ok_and(|text| !text.contains('\0'))
}
