//! A tree of label prefixes, by segment. Imports nothing of the crate.

use std::collections::HashMap;

const ROOT: usize = 0;

/// Map from prefixes to numbers. A label is compared with all prefixes at once: the cost depends on the
/// number of its segments and not on the number of prefixes.
///
/// The nodes are in one vector, so that dropping a deep tree does not recurse.
pub(super) struct PrefixTree {
    nodes: Vec<Node>,
    /// Indexes of `nodes` that hold no prefix.
    vacant: Vec<usize>,
}

#[derive(Default)]
struct Node {
    parent: usize,
    /// Key of this node in the children of its parent.
    segment: Box<str>,
    children: HashMap<Box<str>, usize>,
    number: Option<usize>,
}

impl Default for PrefixTree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], vacant: Vec::new() }
    }
}

impl PrefixTree {
    /// Returns the number of a prefix. If the tree does not have the prefix, adds it with the number that
    /// `number` returns.
    pub(super) fn get_or_insert(&mut self, prefix: &str, number: impl FnOnce() -> usize) -> usize {
        let mut at = ROOT;
        for segment in segments(prefix) {
            at = match self.nodes[at].children.get(segment) {
                Some(child) => *child,
                None => self.insert_child(at, segment),
            };
        }
        *self.nodes[at].number.get_or_insert_with(number)
    }

    fn insert_child(&mut self, parent: usize, segment: &str) -> usize {
        let node = Node { parent, segment: segment.into(), ..Node::default() };
        let child = match self.vacant.pop() {
            Some(vacant) => {
                self.nodes[vacant] = node;
                vacant
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.nodes[parent].children.insert(segment.into(), child);
        child
    }

    /// Removes a prefix, and the nodes that lead to no other prefix.
    pub(super) fn remove(&mut self, prefix: &str) {
        let mut at = ROOT;
        for segment in segments(prefix) {
            let Some(child) = self.nodes[at].children.get(segment) else { return };
            at = *child;
        }
        self.nodes[at].number = None;
        while at != ROOT && self.nodes[at].number.is_none() && self.nodes[at].children.is_empty() {
            let Node { parent, segment, .. } = std::mem::take(&mut self.nodes[at]);
            self.nodes[parent].children.remove(&segment);
            self.vacant.push(at);
            at = parent;
        }
    }

    /// Calls `found` with the number of each prefix that matches a label.
    pub(super) fn for_each_match(&self, label: &str, mut found: impl FnMut(usize)) {
        let (mut node, mut rest) = (&self.nodes[ROOT], label);
        loop {
            if let Some(number) = node.number {
                found(number);
            }
            if node.children.is_empty() {
                return;
            }
            let Some((segment, after)) = rest.split_once('/') else { return };
            let Some(child) = node.children.get(segment) else { return };
            (node, rest) = (&self.nodes[*child], after);
        }
    }
}

/// Returns the segments of a prefix, which ends with `/` unless it is empty. The empty prefix has none.
fn segments(prefix: &str) -> impl Iterator<Item = &str> {
    prefix.strip_suffix('/').into_iter().flat_map(|prefix| prefix.split('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(tree: &PrefixTree, label: &str) -> Vec<usize> {
        let mut found = Vec::new();
        tree.for_each_match(label, |number| found.push(number));
        found
    }

    #[test]
    fn a_label_matches_the_prefixes_of_its_segments() {
        let mut tree = PrefixTree::default();
        for (number, prefix) in ["", "a/", "a/b/", "a/b/c/", "b/", "/"].iter().enumerate() {
            assert_eq!(tree.get_or_insert(prefix, || number), number);
        }
        assert_eq!(tree.get_or_insert("a/b/", || 9), 2, "the prefix is known");
        assert_eq!(matches(&tree, "a"), [0]);
        assert_eq!(matches(&tree, "a/x"), [0, 1]);
        assert_eq!(matches(&tree, "a/b/x"), [0, 1, 2]);
        assert_eq!(matches(&tree, "ab/b/x"), [0]);
        assert_eq!(matches(&tree, "b/"), [0, 4]);
        assert_eq!(matches(&tree, "/a"), [0, 5]);
    }

    #[test]
    fn removed_prefixes_leave_no_nodes() {
        let mut tree = PrefixTree::default();
        let deep = "x/".repeat(100_000);
        tree.get_or_insert(&deep, || 1);
        tree.get_or_insert("x/x/", || 2);
        tree.remove("y/");
        tree.remove(&deep);
        assert_eq!(matches(&tree, "x/x/x/x"), [2]);
        assert_eq!(tree.nodes.len() - tree.vacant.len(), 3);
        tree.remove("x/x/");
        assert_eq!(tree.nodes.len() - tree.vacant.len(), 1);
        tree.get_or_insert("z/", || 3);
        assert_eq!(matches(&tree, "z/z"), [3]);
    }
}
