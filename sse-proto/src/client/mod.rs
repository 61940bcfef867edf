//! The client's side: connect, open, wait, resume, give up, as a state machine without I/O (WHATWG HTML, section 9.2).
//!
//! ```text
//!                        200, text/event-stream
//!          ┌──────────┐ ───────────────────────► ┌──────┐
//!   new ──►│Connecting│ ◄─┐ redirect             │ Open │
//!          └──────────┘ ──┘                      └──────┘
//!             ▲    │ no answer, 429, 5xx             │ ended, broken, silent
//!    the wait │    ▼                                 │
//!    is over  │ ┌─────────┐                          │
//!             └─│ Waiting │ ◄────────────────────────┘
//!               └─────────┘
//!   any ── 204, another answer, one redirect or attempt too many, `close` ──► Closed
//! ```
//!
//! [`EventSource`] explains how to drive it. It owns no connection, reads no clock, and resolves no URL; headers and body of the
//! request stay with the caller.

mod backoff;
mod config;
mod head;
mod received;
mod seen;

use core::fmt;
use core::time::Duration;

use self::backoff::Backoff;
pub use self::config::{Config, Method};
use self::head::Verdict;
pub use self::head::{Head, retry_after};
pub use self::received::Received;
use self::seen::Seen;
use crate::storage::Scratch;
use crate::time::Instant;
use crate::wire::{DecodeError, Decoder, IdField};

/// One event stream and its connections, one after another, as a state machine.
///
/// `L` is the caller's kind of URL, opaque here; `S` is the decoder's memory; `M` is memory for the ids of past events, see
/// [`new`](Self::new). To drive it:
///
/// 1. Until [`poll_output`](Self::poll_output) returns `None`, do what it says. There is one connection at most: with any output
///    but [`Output::Opened`], drop the one there is.
/// 2. Wait until something happens, at most until [`poll_timeout`](Self::poll_timeout).
/// 3. Tell it what happened and go on with 1: [`handle_response`](Self::handle_response), [`handle_bytes`](Self::handle_bytes),
///    [`handle_end`](Self::handle_end), [`handle_failure`](Self::handle_failure), or [`handle_timeout`](Self::handle_timeout) if it
///    was time that passed.
///
/// What does not fit the state, such as bytes of a connection that was to be dropped, changes nothing. Nor does a clock that steps
/// back.
///
/// ```
/// use sse_proto::Instant;
/// use sse_proto::client::{Config, EventSource, Head, Interruption, Output};
/// use sse_proto::storage::FixedScratch;
/// use sse_proto::wire::Item;
///
/// let at = Instant::from_millis;
/// let config = Config { jitter_percent: 0, ..Config::default() };
/// let mut source = EventSource::new(config, "/news", FixedScratch::new([0; 512]), [0; 8], at(0), 7);
///
/// let Some(Output::Connect(request)) = source.poll_output() else { panic!() };
/// assert_eq!((*request.url, request.last_event_id), ("/news", ""));
/// source.handle_response(at(5), Head { content_type: Some("text/event-stream"), ..Head::new(200) });
/// assert_eq!(source.poll_output(), Some(Output::Opened));
///
/// let mut received = source.handle_bytes(at(9), b"retry: 200\n\nid: 1\ndata: hello\n\nda");
/// assert_eq!(received.next_item(), Ok(Some(Item::Retry(200))));
/// assert!(matches!(received.next_item(), Ok(Some(Item::Event(event))) if event.data == "hello"));
/// assert_eq!(received.next_item(), Ok(None));
///
/// source.handle_failure(at(1_000));
/// assert!(matches!(source.poll_output(), Some(Output::Waiting { why: Interruption::Failed, .. })));
/// assert_eq!(source.poll_timeout(), Some(at(1_200)));
/// source.handle_timeout(at(1_200));
/// assert!(matches!(source.poll_output(), Some(Output::Connect(request)) if request.last_event_id == "1"));
/// ```
#[derive(Clone, Debug)]
pub struct EventSource<L, S, M> {
    config: Config,
    decoder: Decoder<S>,
    seen: Seen<M>,
    backoff: Backoff,
    /// What every attempt begins with: the caller's URL, or where permanent redirects led to.
    home: Target<L>,
    /// Where the redirects of this attempt have led to, if anywhere.
    target: Option<Target<L>>,
    redirects: u32,
    /// All redirects of this attempt were permanent ones.
    permanent: bool,
    phase: Phase,
    /// The stream was opened and the caller does not know.
    opened_pending: bool,
    /// The phase was entered and the caller does not know. Not used for [`Phase::Open`].
    phase_pending: bool,
    /// The latest time the caller told.
    now: Instant,
}

/// What to do now, or to know.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<'a, L> {
    /// Make this request.
    Connect(Request<'a, L>),
    /// The answer is an event stream: its bytes are wanted.
    Opened,
    /// There is no connection now; the next attempt comes by itself.
    Waiting {
        /// After how long.
        delay: Duration,
        /// What happened.
        why: Interruption,
    },
    /// It is over. Nothing will come any more.
    Closed(Closed),
}

/// A request to make, with the caller's headers, `Accept: text/event-stream` and `Cache-Control: no-cache`. Redirects are not to be
/// followed underneath. Credentials belong to the origin they were given for: where `url` is of another one, leave them out.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a, L> {
    /// The URL.
    pub url: &'a L,
    /// The method; the body goes with it, but not with a GET that a redirect made of another method.
    pub method: Method,
    /// The `Last-Event-ID` header; empty for none.
    pub last_event_id: &'a str,
}

/// Where the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A request is to be made, or is under way.
    Connecting,
    /// The stream is open.
    Open,
    /// Between two attempts.
    Waiting,
    /// Over.
    Closed,
}

/// Why there is no connection, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The server ended the stream.
    Ended,
    /// There was no connection to be had, or it broke.
    Failed,
    /// The answer took longer than [`Config::answer_timeout`].
    NoAnswer,
    /// No byte came for the time of [`Config::liveness`].
    Silent,
    /// The server answered with this status, 429 or 5xx.
    Status(u16),
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the server ended the stream"),
            Self::Failed => f.write_str("the connection failed"),
            Self::NoAnswer => f.write_str("the server did not answer in time"),
            Self::Silent => f.write_str("nothing came for too long"),
            Self::Status(status) => write!(f, "the server answered {status}"),
        }
    }
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The caller closed it.
    ByCaller,
    /// The request could not be made: see [`EventSource::handle_unsendable`].
    Unsendable,
    /// The server answered 204: it does not want to be asked again.
    NoContent,
    /// The server answered with this status, which is not tried again.
    Status(u16),
    /// The server's answer is not `text/event-stream`.
    ContentType,
    /// The server redirected with this status, and not to a URL.
    Redirect(u16),
    /// There were more redirects than [`Config::max_redirects`].
    TooManyRedirects,
    /// As many attempts failed as [`Config::max_attempts`] allows; the last one so.
    Attempts(Interruption),
    /// The stream was open and is over, and [`Config::reconnect`] is false.
    Over(Interruption),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByCaller => f.write_str("closed"),
            Self::Unsendable => f.write_str("the request cannot be sent"),
            Self::NoContent => f.write_str("the server answered 204: there is nothing more to come"),
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::ContentType => f.write_str("the server's answer is not an event stream"),
            Self::Redirect(status) => write!(f, "the server answered {status} without a URL to go to"),
            Self::TooManyRedirects => f.write_str("the server redirects without end"),
            Self::Attempts(why) => write!(f, "no attempts are left: {why}"),
            Self::Over(why) => why.fmt(f),
        }
    }
}

impl core::error::Error for Closed {}

impl<L: Clone, S: Scratch, M: AsRef<[u64]> + AsMut<[u64]>> EventSource<L, S, M> {
    /// A client that will ask `url` at once.
    ///
    /// Events that straddle chunks are assembled in `scratch`. `seen` has room for the ids of that many past events: an event whose
    /// own id is among them is dropped as a repetition; an empty one drops none. `entropy` is for jitter and hashing, any number that
    /// other clients do not have.
    pub fn new(config: Config, url: L, scratch: S, seen: M, now: Instant, entropy: u64) -> Self {
        Self {
            decoder: Decoder::with_scratch(config.limits, scratch),
            seen: Seen::new(seen, entropy),
            backoff: Backoff::new(&config, entropy),
            home: Target { url, method: config.method },
            target: None,
            redirects: 0,
            permanent: true,
            phase: Phase::Connecting { since: now },
            opened_pending: false,
            phase_pending: true,
            now,
            config,
        }
    }

    /// Resumes a stream of an earlier life: sent as `Last-Event-ID` from the next request on.
    ///
    /// # Errors
    ///
    /// [`DecodeError::BufferFull`] when `scratch` has no room for it.
    pub fn set_last_event_id(&mut self, id: IdField<'_>) -> Result<(), DecodeError> {
        self.decoder.set_last_event_id(id)
    }

    /// Ends it, whatever it is doing.
    pub fn close(&mut self) {
        if self.state() != State::Closed {
            self.close_with(Closed::ByCaller);
        }
    }

    /// The answer to the request has begun.
    pub fn handle_response(&mut self, now: Instant, head: Head<'_, L>) {
        self.advance(now);
        if !matches!(self.phase, Phase::Connecting { .. }) || self.phase_pending {
            return;
        }
        match Verdict::of(&head, &self.config) {
            Verdict::Open => {
                self.backoff.succeed();
                self.decoder.restart();
                self.phase = Phase::Open { heard: self.now };
                self.opened_pending = true;
            }
            Verdict::Redirect { permanent } => self.redirect(head, permanent),
            Verdict::Again => self.fail(Interruption::Status(head.status), head.retry_after),
            Verdict::Stop => self.close_with(Closed::NoContent),
            Verdict::WrongType => self.close_with(Closed::ContentType),
            Verdict::Refused => self.close_with(Closed::Status(head.status)),
        }
    }

    /// Bytes of the stream have come. Take the items out of what this returns until there are none.
    #[inline]
    pub fn handle_bytes<'c, 'i>(&'c mut self, now: Instant, bytes: &'i [u8]) -> Received<'c, 'i, S, M> {
        let bytes = if self.state() == State::Open { bytes } else { &[] };
        if bytes.is_empty() {
            self.advance(now);
        } else {
            self.handle_activity(now);
        }
        Received::new(self.decoder.feed(bytes), &mut self.seen, &mut self.backoff, &self.config)
    }

    /// In place of [`handle_bytes`](Self::handle_bytes), for a caller with a decoder of its own: bytes of the stream have come. It keeps the
    /// last event id, too, and tells of the rest by [`set_retry`](Self::set_retry) and [`is_new`](Self::is_new).
    pub fn handle_activity(&mut self, now: Instant) {
        self.advance(now);
        if let Phase::Open { heard } = &mut self.phase {
            *heard = self.now;
        }
    }

    /// The caller's decoder read a reconnection time.
    pub fn set_retry(&mut self, millis: u64) {
        self.backoff.set_retry(&self.config, millis);
    }

    /// Whether an event of the caller's decoder is to be given, by its own id: not, if it was before. It has been from now on.
    pub fn is_new(&mut self, id: &str) -> bool {
        let Some(hash) = self.seen.hash(id) else { return true };
        let is_new = !self.seen.holds(hash);
        if is_new {
            self.seen.remember(hash);
        }
        is_new
    }

    /// The body of the response came to its end. An event that was not whole is dropped.
    pub fn handle_end(&mut self, now: Instant) {
        self.interrupt(now, Interruption::Ended);
    }

    /// There was no connection to be had, no answer on it, or it broke.
    pub fn handle_failure(&mut self, now: Instant) {
        self.interrupt(now, Interruption::Failed);
    }

    /// The request cannot be made: its URL or its `Last-Event-ID` is nothing the caller can send. Another attempt would end the same.
    pub fn handle_unsendable(&mut self) {
        if matches!(self.phase, Phase::Connecting { .. }) && !self.phase_pending {
            self.close_with(Closed::Unsendable);
        }
    }

    /// Time has passed. Does nothing before [`poll_timeout`](Self::poll_timeout), and nothing while there is output.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if self.is_pending() || self.deadline().is_none_or(|deadline| self.now < deadline) {
            return;
        }
        match self.phase {
            Phase::Connecting { .. } => self.fail(Interruption::NoAnswer, None),
            Phase::Open { .. } => self.lose(Interruption::Silent),
            Phase::Waiting { .. } => self.connect(),
            Phase::Closed(_) => {}
        }
    }

    /// What to do now. O(1).
    #[must_use = "what it returns is to be done; it is not returned again"]
    pub fn poll_output(&mut self) -> Option<Output<'_, L>> {
        if self.opened_pending {
            self.opened_pending = false;
            return Some(Output::Opened);
        }
        if !self.phase_pending {
            return None;
        }
        self.phase_pending = false;
        match self.phase {
            Phase::Connecting { .. } => {
                let Target { url, method } = self.target.as_ref().unwrap_or(&self.home);
                Some(Output::Connect(Request { url, method: *method, last_event_id: self.decoder.last_event_id() }))
            }
            Phase::Open { .. } => None,
            Phase::Waiting { since, until, why } => Some(Output::Waiting { delay: until.since(since), why }),
            Phase::Closed(why) => Some(Output::Closed(why)),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest; not later than the last `now` while there is output.
    #[must_use = "without it, waits and time limits never end"]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_pending() { Some(self.now) } else { self.deadline() }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Connecting { .. } => State::Connecting,
            Phase::Open { .. } => State::Open,
            Phase::Waiting { .. } => State::Waiting,
            Phase::Closed(_) => State::Closed,
        }
    }

    /// The id a reconnection would ask to go on behind; empty when there is none.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// The URL that is being asked, or will be next; once it is over, the last one.
    pub fn url(&self) -> &L {
        &self.target.as_ref().unwrap_or(&self.home).url
    }

    /// The reconnection time, as the stream has set it.
    pub fn retry(&self) -> Duration {
        self.backoff.retry()
    }

    fn redirect(&mut self, head: Head<'_, L>, permanent: bool) {
        let Some(url) = head.location else { return self.close_with(Closed::Redirect(head.status)) };
        self.redirects += 1;
        if self.redirects > self.config.max_redirects {
            return self.close_with(Closed::TooManyRedirects);
        }
        let method = match (head.status, self.target.as_ref().unwrap_or(&self.home).method) {
            (303, _) | (301 | 302, Method::Post) => Method::Get,
            (_, method) => method,
        };
        // A permanent redirect behind a temporary one says nothing about where the next attempt ought to begin.
        self.permanent &= permanent;
        if self.permanent {
            self.home = Target { url, method };
        } else {
            self.target = Some(Target { url, method });
        }
        self.connect();
    }

    fn interrupt(&mut self, now: Instant, why: Interruption) {
        self.advance(now);
        match self.phase {
            // What ended before it began to answer did not end, it failed.
            Phase::Connecting { .. } if !self.phase_pending => self.fail(Interruption::Failed, None),
            Phase::Open { .. } => self.lose(why),
            _ => {}
        }
    }

    /// The stream was open and is not any more.
    fn lose(&mut self, why: Interruption) {
        if self.config.reconnect {
            self.wait(why, None);
        } else {
            self.close_with(Closed::Over(why));
        }
    }

    /// An attempt came to nothing.
    fn fail(&mut self, why: Interruption, asked: Option<Duration>) {
        if self.backoff.fail(&self.config) {
            self.close_with(Closed::Attempts(why));
        } else {
            self.wait(why, asked);
        }
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting { since: self.now };
        self.phase_pending = true;
    }

    fn wait(&mut self, why: Interruption, asked: Option<Duration>) {
        let until = self.now.plus(self.backoff.wait(&self.config, asked));
        (self.target, self.redirects, self.permanent) = (None, 0, true);
        self.phase = Phase::Waiting { since: self.now, until, why };
        self.phase_pending = true;
    }

    fn close_with(&mut self, why: Closed) {
        self.phase = Phase::Closed(why);
        self.phase_pending = true;
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn is_pending(&self) -> bool {
        self.opened_pending || self.phase_pending
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting { since } => Some(since.plus(self.config.answer_timeout?)),
            Phase::Open { heard } => Some(heard.plus(self.config.liveness?)),
            Phase::Waiting { until, .. } => Some(until),
            Phase::Closed(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
struct Target<L> {
    url: L,
    method: Method,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Connecting { since: Instant },
    Open { heard: Instant },
    Waiting { since: Instant, until: Instant, why: Interruption },
    Closed(Closed),
}
