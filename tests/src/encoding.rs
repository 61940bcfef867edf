//! Events to send, what a client should see of them, and that every way to encode them gives the same bytes.

use sse_proto::storage::Scratch;
use sse_proto::wire::{BufferTooSmall, Decoder, Encode, Event, EventName, FieldError, FieldErrorKind, Frame, IdField, Limits};

use crate::decoding::{Seen, chunks, feed};

/// An [`Event`] that owns what it says. Its id and its name are lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// See [`Event::id`].
    pub id: Option<String>,
    /// See [`Event::event`].
    pub event: Option<String>,
    /// See [`Event::retry`].
    pub retry: Option<u32>,
    /// See [`Event::data`].
    pub data: Option<String>,
    /// See [`Event::comment`].
    pub comment: Option<String>,
}

impl Sent {
    fn event(&self) -> Event<'_> {
        Event {
            id: self.id.as_deref().map(|id| IdField::new(id).expect("an id is a line")),
            event: self.event.as_deref().map(|name| EventName::new(name).expect("a name is a line")),
            retry: self.retry,
            data: self.data.as_deref(),
            comment: self.comment.as_deref(),
        }
    }

    /// What a client sees: line breaks of every kind are LF, a name alone brings empty data, an empty name is `message`.
    fn seen(&self, last_event_id: &mut String, seen: &mut Vec<Seen>) {
        let joined = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
        seen.extend(self.retry.map(|ms| Seen::Retry(u64::from(ms))));
        if let Some(comment) = &self.comment {
            seen.extend(joined(comment).split('\n').map(|line| Seen::Comment(line.to_owned())));
        }
        let before = last_event_id.clone();
        if let Some(id) = &self.id {
            last_event_id.clone_from(id);
        }
        if self.data.is_some() || self.event.is_some() {
            seen.push(Seen::Event {
                event: self.event.clone().filter(|name| !name.is_empty()).unwrap_or("message".to_owned()),
                data: joined(self.data.as_deref().unwrap_or_default()),
                last_event_id: last_event_id.clone(),
            });
        } else if *last_event_id != before {
            seen.push(Seen::IdChanged(last_event_id.clone()));
        }
    }
}

/// `parse(encode(x)) == x`: the events one behind another, decoded whole, byte by byte, and cut at `cuts` of the stream's length.
pub fn check_round_trip(events: &[Sent], cuts: impl FnOnce(usize) -> Vec<usize>) {
    let (mut stream, mut expected, mut last_event_id) = (Vec::new(), Vec::new(), String::new());
    for sent in events {
        stream.extend(encode_every_way(&sent.event()));
        sent.seen(&mut last_event_id, &mut expected);
    }
    for cuts in [Vec::new(), cuts(stream.len()), (1..stream.len().max(1)).collect()] {
        let (mut decoder, mut seen) = (Decoder::new(Limits::default()), Vec::new());
        for chunk in chunks(&stream, &cuts) {
            feed(&mut decoder, chunk, &mut seen);
        }
        assert_eq!(seen, expected, "{events:?} cut at {cuts:?}");
        assert_at_rest(&mut decoder, &last_event_id);
    }
}

/// The bytes of `event`, which every way to encode it agrees on; none writes more or less than was said.
pub fn encode_every_way(event: &Event<'_>) -> Vec<u8> {
    let len = event.encoded_len();
    let mut exact = vec![0xAA; len];
    assert_eq!(event.encode(&mut exact), Ok(len));
    assert_eq!(event.encode(&mut vec![0; len - 1]), Err(BufferTooSmall { needed: len }));
    // Long enough for the way that does not look at the length first.
    let mut roomy = vec![0xAA; 8 * len + 64];
    assert_eq!(event.encode(&mut roomy), Ok(len));
    assert_eq!(roomy[..len], exact);
    assert!(roomy[len..].iter().all(|byte| *byte == 0xAA), "nothing is written behind it");

    let mut body = vec![0xAA; event.body_len()];
    assert_eq!(event.encode_body(&mut body), body.len());
    assert_eq!(event.encode_body(&mut vec![0; body.len() - 1]), body.len());
    assert!(event.max_body_len() >= body.len());
    assert!(exact.ends_with(&body) && (event.id.is_some() || exact == body));
    let mut vector = b"before".to_vec();
    event.encode_to(&mut vector);
    assert_eq!(&vector[b"before".len()..], exact);
    vector.truncate(b"before".len());
    event.encode_to_vec(&mut vector);
    assert_eq!(&vector[b"before".len()..], exact);
    let mut fixed = vec![0xAA; len];
    let mut slice = &mut fixed[..];
    event.encode_to(&mut slice);
    assert!(slice.is_empty());
    assert_eq!(fixed, exact);
    let mut pieces = Vec::new();
    event.pieces(|piece| pieces.extend_from_slice(piece));
    assert_eq!(pieces, exact);

    let frame = Frame::new(event, |len| vec![0xAA; len]);
    let mut again = vec![0xAA; frame.encoded_len()];
    assert_eq!((frame.encode(&mut again), frame.id()), (Ok(len), event.id));
    assert_eq!(again, exact);
    let mut again = vec![0xAA; frame.body_len()];
    assert_eq!(frame.encode_body(&mut again), body.len());
    assert_eq!(frame.encode_body(&mut again[1..]), body.len());
    assert_eq!(again, body);
    let mut appended = Vec::new();
    frame.encode_to(&mut appended);
    assert_eq!(appended, exact);
    exact
}

/// A name is refused for its first line break, an id for its first line break or NUL, and for nothing else.
pub fn check_fields(text: &str) {
    let first = |forbidden: &[char]| {
        text.find(forbidden).map(|position| FieldError {
            kind: if text[position..].starts_with('\0') { FieldErrorKind::Nul } else { FieldErrorKind::LineBreak },
            position,
        })
    };
    assert_eq!(EventName::new(text).map(EventName::as_str), first(&['\r', '\n']).map_or(Ok(text), Err));
    assert_eq!(IdField::new(text).map(IdField::as_str), first(&['\r', '\n', '\0']).map_or(Ok(text), Err));
}

/// Nothing of an event is left over: another one comes as if it were the first.
fn assert_at_rest(decoder: &mut Decoder<impl Scratch>, last_event_id: &str) {
    let mut seen = Vec::new();
    feed(decoder, b"data\n\n", &mut seen);
    let (event, last_event_id) = ("message".to_owned(), last_event_id.to_owned());
    assert_eq!(seen, [Seen::Event { event, data: String::new(), last_event_id }]);
}
