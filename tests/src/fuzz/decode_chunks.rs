//! Any bytes in any chunks: always what the naive twin says, with limits and without, told of ids elsewhere, and in another stream after.

use sse_proto::storage::{FixedScratch, Scratch};
use sse_proto::wire::{Decoder, IdField, Limits};

use super::{Choices, cuts};
use crate::decoding::{Seen, chunks, feed, feed_item_by_item, naive_told, naive_within};

/// Two limits, an id to begin with, places to cut at; the rest is the stream.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let limits = Limits { max_line: choices.one_of(&SIZES), max_event: choices.one_of(&SIZES) };
    let initial = choices.one_of(&["", "a", "before"]);
    let places = choices.places();
    let stream = choices.rest();
    check(limits, initial, stream, &cuts(&places, stream.len()));
}

/// Whole, at `cuts`, byte by byte, and, when it is short, at every place with an empty chunk in between; another time with an id told at
/// each of `cuts`, and begun anew there.
pub fn check(limits: Limits, initial: &str, stream: &[u8], cuts: &[usize]) {
    let expected = naive_within(limits, stream, initial, |_| true);
    let check = |cuts: &[usize]| {
        let heap = decode(Decoder::new(limits), initial, stream, cuts, feed);
        assert_eq!(heap, expected, "{:?} cut at {cuts:?}", String::from_utf8_lossy(stream));
        // Room for all of it three times over, in each of its parts.
        let scratch = FixedScratch::new(vec![0xAA; 64 + 8 * 4 * (initial.len() + stream.len())]);
        let fixed = decode(Decoder::with_scratch(limits, scratch), initial, stream, cuts, feed_item_by_item);
        assert_eq!(fixed, expected, "{:?} cut at {cuts:?}, in a buffer", String::from_utf8_lossy(stream));
    };
    check(&[]);
    check(cuts);
    check_interrupted(limits, stream, cuts);
    check(&(1..stream.len().max(1)).collect::<Vec<_>>());
    if stream.len() <= SHORT {
        for cut in 0..=stream.len() {
            check(&[cut, cut]);
        }
    }
}

/// The decoder is told of an id at each of `cuts`. Then a stream that is cut off there is followed by another one, which is whole.
fn check_interrupted(limits: Limits, stream: &[u8], cuts: &[usize]) {
    let ids = ["told", "", "a"];
    let told: Vec<_> = cuts.iter().copied().zip(ids.into_iter().cycle()).collect();
    let (mut decoder, mut seen) = (Decoder::new(limits), Vec::new());
    for (index, chunk) in chunks(stream, cuts).into_iter().enumerate() {
        if let Some((_, id)) = index.checked_sub(1).map(|before| told[before]) {
            decoder.set_last_event_id(IdField::new(id).expect("an id is a line")).expect("there is room for it");
        }
        feed(&mut decoder, chunk, &mut seen);
    }
    let found = (seen, decoder.last_event_id().to_owned());
    assert_eq!(found, naive_told(limits, stream, &told, |_| true), "{:?} told {told:?}", String::from_utf8_lossy(stream));

    for &cut in cuts {
        let (mut decoder, mut seen) = (Decoder::new(limits), Vec::new());
        feed(&mut decoder, &stream[..cut], &mut seen);
        decoder.restart();
        feed(&mut decoder, stream, &mut seen);
        let (mut expected, id) = naive_within(limits, &stream[..cut], "", |_| true);
        let (more, id) = naive_within(limits, stream, &id, |_| true);
        expected.extend(more);
        let found = (seen, decoder.last_event_id().to_owned());
        assert_eq!(found, (expected, id), "{:?} begun anew at {cut}", String::from_utf8_lossy(stream));
    }
}

fn decode<S: Scratch>(
    mut decoder: Decoder<S>,
    initial: &str,
    stream: &[u8],
    cuts: &[usize],
    feed: impl Fn(&mut Decoder<S>, &[u8], &mut Vec<Seen>),
) -> (Vec<Seen>, String) {
    let id = IdField::new(initial).expect("an id is a line");
    decoder.set_last_event_id(id).expect("there is room for it");
    let mut seen = Vec::new();
    for chunk in chunks(stream, cuts) {
        feed(&mut decoder, chunk, &mut seen);
    }
    (seen, decoder.last_event_id().to_owned())
}

const SIZES: [usize; 8] = [usize::MAX, usize::MAX, 0, 3, 9, 20, 70, 300];

const SHORT: usize = 40;
