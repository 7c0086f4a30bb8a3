//! Lookup of paths without parameters: by length, then by binary search. No hash is computed.

/// Paths and their indexes, in one sorted bucket for each length.
#[derive(Debug, Default)]
pub(super) struct ExactPaths {
    by_length: Vec<Vec<(Box<[u8]>, usize)>>,
}

impl ExactPaths {
    /// Adds a path. Call [`sort`](Self::sort) before the next lookup.
    pub(super) fn insert(&mut self, path: &str, index: usize) {
        if self.by_length.len() <= path.len() {
            self.by_length.resize_with(path.len() + 1, Vec::new);
        }
        self.by_length[path.len()].push((path.as_bytes().into(), index));
    }

    /// Sorts the buckets.
    pub(super) fn sort(&mut self) {
        self.by_length.iter_mut().for_each(|bucket| bucket.sort());
    }

    /// Returns the index that the path was inserted with, or `None` if it was not.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        let bucket = self.by_length.get(path.len())?;
        let at = bucket.binary_search_by(|(known, _)| known.as_ref().cmp(path)).ok()?;
        Some(bucket[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::ExactPaths;

    #[test]
    fn finds_only_what_was_inserted() {
        let mut exact = ExactPaths::default();
        for (index, path) in ["/b", "/a", "/", "/long/path"].into_iter().enumerate() {
            exact.insert(path, index);
        }
        exact.sort();
        assert_eq!(exact.find(b"/a"), Some(1));
        assert_eq!(exact.find(b"/b"), Some(0));
        assert_eq!(exact.find(b"/"), Some(2));
        assert_eq!(exact.find(b"/long/path"), Some(3));
        assert_eq!(exact.find(b"/c"), None);
        assert_eq!(exact.find(b""), None);
        assert_eq!(exact.find(b"/long/path/longer"), None);
    }
}
