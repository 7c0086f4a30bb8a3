//! Scopes: the groups of a router, kept for routes that are added while the server runs.

use super::RouteError;
use crate::{
    proto::percent,
    routing::{
        handler::Layer,
        route::{Dispatch, Route},
    },
};

/// The prefix, dispatch and layers of a group, for routes that are added while the server runs.
#[derive(Clone)]
pub(crate) struct Scope {
    /// Path prefix, including those of the outer groups.
    pub(crate) prefix: String,
    pub(crate) dispatch: Option<Dispatch>,
    /// Layers of the group, after those of the outer groups.
    pub(crate) layers: Vec<Layer>,
}

impl Scope {
    /// Returns the number of segments of the prefix if the path is below it or equal to it. Returns `None`
    /// otherwise, and for an empty prefix. A parameter matches a parameter of any name.
    fn covers(&self, path: &str) -> Option<usize> {
        let is_param = |segment: &str| segment.starts_with('{') && !segment.starts_with("{{");
        let (path, prefix) = (percent::normalized(path), percent::normalized(&self.prefix));
        let mut segments = path.trim_start_matches('/').split('/');
        let prefix = prefix.trim_start_matches('/');
        let mut length = 0;
        for expected in prefix.split('/').filter(|segment| !segment.is_empty()) {
            let segment = segments.next()?;
            if segment != expected && !(is_param(segment) && is_param(expected)) {
                return None;
            }
            length += 1;
        }
        (length > 0).then_some(length)
    }

    fn has_same_layers(&self, other: &Self) -> bool {
        let pairs = self.layers.iter().zip(&other.layers);
        self.layers.len() == other.layers.len() && { pairs }.all(|(one, other)| one.is_same(other))
    }
}

/// Gives a route the layers, and unless it has one the dispatch, of the innermost group whose prefix its path
/// begins with. Changes nothing if there is none. Groups with an empty prefix are left out.
///
/// # Errors
///
/// Several groups have this prefix, and their middleware differs.
pub(crate) fn enter(scopes: &[Scope], route: &mut Route) -> Result<(), RouteError> {
    let covering = || scopes.iter().filter_map(|scope| Some((scope.covers(&route.path)?, scope)));
    let Some(longest) = covering().map(|(length, _)| length).max() else { return Ok(()) };
    let mut innermost = covering().filter(|(length, _)| *length == longest).map(|(_, scope)| scope);
    let Some(scope) = innermost.next() else { return Ok(()) };
    if !innermost.all(|other| other.has_same_layers(scope)) {
        let problem = format!(
            "several groups have the prefix `{}` and different middleware; add the route to its group before \
             the server starts",
            scope.prefix
        );
        return Err(RouteError::new(route, problem));
    }
    route.dispatch = route.dispatch.or(scope.dispatch);
    route.layers.splice(0..0, scope.layers.iter().cloned());
    Ok(())
}
