//! The routes of one path, by method.

use http::Method;

/// Methods with a fixed slot in [`Methods::common`].
const COMMON: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];

/// Route indexes by method.
#[derive(Debug, Default)]
pub(super) struct Methods {
    common: [Option<usize>; COMMON.len()],
    others: Vec<(Method, usize)>,
    /// The route for all methods that have none of their own.
    any: Option<usize>,
}

impl Methods {
    /// Returns `true` for methods with a fixed slot.
    pub(super) fn has_slot(method: &Method) -> bool {
        slot(method).is_some()
    }

    /// Returns the indexes of all routes of the path.
    pub(super) fn routes(&self) -> impl Iterator<Item = usize> {
        let others = self.others.iter().map(|(_, route)| *route);
        self.common.iter().flatten().copied().chain(others).chain(self.any)
    }

    /// Returns the methods of the path's routes that have no fixed slot.
    pub(super) fn others(&self) -> impl Iterator<Item = &Method> {
        self.others.iter().map(|(method, _)| method)
    }

    /// Adds a route. `None` stands for all methods without a route of their own.
    ///
    /// Returns `false` if the method already has a route.
    pub(super) fn insert(&mut self, method: Option<&Method>, route: usize) -> bool {
        let Some(method) = method else { return self.any.replace(route).is_none() };
        if let Some(slot) = slot(method) {
            return self.common[slot].replace(route).is_none();
        }
        let is_new = self.others.iter().all(|(known, _)| known != method);
        self.others.push((method.clone(), route));
        is_new
    }

    /// Returns the index of the route for a method. HEAD falls back to GET, then every method to the route
    /// for all methods.
    pub(super) fn find(&self, method: &Method) -> Option<usize> {
        let own = match slot(method) {
            Some(slot) if *method == Method::HEAD => self.common[slot].or(self.common[0]),
            Some(slot) => self.common[slot],
            None => self.others.iter().find(|(known, _)| known == method).map(|(_, route)| *route),
        };
        own.or(self.any)
    }

    /// Returns the methods for the `Allow` header (RFC 9110 §10.2.1). OPTIONS is always one of them.
    pub(super) fn allowed(&self) -> Vec<String> {
        let is_allowed = |method: &Method| self.find(method).is_some() || *method == Method::OPTIONS;
        let common = COMMON.iter().filter(|method| is_allowed(method)).map(Method::to_string);
        common.chain(self.others.iter().map(|(method, _)| method.to_string())).collect()
    }
}

fn slot(method: &Method) -> Option<usize> {
    COMMON.iter().position(|known| known == method)
}
