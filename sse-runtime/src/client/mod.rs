//! Following a stream: [`EventSource`] drives the state machine of [`sse_proto::client`] on hyper, with rustls.
//!
//! It owns at most one connection, decodes a few kilobytes at a time, and reads no more from the connection while its items are not
//! taken: a slow reader slows the server down, and costs no memory. Nothing runs beside it: dropping it ends the connection.

mod build;
mod resolve;
mod retry_after;
mod transport;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use axum::http::header::{CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, Response, Uri};
use bytes::{Buf as _, Bytes};
use futures_core::{FusedStream, Stream};
use http_body::Body as _;
use hyper::body::Incoming;
use sse_proto::client::{self as machine, Head, Output};
use sse_proto::storage::HeapScratch;
use sse_proto::wire::{self, IdField};
use tokio::time::Sleep;

pub use self::build::{BuildError, Builder};
use self::resolve::resolve;
use self::retry_after::retry_after;
use self::transport::{Asking, Template, Transport, innermost};
use crate::clock::Clock;

pub use sse_proto::client::{Closed, Config, Interruption};
pub use sse_proto::wire::{DecodeError, Limits};

/// A stream of Server-Sent Events that reconnects and resumes by itself.
///
/// It is a [`Stream`] of [`Item`]s: events, and what becomes of the connection. After [`Item::Closed`] it ends. Poll it in a tokio
/// runtime.
///
/// ```no_run
/// # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
/// use sse_runtime::client::{EventSource, Item};
///
/// let mut source = EventSource::builder("http://127.0.0.1:8080/sse/events?topic=news").build()?;
/// while let Some(item) = source.next().await {
///     match item {
///         Item::Event(event) => println!("{}: {}", event.event, event.data),
///         Item::Reconnecting { delay, why } => eprintln!("{why}; again in {delay:?}"),
///         Item::Closed(why) => eprintln!("{why}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Memory: what the connection has read ahead (64 KiB at most), the unfinished event ([`Limits`]), and the items of 4 KiB.
pub struct EventSource {
    machine: machine::EventSource<Uri, HeapScratch, Box<[u64]>>,
    template: Template,
    transport: Transport,
    link: Link,
    /// Read and not decoded.
    chunk: Bytes,
    /// Decoded and not taken.
    items: VecDeque<Item>,
    /// The id of the latest event, so that events in a row with one id share it.
    id: Arc<str>,
    /// What the network said of the failure that is about to be told.
    detail: Option<String>,
    clock: Clock,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the timer is set to.
    deadline: Option<sse_proto::Instant>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// The stream is open, for the first time or again.
    Opened,
    /// An event.
    Event(Event),
    /// An event was over the [`Limits`] and is lost; the stream goes on behind it.
    Skipped(DecodeError),
    /// The connection is gone, or could not be made. The next attempt comes by itself.
    Reconnecting {
        /// After how long.
        delay: Duration,
        /// Why.
        why: Why<Interruption>,
    },
    /// It is over: the last item.
    Closed(Why<Closed>),
}

/// An event as a client dispatches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The type: `message` when the stream gave none.
    pub event: Cow<'static, str>,
    /// The data, its lines joined by LF.
    pub data: String,
    /// The last event id, of this event or of an earlier one; empty when there is none.
    pub last_event_id: Arc<str>,
}

/// A reason, and what the network said of it. Shown, it is one line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why<T> {
    /// The reason.
    pub reason: T,
    /// The network's own words, such as `connection refused`.
    pub detail: Option<String>,
}

impl<T: fmt::Display> fmt::Display for Why<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl<T: fmt::Display + fmt::Debug> std::error::Error for Why<T> {}

enum Link {
    None,
    Asking(Asking),
    Open(Incoming),
}

impl EventSource {
    /// Begins with the URL to follow, `http` or `https`.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    fn new(template: Template, transport: Transport, config: Config, remembered: usize, id: IdField<'_>) -> Self {
        let clock = Clock::start();
        let entropy = getrandom::u64().unwrap_or_else(|_| clock.now().as_millis());
        let seen = vec![0; remembered].into_boxed_slice();
        let mut machine =
            machine::EventSource::new(config, template.url.clone(), HeapScratch::new(), seen, clock.now(), entropy);
        // Memory on the heap has room for it.
        let _ = machine.set_last_event_id(id);
        Self {
            machine,
            template,
            transport,
            link: Link::None,
            chunk: Bytes::new(),
            items: VecDeque::new(),
            id: Arc::from(id.as_str()),
            detail: None,
            clock,
            timer: None,
            deadline: None,
        }
    }

    /// The next item; `None` after [`Item::Closed`]. What is not taken is not lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Item> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The next event, for those who do not look at the connection: `None` when the stream is over, an error when it was not the
    /// server's wish (204) or the caller's ([`close`](Self::close)).
    ///
    /// # Errors
    ///
    /// Why it is over. An event over the limits is passed over and logged.
    pub async fn next_event(&mut self) -> Result<Option<Event>, Why<Closed>> {
        loop {
            match self.next().await {
                Some(Item::Event(event)) => return Ok(Some(event)),
                None => return Ok(None),
                Some(Item::Closed(why)) => {
                    return match why.reason {
                        Closed::NoContent | Closed::ByCaller | Closed::Over(Interruption::Ended) => Ok(None),
                        _ => Err(why),
                    };
                }
                Some(Item::Skipped(error)) => tracing::warn!(url = %self.machine.url(), %error, "an event is lost"),
                Some(Item::Opened | Item::Reconnecting { .. }) => {}
            }
        }
    }

    /// Ends it: what was decoded still comes, and then [`Item::Closed`].
    pub fn close(&mut self) {
        self.machine.close();
        self.link = Link::None;
        self.chunk = Bytes::new();
    }

    /// What a reconnection would ask to go on behind: the id of the last event that was decoded, which may be a few ahead of the last
    /// one taken.
    pub fn last_event_id(&self) -> &str {
        self.machine.last_event_id()
    }

    /// The URL that is followed: where permanent redirects have led to.
    pub fn url(&self) -> &Uri {
        self.machine.url()
    }

    /// Decodes a piece of what was read.
    fn decode(&mut self) {
        let piece = &self.chunk[..self.chunk.len().min(PIECE)];
        let mut received = self.machine.handle_bytes(self.clock.now(), piece);
        loop {
            match received.next_item() {
                Ok(None) => break,
                Ok(Some(wire::Item::Event(event))) => {
                    if *self.id != *event.last_event_id {
                        self.id = Arc::from(event.last_event_id);
                    }
                    self.items.push_back(Item::Event(Event {
                        event: if event.event == "message" {
                            Cow::Borrowed("message")
                        } else {
                            Cow::Owned(event.event.to_owned())
                        },
                        data: event.data.to_owned(),
                        last_event_id: self.id.clone(),
                    }));
                }
                Ok(Some(_)) => {}
                Err(error) => self.items.push_back(Item::Skipped(error)),
            }
        }
        self.chunk.advance(self.chunk.len().min(PIECE));
    }

    /// Does what the machine says; false when it says nothing.
    fn act(&mut self) -> bool {
        match self.machine.poll_output() {
            None => return false,
            Some(Output::Opened) => self.items.push_back(Item::Opened),
            Some(Output::Connect(request)) => {
                self.detail = None;
                let as_get = request.method == machine::Method::Get;
                match self.transport.ask(&self.template, request.url, as_get, request.last_event_id) {
                    Some(asking) => self.link = Link::Asking(asking),
                    None => {
                        self.link = Link::None;
                        self.machine.handle_unsendable();
                    }
                }
            }
            Some(Output::Waiting { delay, why: reason }) => {
                self.link = Link::None;
                self.items.push_back(Item::Reconnecting { delay, why: Why { reason, detail: self.detail.take() } });
            }
            Some(Output::Closed(reason)) => {
                self.link = Link::None;
                self.items.push_back(Item::Closed(Why { reason, detail: self.detail.take() }));
            }
        }
        true
    }

    /// Waits for the network, and tells the machine what came.
    fn poll_link(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.link {
            Link::None => Poll::Pending,
            Link::Asking(asking) => match ready!(asking.poll(context)) {
                Ok(response) => {
                    self.handle_response(response);
                    Poll::Ready(())
                }
                Err(detail) => {
                    self.fail(detail);
                    Poll::Ready(())
                }
            },
            Link::Open(body) => {
                match ready!(Pin::new(body).poll_frame(context)) {
                    Some(Ok(frame)) => self.chunk = frame.into_data().unwrap_or_default(),
                    Some(Err(error)) => {
                        let detail = innermost(&error);
                        self.fail(detail);
                    }
                    None => {
                        self.link = Link::None;
                        self.machine.handle_end(self.clock.now());
                    }
                }
                Poll::Ready(())
            }
        }
    }

    fn fail(&mut self, detail: String) {
        self.link = Link::None;
        self.detail = Some(detail);
        self.machine.handle_failure(self.clock.now());
    }

    fn handle_response(&mut self, response: Response<Incoming>) {
        let (parts, body) = response.into_parts();
        let text = |name: HeaderName| parts.headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok());
        let head = Head {
            status: parts.status.as_u16(),
            content_type: text(CONTENT_TYPE),
            location: text(LOCATION).and_then(|location| resolve(self.machine.url(), location)),
            retry_after: text(RETRY_AFTER).and_then(|value| retry_after(value, text(DATE), SystemTime::now())),
        };
        self.machine.handle_response(self.clock.now(), head);
        self.link = if self.machine.state() == machine::State::Open { Link::Open(body) } else { Link::None };
    }

    /// Waits for the machine's deadline, and tells it when it has come.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.machine.poll_timeout();
        if self.deadline != deadline {
            self.deadline = deadline;
            if let Some(deadline) = deadline {
                // What is left is rounded down to milliseconds; waking early once more is cheaper than waking late.
                let left = deadline.since(self.clock.now()).max(Duration::from_millis(1));
                let at = tokio::time::Instant::now() + left.min(FAR);
                match &mut self.timer {
                    Some(timer) => timer.as_mut().reset(at),
                    None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
                }
            }
        }
        let (Some(_), Some(timer)) = (deadline, &mut self.timer) else { return Poll::Pending };
        ready!(timer.as_mut().poll(context));
        self.deadline = None;
        self.machine.handle_timeout(self.clock.now());
        Poll::Ready(())
    }
}

impl Stream for EventSource {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.items.pop_front() {
                return Poll::Ready(Some(item));
            }
            if this.is_terminated() {
                return Poll::Ready(None);
            }
            // A stream of comments alone must let others run, too.
            let coop = ready!(tokio::task::coop::poll_proceed(context));
            coop.made_progress();
            if !this.chunk.is_empty() {
                this.decode();
            } else if !this.act() && this.poll_link(context).is_pending() {
                // The network before the clock: bytes that came while nobody looked are life.
                ready!(this.poll_timer(context));
            }
        }
    }
}

impl FusedStream for EventSource {
    fn is_terminated(&self) -> bool {
        self.items.is_empty() && self.machine.state() == machine::State::Closed && self.machine.poll_timeout().is_none()
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and ids are nobody else's business.
        f.debug_struct("EventSource")
            .field("url", self.machine.url())
            .field("state", &self.machine.state())
            .finish_non_exhaustive()
    }
}

/// How much is decoded at once.
const PIECE: usize = 4096;

/// Farther than this no timer is set; it is set again then.
const FAR: Duration = Duration::from_secs(24 * 3600);
