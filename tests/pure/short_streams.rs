//! Every short stream there is, whole and byte by byte, behind an event that is whole: what the naive twin says.

use sse_proto::wire::{Decoder, Limits};
use sse_tests::decoding::{chunks, feed, feed_item_by_item, naive_within};

/// What streams are made of: pieces that the decoder tells apart, and some that it must not.
const PIECES: [&str; 12] = ["data:", "data", "id:", "event:", "retry:", "\n", "\n\n", "\r", " ", "x", "1", "\0"];

/// So many pieces in a stream.
const LENGTH: u32 = 4;

#[test]
fn decode_as_the_naive_twin_says() {
    for limits in [Limits::default(), Limits { max_line: 7, max_event: 3 }] {
        for number in 0..PIECES.len().pow(LENGTH) {
            check(limits, &stream(number));
        }
    }
}

fn stream(mut number: usize) -> String {
    // What comes first in a stream is not what comes later: there may be a byte order mark.
    let mut stream = "data:\n\n".to_owned();
    for _ in 0..LENGTH {
        stream += PIECES[number % PIECES.len()];
        number /= PIECES.len();
    }
    stream + "\n\ndata\n\n"
}

fn check(limits: Limits, stream: &str) {
    let expected = naive_within(limits, stream.as_bytes(), "", |_| true);
    let bytes: Vec<_> = (1..stream.len()).collect();
    for cuts in [&[][..], &bytes] {
        let mut decoder = Decoder::new(limits);
        let mut seen = Vec::new();
        for chunk in chunks(stream.as_bytes(), cuts) {
            feed(&mut decoder, chunk, &mut seen);
        }
        assert_eq!((seen, decoder.last_event_id()), (expected.0.clone(), &*expected.1), "{stream:?} cut at {cuts:?}");
    }
    let mut decoder = Decoder::with_buffer(limits, [0; 512]);
    let mut seen = Vec::new();
    feed_item_by_item(&mut decoder, stream.as_bytes(), &mut seen);
    assert_eq!((seen, decoder.last_event_id()), (expected.0, &*expected.1), "{stream:?} item by item");
}
