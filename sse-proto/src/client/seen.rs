//! Which ids were given of late, so that an event that a server repeats is given once.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;

/// A ring of hashes in memory of the caller's, as many as it has room for: none, and nothing counts as seen.
///
/// Two ids are taken for one when their keyed 64-bit hashes agree, which chance does once in 2^64 comparisons.
#[derive(Clone, Debug)]
pub(super) struct Seen<M> {
    hashes: M,
    len: usize,
    next: usize,
    key: u64,
}

impl<M: AsRef<[u64]> + AsMut<[u64]>> Seen<M> {
    pub(super) fn new(memory: M, key: u64) -> Self {
        Self { hashes: memory, len: 0, next: 0, key }
    }

    /// What stands for `id`; `None` when it is not compared.
    pub(super) fn hash(&self, id: &str) -> Option<u64> {
        if self.hashes.as_ref().is_empty() || id.is_empty() {
            return None;
        }
        let mut hasher = SipHasher24::new_with_keys(self.key, !self.key);
        hasher.write(id.as_bytes());
        Some(hasher.finish())
    }

    /// Whether an event with it was given of late. Linear in the memory.
    pub(super) fn holds(&self, hash: u64) -> bool {
        self.hashes.as_ref()[..self.len].contains(&hash)
    }

    /// It is held from now on; the oldest gives way.
    pub(super) fn remember(&mut self, hash: u64) {
        let room = self.hashes.as_ref().len();
        self.hashes.as_mut()[self.next] = hash;
        self.next = (self.next + 1) % room;
        self.len = room.min(self.len + 1);
    }
}
