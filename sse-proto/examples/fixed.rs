//! Decoding without an allocator: the stream comes in pieces of any size, and one buffer of a kilobyte holds what straddles them.
//!
//! ```sh
//! cargo run -p sse-proto --example fixed
//! ```
//!
//! `decode` below is what a microcontroller would run: no heap, no copy of an event that lies whole in one piece. Only `main`, which
//! stands for the radio and the display, needs an operating system.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use sse_proto::wire::{DecodeError, Decoder, Item, Limits};

fn main() {
    let stream =
        "retry: 5000\n\n: 21 °C outside\nid: 17\nevent: heating\ndata: on\n\ndata: a frame that is\ndata: much too long: ";
    let stream = [stream, &"z".repeat(2_000), "\n\nid: 18\nevent: heating\ndata: off\n\n"].concat();
    let mut lamp = false;
    let last = decode(stream.as_bytes().chunks(23), |name, data| {
        println!("{name}: {data}");
        if name == "heating" {
            lamp = data == "on";
        }
    });
    println!("the lamp is {}, and the stream would be resumed behind {}", if lamp { "on" } else { "off" }, last.as_str());
}

/// Hands every event to `on_event`, and returns the last event id.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>, mut on_event: impl FnMut(&str, &str)) -> Id {
    // Five eighths of it for the unfinished event, one each for its name and two ids.
    let mut decoder = Decoder::with_buffer(Limits::default(), [0; 1024]);
    for piece in pieces {
        let mut feed = decoder.feed(piece);
        loop {
            match feed.next_item() {
                Ok(Some(Item::Event(event))) => on_event(event.event, event.data),
                Ok(Some(Item::Comment(_) | Item::Retry(_) | Item::IdChanged(_))) => {}
                Ok(None) => break,
                // This event is lost and the next one will come.
                Err(DecodeError::BufferFull | DecodeError::LineTooLong | DecodeError::EventTooLong) => on_event("lost", ""),
            }
        }
    }
    Id::copy_of(decoder.last_event_id())
}

/// An id in memory of its own: as long as the decoder's can be.
struct Id {
    bytes: [u8; 128],
    len: usize,
}

impl Id {
    fn copy_of(id: &str) -> Self {
        let mut bytes = [0; 128];
        bytes[..id.len()].copy_from_slice(id.as_bytes());
        Self { bytes, len: id.len() }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}
