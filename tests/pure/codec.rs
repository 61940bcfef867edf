//! The encoder and the decoder where one piece of their work ends and the next begins.

use sse_proto::wire::{BufferTooSmall, Decoder, Encode, Event, Frame, IdField, Item, Limits};
use sse_tests::decoding::{Seen, feed};
use sse_tests::encoding::encode_every_way;

/// Breaks are looked for block by block: what ends in one may have begun in the one before, and others may follow.
#[test]
fn breaks_stand_at_every_border_and_others_behind_them() {
    for first in 0..=130 {
        for between in [0, 1, 2, 61, 62, 63, 64, 65, 130] {
            for (one, other) in [("\r\n", "\r\n"), ("\r\n", "\n"), ("\r", "\r\n"), ("\n", "\r")] {
                let (front, middle) = ("x".repeat(first), "y".repeat(between));
                let data = format!("{front}{one}{middle}{other}z");
                let expected = format!("data:{front}\ndata:{middle}\ndata:z\n\n");
                assert_eq!(String::from_utf8(encode_every_way(&Event::data(&data))).unwrap(), expected, "{data:?}");
            }
        }
    }
}

/// A long value is checked alone, and short ones ahead of where they are asked for: whatever was checked before, what lies whole in its
/// chunk takes no memory.
#[test]
fn what_lies_whole_in_its_chunk_is_borrowed_whatever_came_before() {
    let lengths = [2_000, 3, 0, 100, 1_023, 1_024, 1_025, 70, 5_000, 200];
    let data: Vec<_> = lengths.iter().map(|&len| "é".repeat(len / 2)).collect();
    let stream: String = data.iter().map(|data| format!("data:{data}\n\nevent:e\ndata:{data}\n\n")).collect();
    let mut decoder = Decoder::with_buffer(Limits::default(), [0; 64]);
    let mut feed = decoder.feed(stream.as_bytes());
    for data in &data {
        for name in ["message", "e"] {
            let Some(Item::Event(event)) = feed.next_item().unwrap() else { panic!("no event") };
            assert_eq!((event.event, event.data), (name, &**data));
        }
    }
    assert_eq!(feed.next_item(), Ok(None));
}

#[test]
fn an_id_is_told_when_it_becomes_another_and_only_then() {
    let mut seen = Vec::new();
    feed(&mut Decoder::new(Limits::default()), b"id:1\n\nid:2\n\nid:3\n\nid:3\n\nid\n\nid\n\n", &mut seen);
    assert_eq!(seen, ["1", "2", "3", ""].map(|id| Seen::IdChanged(id.to_owned())));
}

#[test]
fn a_frame_encoded_beforehand_takes_what_room_it_needs() {
    let frame = Frame::new(&Event { id: Some(IdField::new("1").unwrap()), ..Event::data("x") }, |len| vec![0; len]);
    let bytes = b"id:1\ndata:x\n\n";
    for room in 0..2 * bytes.len() {
        let mut out = vec![0xAA; room];
        let expected = if room < bytes.len() { Err(BufferTooSmall { needed: bytes.len() }) } else { Ok(bytes.len()) };
        assert_eq!(frame.encode(&mut out), expected, "in {room} bytes");
        assert!(expected.is_err() || out.starts_with(bytes));
    }
}

/// Whatever the buffer has besides would stand between this frame and the next.
#[test]
#[should_panic(expected = "the buffer has the length of the frame")]
fn a_frame_takes_no_buffer_that_is_longer() {
    let _ = Frame::new(&Event::data("x"), |_| [0; 16]);
}
