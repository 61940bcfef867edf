//! A chunk of the stream on its way through the decoder to the caller.

use super::Config;
use super::backoff::Backoff;
use super::seen::Seen;
use crate::storage::Scratch;
use crate::wire::{DecodeError, Feed, Item};

/// One chunk of the stream being decoded; see [`EventSource::handle_bytes`](super::EventSource::handle_bytes).
///
/// Dropping it loses what has not been decoded; [`remaining`](Self::remaining) is what to hand in again later.
#[derive(Debug)]
#[must_use = "the chunk is decoded by taking the items out"]
pub struct Received<'c, 'i, S, M> {
    feed: Feed<'c, 'i, S>,
    seen: &'c mut Seen<M>,
    backoff: &'c mut Backoff,
    config: &'c Config,
}

impl<'c, 'i, S: Scratch, M: AsRef<[u64]> + AsMut<[u64]>> Received<'c, 'i, S, M> {
    #[inline]
    pub(super) fn new(feed: Feed<'c, 'i, S>, seen: &'c mut Seen<M>, backoff: &'c mut Backoff, config: &'c Config) -> Self {
        Self { feed, seen, backoff, config }
    }

    /// The next item of this chunk; `None` when the chunk is used up. An event that was given before is passed over, and
    /// the last event id stays as it was: a stream cut in the middle of a repetition is resumed behind it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for an event over the limits; calling again goes on behind it. The stream stays open: asking for the same
    /// event again would end the same.
    #[inline]
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, DecodeError> {
        let mut new = None;
        let item = self.feed.next_item_if(|id| {
            let hash = self.seen.hash(id);
            let is_new = hash.is_none_or(|hash| !self.seen.holds(hash));
            new = hash.filter(|_| is_new);
            is_new
        })?;
        // What does not fit the decoder's memory was not given.
        if let Some(hash) = new {
            self.seen.remember(hash);
        }
        if let Some(Item::Retry(millis)) = item {
            self.backoff.set_retry(self.config, millis);
        }
        Ok(item)
    }

    /// What of the chunk has not been decoded yet.
    pub fn remaining(&self) -> &'i [u8] {
        self.feed.remaining()
    }
}
