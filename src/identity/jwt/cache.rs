//! Verified tokens of one thread, so that a publisher on a kept-alive connection is verified once.

use std::{cell::RefCell, collections::HashMap, mem};

use crate::identity::Identity;

/// Tokens in one half of the cache.
const TOKENS: usize = 512;

/// Bytes of the tokens in one half of the cache.
const BYTES: usize = 256 * 1024;

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// A cache of two halves. When the newer half is full it replaces the older one, whose tokens are dropped.
#[derive(Default)]
struct Cache {
    newer: Half,
    older: Half,
}

#[derive(Default)]
struct Half {
    /// The number of the key ring that verified the token, and the identity, by token.
    tokens: HashMap<Box<str>, (u64, Identity)>,
    bytes: usize,
}

/// Returns the identity of a token that the key ring with this number has verified on this thread.
pub(super) fn get(key_ring: u64, token: &str) -> Option<Identity> {
    CACHE.try_with(|cache| cache.borrow_mut().get(key_ring, token)).ok().flatten()
}

/// Keeps the identity of a verified token.
pub(super) fn insert(key_ring: u64, token: &str, identity: &Identity) {
    let _ = CACHE.try_with(|cache| cache.borrow_mut().insert(key_ring, token.into(), identity.clone()));
}

impl Cache {
    fn get(&mut self, key_ring: u64, token: &str) -> Option<Identity> {
        if let Some((ring, identity)) = self.newer.tokens.get(token) {
            return (*ring == key_ring).then(|| identity.clone());
        }
        let (token, (ring, identity)) = self.older.tokens.remove_entry(token)?;
        self.older.bytes -= token.len();
        if ring != key_ring {
            return None;
        }
        self.insert(ring, token, identity.clone());
        Some(identity)
    }

    fn insert(&mut self, key_ring: u64, token: Box<str>, identity: Identity) {
        if self.newer.tokens.len() >= TOKENS || self.newer.bytes + token.len() > BYTES {
            self.older = mem::take(&mut self.newer);
        }
        self.newer.insert(key_ring, token, identity);
    }
}

impl Half {
    fn insert(&mut self, key_ring: u64, token: Box<str>, identity: Identity) {
        let len = token.len();
        if self.tokens.insert(token, (key_ring, identity)).is_none() {
            self.bytes += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_tokens_in_use() {
        let mut cache = Cache::default();
        let identity = Identity::new("alice");
        cache.insert(1, "used".into(), identity.clone());
        for n in 0..10 * TOKENS {
            cache.insert(1, format!("token {n}").into(), identity.clone());
            assert!(cache.get(1, "used").is_some(), "{n}");
            assert!(cache.newer.tokens.len() <= TOKENS && cache.older.tokens.len() <= TOKENS);
        }
        assert!(cache.get(1, "token 0").is_none());
        assert!(cache.get(2, "used").is_none(), "another key ring");
    }

    #[test]
    fn the_bytes_of_the_tokens_are_bounded() {
        let mut cache = Cache::default();
        for n in 0..200 {
            let token = format!("{n:08192}");
            cache.insert(1, token.into(), Identity::new("alice"));
            assert!(cache.newer.bytes <= BYTES && cache.older.bytes <= BYTES);
            let sum: usize = cache.newer.tokens.keys().map(|token| token.len()).sum();
            assert_eq!(sum, cache.newer.bytes);
        }
    }
}
