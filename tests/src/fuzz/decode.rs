//! Any bytes under any limits: nothing panics, the limits hold, each call gets on, and a fixed buffer gives the same up to where it
//! is full.

use sse_proto::storage::{FixedScratch, Scratch};
use sse_proto::wire::{DecodeError, Decoder, Item, Limits};

use super::Choices;
use crate::decoding::{Seen, feed};

/// Two limits, the size of a buffer, the length of a chunk; the rest is the stream.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let limits = Limits { max_line: choices.one_of(&SIZES), max_event: choices.one_of(&SIZES) };
    let room = choices.one_of(&ROOMS);
    let chunk = 1 + usize::from(choices.byte());
    let stream = choices.rest();

    let as_text = decode(Decoder::new(limits), stream, chunk);
    assert_eq!(decode_raw(limits, stream, chunk), as_text, "text and bytes");
    let in_a_buffer = decode(Decoder::with_scratch(limits, FixedScratch::new(vec![0xAA; room])), stream, chunk);
    let until_full = in_a_buffer.iter().position(|seen| *seen == Seen::Error(DecodeError::BufferFull));
    match until_full {
        Some(until) => assert_eq!(in_a_buffer[..until], as_text[..until]),
        None => assert_eq!(in_a_buffer, as_text),
    }
}

fn decode(mut decoder: Decoder<impl Scratch>, stream: &[u8], chunk: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    for chunk in stream.chunks(chunk) {
        let before = seen.len();
        feed(&mut decoder, chunk, &mut seen);
        assert!(seen.len() - before <= chunk.len(), "more items than bytes");
        assert!(!decoder.last_event_id().contains(['\0', '\r', '\n']));
    }
    seen
}

fn decode_raw(limits: Limits, stream: &[u8], chunk: usize) -> Vec<Seen> {
    let mut decoder = Decoder::new(limits);
    let mut seen = Vec::new();
    for chunk in stream.chunks(chunk) {
        let mut feed = decoder.feed(chunk);
        let mut left = chunk.len();
        loop {
            match feed.next_raw() {
                Ok(None) => break,
                Ok(Some(item)) => {
                    // Text may be three times as long, where each byte is ill-formed.
                    let longest = limits.max_line.saturating_mul(3);
                    match &item {
                        Item::Event(event) => {
                            assert!(event.data.len() <= limits.max_event, "{} bytes of data", event.data.len());
                            assert!(event.event == "message" || event.event.len() <= longest);
                            assert!(event.last_event_id.len() <= longest);
                        }
                        Item::Comment(comment) => assert!(comment.len() < limits.max_line.max(1)),
                        Item::IdChanged(id) => assert!(id.len() <= longest),
                        Item::Retry(_) => {}
                    }
                    seen.push(item.into());
                }
                Err(error) => {
                    assert_ne!(error, DecodeError::BufferFull, "the heap has room");
                    seen.push(Seen::Error(error));
                }
            }
            assert!(chunk.ends_with(feed.remaining()) && feed.remaining().len() <= left);
            left = feed.remaining().len();
        }
        assert!(feed.remaining().is_empty());
    }
    seen
}

const SIZES: [usize; 8] = [usize::MAX, 0, 1, 5, 16, 64, 100, 4096];

const ROOMS: [usize; 6] = [0, 7, 8, 64, 512, 1 << 14];
