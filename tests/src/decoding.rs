//! What a stream decodes to, in a form that can be compared: by the decoder for any chunking, and by a naive twin.

use sse_proto::storage::Scratch;
use sse_proto::wire::{DecodeError, Decoder, Item, Limits};

/// An [`Item`] that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// See [`Item::Event`].
    Event {
        /// The type.
        event: String,
        /// The data.
        data: String,
        /// The last event id.
        last_event_id: String,
    },
    /// See [`Item::Comment`].
    Comment(String),
    /// See [`Item::Retry`].
    Retry(u64),
    /// See [`Item::IdChanged`].
    IdChanged(String),
    /// The decoder refused an event.
    Error(DecodeError),
}

impl From<Item<'_>> for Seen {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Event(event) => Self::Event {
                event: event.event.to_owned(),
                data: event.data.to_owned(),
                last_event_id: event.last_event_id.to_owned(),
            },
            Item::Comment(comment) => Self::Comment(comment.to_owned()),
            Item::Retry(ms) => Self::Retry(ms),
            Item::IdChanged(id) => Self::IdChanged(id.to_owned()),
        }
    }
}

impl From<Item<'_, [u8]>> for Seen {
    fn from(item: Item<'_, [u8]>) -> Self {
        match item {
            Item::Event(event) => Self::Event {
                event: event.event.to_owned(),
                data: String::from_utf8_lossy(event.data).into_owned(),
                last_event_id: event.last_event_id.to_owned(),
            },
            Item::Comment(comment) => Self::Comment(String::from_utf8_lossy(comment).into_owned()),
            Item::Retry(ms) => Self::Retry(ms),
            Item::IdChanged(id) => Self::IdChanged(id.to_owned()),
        }
    }
}

/// Feeds one chunk and appends what it gave, going on after errors.
pub fn feed(decoder: &mut Decoder<impl Scratch>, chunk: &[u8], seen: &mut Vec<Seen>) {
    let mut feed = decoder.feed(chunk);
    loop {
        match feed.next_item() {
            Ok(Some(item)) => seen.push(item.into()),
            Ok(None) => return,
            Err(error) => seen.push(Seen::Error(error)),
        }
    }
}

/// The same, each item from a feed of its own, alternating between text and bytes.
pub fn feed_item_by_item(decoder: &mut Decoder<impl Scratch>, mut chunk: &[u8], seen: &mut Vec<Seen>) {
    for turn in 0.. {
        let mut feed = decoder.feed(chunk);
        let next = if turn % 2 == 0 {
            feed.next_item().map(|item| item.map(Seen::from))
        } else {
            feed.next_raw().map(|item| item.map(Seen::from))
        };
        match next {
            Ok(Some(item)) => seen.push(item),
            Ok(None) => return,
            Err(error) => seen.push(Seen::Error(error)),
        }
        chunk = feed.remaining();
    }
}

/// `input` in pieces that end at the given offsets; a repeated offset is an empty chunk.
pub fn chunks<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut start = 0;
    let mut chunks = Vec::with_capacity(cuts.len() + 1);
    for &cut in cuts.iter().chain([&input.len()]) {
        chunks.push(&input[start..cut]);
        start = cut;
    }
    chunks
}

/// Straight down the page of the standard, over the whole input: 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event
/// stream". Slow, and no line shared with the decoder. Returns what it dispatches and the last event id at the end.
pub fn naive(input: &[u8], last_event_id: &str) -> (Vec<Seen>, String) {
    naive_within(Limits { max_line: usize::MAX, max_event: usize::MAX }, input, last_event_id, |_| true)
}

/// The same under limits, and without the events whose own id is not wanted.
pub fn naive_within(
    limits: Limits,
    input: &[u8],
    last_event_id: &str,
    wanted: impl FnMut(&str) -> bool,
) -> (Vec<Seen>, String) {
    naive_told(limits, input, &[(0, last_event_id)], wanted)
}

/// The same, told elsewhere what the last event id is once so many bytes have come.
pub fn naive_told(
    limits: Limits,
    input: &[u8],
    told: &[(usize, &str)],
    mut wanted: impl FnMut(&str) -> bool,
) -> (Vec<Seen>, String) {
    let text = String::from_utf8_lossy(input);
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop(); // What no line end follows is not a line.
    let (lengths, unfinished) = line_lengths(input);

    let mut seen = Vec::new();
    let mut told = told.iter().peekable();
    let mut last_event_id = String::new();
    let mut last_event_id_buffer = String::new();
    let mut has_id = false;
    let mut data_buffer = String::new();
    let mut data_length = 0;
    let mut event_type_buffer = String::new();
    let mut skipping = false;
    for (line, (length, end)) in lines.into_iter().zip(lengths) {
        while let Some((_, id)) = told.next_if(|(from, _)| *from < end) {
            last_event_id = (*id).to_owned();
            if !has_id {
                last_event_id_buffer.clone_from(&last_event_id);
            }
        }
        if skipping {
            skipping = !line.is_empty();
            continue;
        }
        if line.is_empty() {
            let before = core::mem::replace(&mut last_event_id, last_event_id_buffer.clone());
            let (has_own_id, event_type) = (core::mem::take(&mut has_id), core::mem::take(&mut event_type_buffer));
            data_length = 0;
            if data_buffer.is_empty() {
                if last_event_id != before {
                    seen.push(Seen::IdChanged(last_event_id.clone()));
                }
                continue;
            }
            data_buffer.pop();
            let data = core::mem::take(&mut data_buffer);
            if has_own_id && !wanted(&last_event_id) {
                last_event_id_buffer.clone_from(&before);
                last_event_id = before;
                continue;
            }
            let event = if event_type.is_empty() { "message".to_owned() } else { event_type };
            seen.push(Seen::Event { event, data, last_event_id: last_event_id.clone() });
            continue;
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        let mut error = (length > limits.max_line).then_some(DecodeError::LineTooLong);
        if error.is_none() {
            match field {
                "" => seen.push(Seen::Comment(value.to_owned())),
                "event" => event_type_buffer = value.to_owned(),
                "data" => {
                    data_length += usize::from(!data_buffer.is_empty()) + length - (line.len() - value.len());
                    data_buffer.push_str(value);
                    data_buffer.push('\n');
                    error = (data_length > limits.max_event).then_some(DecodeError::EventTooLong);
                }
                "id" if !value.contains('\0') => {
                    last_event_id_buffer = value.to_owned();
                    has_id = true;
                }
                "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    seen.push(Seen::Retry(value.parse().unwrap_or(u64::MAX)));
                }
                _ => {}
            }
        }
        if let Some(error) = error {
            seen.push(Seen::Error(error));
            skipping = true;
            (has_id, data_length) = (false, 0);
            last_event_id_buffer.clone_from(&last_event_id);
            data_buffer.clear();
            event_type_buffer.clear();
        }
    }
    if unfinished > limits.max_line && !skipping {
        seen.push(Seen::Error(DecodeError::LineTooLong));
    }
    (seen, told.last().map_or(last_event_id, |(_, id)| (*id).to_owned()))
}

/// How many bytes each line was sent as and where its end is, and how many bytes of a line that has no end yet.
fn line_lengths(input: &[u8]) -> (Vec<(usize, usize)>, usize) {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    let start = match input {
        _ if input.starts_with(MARK) => MARK.len(),
        // Of what may become the mark it is not known yet that it is a line.
        _ if MARK.starts_with(input) => return (Vec::new(), 0),
        _ => 0,
    };
    let (mut lengths, mut length, mut after_cr) = (Vec::new(), 0, false);
    for (at, byte) in input.iter().enumerate().skip(start) {
        match byte {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => lengths.push((core::mem::take(&mut length), at + 1)),
            _ => length += 1,
        }
        after_cr = *byte == b'\r';
    }
    (lengths, length)
}
