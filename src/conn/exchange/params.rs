//! Path parameters: copied from the matched route into the request's head.

use crate::{
    proto::percent,
    request::{Head, Span},
    routing::table::PathParams,
};

/// Stores the parameters that the router found in `path`. If this is not the path of the head but its normal
/// form, the head gets a copy of it. Returns `false` if a value is not valid text.
pub(in crate::conn) fn store(head: &mut Head, path: &str, params: Option<&PathParams<'_, '_>>) -> bool {
    let Some(params) = params else { return true };
    let is_own = head.bytes(head.path) == path.as_bytes();
    let within = if is_own { head.path } else { head.append(path.as_bytes()) };
    for (name, value) in params.iter() {
        if value.as_bytes().contains(&b'%') && !percent::is_text(value) {
            return false;
        }
        let value = Span::within(path.as_bytes(), value.as_bytes()).offset_by(within);
        let name = head.append(name.as_bytes());
        head.params.push((name, value));
    }
    head.has_rest = params.has_rest;
    true
}
