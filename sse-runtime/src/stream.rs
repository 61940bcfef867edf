//! [`EventStream`]: one client's events, as a response body or as a stream of byte chunks.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame};

use crate::event::{ClientRef, StreamId};
use crate::hub::StreamAbort;
use crate::shard::Mailbox;

/// The events of one registration: an [`http_body::Body`] and a [`Stream`] of byte chunks, each of which is part of
/// `text/event-stream`. Dropping it tells the hub that the client left.
#[derive(Debug)]
pub struct EventStream {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) client: ClientRef,
    pub(crate) id: StreamId,
    pub(crate) returning: bool,
    pub(crate) abort: Option<StreamAbort>,
}

impl EventStream {
    /// The client it is for.
    pub fn client(&self) -> &ClientRef {
        &self.client
    }

    /// This stream, for [`Target::Stream`](crate::Target::Stream).
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Whether the client was registered before; its topics and tasks were kept.
    pub fn is_returning(&self) -> bool {
        self.returning
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.stream_done();
        }
        self.mailbox.abandon();
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = ready!(self.mailbox.poll_take(context));
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.mailbox.has_ended()
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.mailbox.poll_take(context)
    }
}
