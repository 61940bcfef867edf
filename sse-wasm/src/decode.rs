//! Decoding: a chunk goes in, all it completed comes out at once.
//!
//! Texts of all items of a chunk are one string, and where they end is one list of numbers: crossing to JavaScript costs the same
//! for one event and for a hundred.

use alloc::string::String;
use alloc::vec::Vec;

use sse_proto::storage::HeapScratch;
use sse_proto::wire::{DecodeError, Decoder, IdField, Item, Limits};
use wasm_bindgen::prelude::wasm_bindgen;

/// Kinds of items, the first of four numbers for each: kind, and the lengths in UTF-16 units of its texts.
const EVENT: u32 = 0;
const COMMENT: u32 = 1;
const RETRY: u32 = 2;
const ID: u32 = 3;
const FAILURE: u32 = 4;

/// Decodes one stream.
#[wasm_bindgen(js_name = StreamDecoder)]
pub struct StreamDecoder {
    decoder: Decoder<HeapScratch>,
    items: Vec<u32>,
    texts: String,
}

#[wasm_bindgen(js_class = StreamDecoder)]
impl StreamDecoder {
    /// A decoder with these limits in bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(max_line: u32, max_event: u32) -> Self {
        let limits = Limits { max_line: max_line as usize, max_event: max_event as usize };
        Self { decoder: Decoder::new(limits), items: Vec::new(), texts: String::new() }
    }

    /// Takes a chunk; the number of items that it completed.
    pub fn feed(&mut self, chunk: &[u8]) -> u32 {
        self.items.clear();
        self.texts.clear();
        let mut feed = self.decoder.feed(chunk);
        loop {
            let (kind, texts) = match feed.next_item() {
                Ok(None) => break,
                Ok(Some(Item::Event(event))) => (EVENT, [event.event, event.data, event.last_event_id]),
                Ok(Some(Item::Comment(comment))) => (COMMENT, [comment, "", ""]),
                Ok(Some(Item::IdChanged(id))) => (ID, [id, "", ""]),
                Ok(Some(Item::Retry(millis))) => {
                    let millis = u32::try_from(millis).unwrap_or(u32::MAX);
                    self.items.extend([RETRY, millis, 0, 0]);
                    continue;
                }
                Err(error) => (FAILURE, [failure(error), "", ""]),
            };
            self.items.push(kind);
            for text in texts {
                self.items.push(text.chars().map(char::len_utf16).sum::<usize>() as u32);
                self.texts.push_str(text);
            }
        }
        (self.items.len() / 4) as u32
    }

    /// Four numbers for each item of the last chunk.
    pub fn items(&self) -> Vec<u32> {
        self.items.clone()
    }

    /// The texts of all of them, one behind the other.
    pub fn texts(&self) -> String {
        self.texts.clone()
    }

    /// Makes ready for another stream; the last event id stays.
    pub fn restart(&mut self) {
        self.decoder.restart();
    }

    /// What a client sends as `Last-Event-ID`.
    #[wasm_bindgen(js_name = lastEventId)]
    pub fn last_event_id(&self) -> String {
        self.decoder.last_event_id().into()
    }

    /// Sets it; false when it cannot be one.
    #[wasm_bindgen(js_name = setLastEventId)]
    pub fn set_last_event_id(&mut self, id: &str) -> bool {
        IdField::new(id).is_ok_and(|id| self.decoder.set_last_event_id(id).is_ok())
    }
}

fn failure(error: DecodeError) -> &'static str {
    match error {
        DecodeError::LineTooLong => "line-too-long",
        DecodeError::EventTooLong => "event-too-long",
        DecodeError::BufferFull => "buffer-full",
    }
}
