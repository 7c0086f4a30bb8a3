//! The routes of one path by method.

use http::Method;

/// The methods that have a place of their own.
const COMMON: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];

/// Entries by method.
#[derive(Debug, Default)]
pub(super) struct Methods {
    common: [Option<usize>; COMMON.len()],
    others: Vec<(Method, usize)>,
    /// The one for every method without an entry of its own.
    any: Option<usize>,
}

impl Methods {
    /// Adds an entry, for every other method if none is named; false when there is one.
    pub(super) fn insert(&mut self, method: Option<&Method>, entry: usize) -> bool {
        let Some(method) = method else { return self.any.replace(entry).is_none() };
        if let Some(place) = place(method) {
            return self.common[place].replace(entry).is_none();
        }
        let new = self.others.iter().all(|(known, _)| known != method);
        self.others.push((method.clone(), entry));
        new
    }

    /// Finds the entry of a method; HEAD falls back to GET.
    pub(super) fn find(&self, method: &Method) -> Option<usize> {
        let own = match place(method) {
            Some(place) if *method == Method::HEAD => self.common[place].or(self.common[0]),
            Some(place) => self.common[place],
            None => self.others.iter().find(|(known, _)| known == method).map(|(_, entry)| *entry),
        };
        own.or(self.any)
    }

    /// Lists what the path allows, for `Allow` (RFC 9110 §10.2.1).
    pub(super) fn allowed(&self) -> Vec<String> {
        let known = |method: &Method| self.find(method).is_some() || *method == Method::OPTIONS;
        let common = COMMON.iter().filter(|method| known(method)).map(Method::to_string);
        common.chain(self.others.iter().map(|(method, _)| method.to_string())).collect()
    }
}

fn place(method: &Method) -> Option<usize> {
    COMMON.iter().position(|known| known == method)
}
