//! What is between a hub and a page: one connection.

use sse_proto::{ClientKey, ConnId};

/// One response, from the hub's socket to the page's.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) page: u32,
    pub(super) client: u32,
    /// The page's request that it answers.
    pub(super) attempt: u32,
    pub(super) conn: ConnId,
    pub(super) key: ClientKey,
    /// Which hub it leads to.
    pub(super) life: u32,
    /// The hub has not let go of it.
    pub(super) open: bool,
    /// Nothing passes any more.
    pub(super) dead: bool,
    /// The last byte was drawn from it, or it broke.
    pub(super) done: bool,
    /// It was to end after the events before this number.
    pub(super) finished: Option<u32>,
    /// The hub's socket takes no more.
    pub(super) full: bool,
    /// A read of the page is on its way.
    pub(super) reading: bool,
    /// From when on bytes can arrive: the head comes first.
    pub(super) head_at: u64,
    /// Written by the hub and not read by the page.
    pub(super) buffer: Vec<u8>,
    /// The last two bytes that the hub wrote.
    pub(super) last: [u8; 2],
    /// By the hub's clock: since when it is as it is.
    pub(super) since: u64,
}
