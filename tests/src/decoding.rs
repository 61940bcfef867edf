//! What a stream decodes to, in a form that can be compared: by the decoder for any chunking, and by a naive twin.

use sse_proto::storage::Scratch;
use sse_proto::wire::{DecodeError, Decoder, Item};

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
    let text = String::from_utf8_lossy(input);
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop(); // What no line end follows is not a line.

    let mut seen = Vec::new();
    let mut last_event_id = last_event_id.to_owned();
    let mut last_event_id_buffer = last_event_id.clone();
    let mut data_buffer = String::new();
    let mut event_type_buffer = String::new();
    for line in lines {
        if line.is_empty() {
            let changed = last_event_id != last_event_id_buffer;
            last_event_id = last_event_id_buffer.clone();
            if data_buffer.is_empty() {
                event_type_buffer.clear();
                if changed {
                    seen.push(Seen::IdChanged(last_event_id.clone()));
                }
                continue;
            }
            data_buffer.pop();
            let event = if event_type_buffer.is_empty() { "message".to_owned() } else { event_type_buffer.clone() };
            seen.push(Seen::Event { event, data: data_buffer.clone(), last_event_id: last_event_id.clone() });
            data_buffer.clear();
            event_type_buffer.clear();
            continue;
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        match field {
            "" => seen.push(Seen::Comment(value.to_owned())),
            "event" => event_type_buffer = value.to_owned(),
            "data" => {
                data_buffer.push_str(value);
                data_buffer.push('\n');
            }
            "id" if !value.contains('\0') => last_event_id_buffer = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                seen.push(Seen::Retry(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }
    (seen, last_event_id)
}
