//! Bytes to events: a push parser for WHATWG HTML 9.2.5 and 9.2.6.
//!
//! [`Decoder`] is what lives as long as the stream; [`Feed`] is one chunk of it. An event that lies whole in the chunk is borrowed
//! from there. What a chunk leaves unfinished is kept, as the bytes it came as, in the decoder's [`Scratch`]:
//!
//! ```text
//!   text:  | data lines so far, joined | unfinished line |
//!          ^ data.start       data.end ^ line_start      ^ text.len()
//! ```
//!
//! A line is interpreted once, when its end has come, wherever it lies by then. UTF-8 is decoded after that, value by value: line
//! ends and field names are ASCII, so it makes no difference to decoding the stream first.
//!
//! The decoder owns no connection, keeps no time and dispatches nothing at the end of a stream: an unfinished event is dropped, as
//! the standard wants it.

mod feed;
mod line;

pub use feed::Feed;

use core::fmt;

use super::IdField;
use super::scan::LineEnds;
use crate::storage::{FixedScratch, Full, Scratch, Slot};

/// Decodes one event stream, fed chunk by chunk in whatever pieces it arrives.
///
/// ```
/// use sse_proto::storage::FixedScratch;
/// use sse_proto::wire::{Decoder, Item, Limits};
///
/// let mut decoder = Decoder::with_scratch(Limits::default(), FixedScratch::new([0; 512]));
/// let mut seen = 0;
/// for chunk in [&b"event: tick\nda"[..], b"ta: 1\n\n: still here\n", b"data: 2\n\n"] {
///     let mut feed = decoder.feed(chunk);
///     while let Some(item) = feed.next_item()? {
///         match item {
///             Item::Event(event) => {
///                 seen += 1;
///                 assert!(event.event == "tick" && event.data == "1" || event.event == "message" && event.data == "2");
///             }
///             Item::Comment(comment) => assert_eq!(comment, "still here"),
///             Item::Retry(_) | Item::IdChanged(_) => unreachable!(),
///         }
///     }
/// }
/// assert_eq!(seen, 2);
/// # Ok::<(), sse_proto::wire::DecodeError>(())
/// ```
///
/// With the `alloc` feature, `Decoder::new(limits)` keeps what straddles chunks on the heap.
///
/// Memory: nothing while events lie whole in their chunks on one `data` line each; otherwise at most `max_event` plus one line
/// and 128 bytes for the unfinished event, one line each for its name and the two ids, and three times the longer of both limits
/// when the event is ill-formed UTF-8. Time: linear in the bytes fed, for every chunking.
#[derive(Clone, Debug)]
pub struct Decoder<S> {
    scratch: S,
    limits: Limits,
    phase: Phase,
    state: State,
    /// Where the unfinished line begins in the text, or would.
    line_start: usize,
    /// Where the event's data lies in the text, if it has any.
    data: Span,
    ends: LineEnds,
}

/// How much a decoder is willing to hold, counted in bytes as they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest line, its end not counted. Default 16 MiB: whole files travel as one line of JSON or base64.
    pub max_line: usize,
    /// The longest `data` of one event, the breaks between its lines counted. Default 16 MiB, for the same reason.
    pub max_event: usize,
}

impl Limits {
    /// How long a `data` line may be without asking further.
    #[inline]
    const fn max_plain(self) -> usize {
        if self.max_line < self.max_event { self.max_line } else { self.max_event }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_line: 16 << 20, max_event: 16 << 20 }
    }
}

/// Something the stream said. `T` is what data and comments come as: `str` from [`Feed::next_item`], `[u8]` from
/// [`Feed::next_raw`].
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a, T: ?Sized = str> {
    /// An event was dispatched.
    Event(MessageEvent<'a, T>),
    /// A comment line, often a keep-alive. One leading space is taken off, as the encoder puts it there.
    Comment(&'a T),
    /// The reconnection time, in milliseconds; more than `u64::MAX` counts as that.
    Retry(u64),
    /// The last event id became another one, without an event.
    IdChanged(&'a str),
}

/// An event as a client dispatches it.
#[derive(Debug, PartialEq, Eq)]
pub struct MessageEvent<'a, T: ?Sized = str> {
    /// The type: `message` when the stream gave none.
    pub event: &'a str,
    /// The data, its lines joined by LF.
    pub data: &'a T,
    /// The last event id, of this event or of an earlier one; empty when there is none.
    pub last_event_id: &'a str,
}

/// Why an event was not decoded. What is left of it is passed over: go on calling to go on at the event after it, or drop the
/// stream. The id of the event is not taken over, so a client that reconnects asks for the event again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The peer sent a line longer than [`Limits::max_line`].
    LineTooLong,
    /// The peer sent an event with more data than [`Limits::max_event`].
    EventTooLong,
    /// The memory given to the decoder does not hold the event, or a comment once its ill-formed bytes are replaced, which alone is passed
    /// over then. With heap memory this does not happen.
    BufferFull,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineTooLong => "the peer sent a line longer than the limit",
            Self::EventTooLong => "the peer sent an event with more data than the limit",
            Self::BufferFull => "the event does not fit the decoder's memory",
        })
    }
}

impl core::error::Error for DecodeError {}

impl From<Full> for DecodeError {
    fn from(Full: Full) -> Self {
        Self::BufferFull
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Decoder<FixedScratch<B>> {
    /// A decoder for a new stream that assembles what straddles chunks in `buffer`; see [`FixedScratch`] for what fits.
    pub const fn with_buffer(limits: Limits, buffer: B) -> Self {
        Self::with_scratch(limits, FixedScratch::new(buffer))
    }
}

impl<S> Decoder<S> {
    /// A decoder for a new stream that assembles what straddles chunks in `scratch`.
    pub const fn with_scratch(limits: Limits, scratch: S) -> Self {
        Self {
            scratch,
            limits,
            phase: Phase::Start { matched: 0 },
            state: State::OUTSIDE,
            line_start: 0,
            data: Span { start: 0, end: 0 },
            ends: LineEnds::new(),
        }
    }
}

impl<S: Scratch> Decoder<S> {
    /// Begins with the next chunk of the stream, some of which it may keep at once. Take the items out of the [`Feed`] until there are
    /// none.
    #[inline]
    pub fn feed<'d, 'i>(&'d mut self, input: &'i [u8]) -> Feed<'d, 'i, S> {
        Feed::new(self, input)
    }

    /// Makes ready for another stream, as after a reconnection: drops the unfinished event, keeps the last event id.
    pub fn restart(&mut self) {
        self.abandon_event();
        self.state = State::OUTSIDE;
        self.phase = Phase::Start { matched: 0 };
    }

    /// Sets the last event id, as a client does that was told it elsewhere. Events without an id will carry it.
    ///
    /// # Errors
    ///
    /// [`DecodeError::BufferFull`] when the memory has no room for it; the id is empty then.
    pub fn set_last_event_id(&mut self, id: IdField<'_>) -> Result<(), DecodeError> {
        self.scratch.set(Slot::LastId, b"")?;
        Ok(self.scratch.set(Slot::LastId, id.as_str().as_bytes())?)
    }

    /// The last event id: that of the last block that had one and was ended by a blank line. What a client sends as
    /// `Last-Event-ID`; empty when there is none.
    pub fn last_event_id(&self) -> &str {
        self.scratch.get(Slot::LastId)
    }

    fn abandon_event(&mut self) {
        self.scratch.truncate(0);
        self.line_start = 0;
        self.state.clear(State::IN_LINE | State::HAS_DATA | State::HAS_NAME | State::HAS_ID);
    }
}

impl<S: Scratch> Decoder<S> {
    /// Appends to the unfinished line.
    #[inline]
    fn keep_line(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.has_line_room(bytes.len())?;
        Ok(self.scratch.push(bytes)?)
    }

    /// Appends to a line that is longer than the chunk what of it is certainly the same line, and says how much that was: it is kept
    /// while it is searched. Its UTF-8 is checked when the event is whole.
    #[cold]
    #[inline(never)]
    fn keep_ahead(&mut self, input: &[u8]) -> usize {
        let goes_on = self.state.any(State::IN_LINE)
            && self.scratch.text().len() - self.line_start >= input.len()
            && self.has_line_room(input.len()).is_ok();
        if !goes_on {
            return 0;
        }
        let kept = self.scratch.push_ahead(input);
        self.ends.skip(kept);
        kept
    }

    /// The unfinished line may get so much longer.
    #[inline]
    fn has_line_room(&self, more: usize) -> Result<(), DecodeError> {
        let len = self.scratch.text().len() - self.line_start + more;
        if len > self.limits.max_line { Err(DecodeError::LineTooLong) } else { Ok(()) }
    }

    /// The unfinished line turned out to be a data line with this value: makes it part of the data where it lies.
    fn keep_data_in_place(&mut self, value: Span) -> Result<(), DecodeError> {
        let start = if self.state.any(State::HAS_DATA) {
            self.scratch.join(self.data.end, value.start);
            self.data.start
        } else {
            value.start
        };
        self.has_data(Span { start, end: self.scratch.text().len() })
    }

    fn has_data(&mut self, data: Span) -> Result<(), DecodeError> {
        self.data = data;
        self.state.set(State::HAS_DATA);
        self.line_start = data.end;
        if data.len() > self.limits.max_event { Err(DecodeError::EventTooLong) } else { Ok(()) }
    }
}

/// Outside the body: why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing but the first `matched` bytes of a byte order mark has come.
    Start { matched: u8 },
    /// After an error, up to the next blank line.
    Skip { at_line_start: bool },
}

/// What is kept between two lines, as a set in one byte: asking for several at once is one comparison, which a decoder fed byte by
/// byte does for every byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State(u8);

impl State {
    const BETWEEN_EVENTS: Self = Self(0);
    /// What comes is not the body of an event: see [`Phase`].
    const OUTSIDE: Self = Self(1);
    /// The last byte taken was a CR: an LF that follows belongs to it.
    const AFTER_CR: Self = Self(1 << 1);
    /// The text ends in an unfinished line.
    const IN_LINE: Self = Self(1 << 2);
    const HAS_DATA: Self = Self(1 << 3);
    const HAS_NAME: Self = Self(1 << 4);
    const HAS_ID: Self = Self(1 << 5);

    const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    const fn only(self, of: Self) -> Self {
        Self(self.0 & of.0)
    }

    const fn without(self, what: Self) -> Self {
        Self(self.0 & !what.0)
    }

    const fn set(&mut self, what: Self) {
        self.0 |= what.0;
    }

    const fn clear(&mut self, what: Self) {
        self.0 &= !what.0;
    }
}

impl core::ops::BitOr for State {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    const fn len(self) -> usize {
        self.end - self.start
    }
}
