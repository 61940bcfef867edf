//! Between a shard and one stream: room for one chunk.
//!
//! The shard puts a chunk in when the stream has taken the one before; the stream takes it when its peer takes bytes. Nothing
//! piles up: a peer that takes nothing leaves one chunk here and the rest in the log.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sse_proto::ConnId;

use super::wake::Wake;

/// One stream's place, shared by its shard and its [`EventStream`](crate::EventStream).
#[derive(Debug)]
pub(crate) struct Mailbox {
    conn: ConnId,
    state: Mutex<State>,
    returns: Arc<Returns>,
}

#[derive(Debug, Default)]
struct State {
    chunk: Option<Bytes>,
    /// Bytes the stream took and the shard has not heard of.
    taken: usize,
    ended: bool,
    dropped: bool,
    /// The shard will look at this mailbox.
    returned: bool,
    waker: Option<Waker>,
}

/// What a stream did since the shard looked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) taken: usize,
    pub(crate) dropped: bool,
}

/// Streams that did something. Each is in it once at most: it is as long as there are connections at most.
#[derive(Debug)]
pub(crate) struct Returns {
    list: Mutex<Vec<ConnId>>,
    shard: Arc<Wake>,
}

impl Returns {
    pub(crate) fn new(shard: Arc<Wake>) -> Self {
        Self { list: Mutex::default(), shard }
    }

    /// Takes the list, leaving `empty` in its place.
    pub(crate) fn take(&self, empty: &mut Vec<ConnId>) {
        mem::swap(&mut *lock(&self.list), empty);
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.list).is_empty()
    }

    fn push(&self, conn: ConnId) {
        lock(&self.list).push(conn);
        self.shard.wake();
    }
}

impl Mailbox {
    pub(crate) fn new(conn: ConnId, returns: Arc<Returns>) -> Self {
        Self { conn, state: Mutex::default(), returns }
    }

    /// Shard: puts a chunk in. The one before was taken.
    pub(crate) fn put(&self, chunk: Bytes) {
        let waker = {
            let mut state = lock(&self.state);
            state.chunk = Some(chunk);
            state.waker.take()
        };
        wake(waker);
    }

    /// Shard: nothing follows the chunk that is there.
    pub(crate) fn end(&self) {
        let waker = {
            let mut state = lock(&self.state);
            state.ended = true;
            state.waker.take()
        };
        wake(waker);
    }

    /// Shard: what the stream did.
    pub(crate) fn progress(&self) -> Progress {
        let mut state = lock(&self.state);
        state.returned = false;
        Progress { taken: mem::take(&mut state.taken), dropped: state.dropped }
    }

    /// Stream: the next chunk, or `None` at the end.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = lock(&self.state);
        if let Some(chunk) = state.chunk.take() {
            state.taken += chunk.len();
            self.tell(state);
            return Poll::Ready(Some(chunk));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        let known = state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if !known {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Stream: whether the end was reached.
    pub(crate) fn has_ended(&self) -> bool {
        let state = lock(&self.state);
        state.ended && state.chunk.is_none()
    }

    /// Stream: the peer is gone.
    pub(crate) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.dropped = true;
        self.tell(state);
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        if mem::replace(&mut state.returned, true) {
            return;
        }
        drop(state);
        self.returns.push(self.conn);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
