//! The decoder: the vectors of the standard, a naive twin, its bounds.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use sse_proto::storage::{FixedScratch, Scratch};
use sse_proto::wire::{DecodeError, Decoder, IdField, Item, Limits};
use sse_tests::decoding::{Seen, chunks, feed, feed_item_by_item, naive};
use sse_tests::encoding::{Sent, check_fields, check_round_trip};
use sse_tests::fuzz::decode_chunks::check;
use sse_tests::vectors::{Vector, vectors};

#[test]
fn every_vector_in_every_chunking() {
    for vector in vectors() {
        check_vector(&vector, &[]);
        check_vector(&vector, &(1..vector.input.len()).collect::<Vec<_>>());
        for cuts in &vector.chunkings {
            check_vector(&vector, cuts);
        }
        if vector.input.len() <= 512 {
            for cut in 0..=vector.input.len() {
                check_vector(&vector, &[cut]);
                check_vector(&vector, &[cut, cut]);
            }
        }
        let mut random = Random(0x5EED);
        for _ in 0..16 {
            check_vector(&vector, &random.cuts(vector.input.len()));
        }
        check_promptness(&vector);
    }
}

fn check_vector(vector: &Vector, cuts: &[usize]) {
    let mut seen = Vec::new();
    let mut decoder = seeded(vector.limits(), &vector.initial);
    for chunk in chunks(&vector.input, cuts) {
        feed(&mut decoder, chunk, &mut seen);
    }
    compare(vector, seen, &decoder, cuts);
    if vector.input.len() <= 4096 {
        let mut seen = Vec::new();
        let mut buffer = [0; 8192];
        let mut decoder = Decoder::with_buffer(vector.limits(), &mut buffer[..]);
        decoder.set_last_event_id(IdField::new(&vector.initial).unwrap()).unwrap();
        for chunk in chunks(&vector.input, cuts) {
            feed_item_by_item(&mut decoder, chunk, &mut seen);
        }
        compare(vector, seen, &decoder, cuts);
    }
}

fn compare(vector: &Vector, seen: Vec<Seen>, decoder: &Decoder<impl Scratch>, cuts: &[usize]) {
    let at = || format!("{} cut at {:?}", vector.name, &cuts[..cuts.len().min(8)]);
    let retry = seen.iter().rev().find_map(|item| if let Seen::Retry(ms) = item { Some(*ms) } else { None });
    assert!(vector.retries.contains(&retry), "{}: retry {retry:?}", at());
    assert!(decoder.last_event_id() == vector.last_event_id, "{}: {:?}", at(), decoder.last_event_id());
    let errors = seen.iter().filter(|item| matches!(item, Seen::Error(_))).count();
    assert_eq!(errors, vector.errors, "{}", at());
    let events: Vec<Seen> = seen.into_iter().filter(|item| matches!(item, Seen::Event { .. })).collect();
    assert!(events == vector.events, "{}: {events:.2000?}", at());
}

/// Every event comes with the byte that the vector names.
fn check_promptness(vector: &Vector) {
    for (index, &after) in vector.deliverable_after.iter().enumerate() {
        let mut seen = Vec::new();
        feed(&mut seeded(vector.limits(), &vector.initial), &vector.input[..after], &mut seen);
        assert!(seen.get(index) == Some(&vector.events[index]), "{}: event {index} late", vector.name);
    }
}

#[test]
fn an_event_comes_with_the_first_byte_that_ends_it() {
    for (input, ready) in [("data: a\n\n", 9), ("data: a\r\n\r\n", 10), ("data: a\r\r", 9), ("id: 7\n\n", 7), (": x\r\n", 4)] {
        let mut decoder = Decoder::new(Limits::default());
        let mut seen = Vec::new();
        for (index, byte) in input.bytes().enumerate() {
            feed(&mut decoder, &[byte], &mut seen);
            assert_eq!(seen.len(), usize::from(index + 1 >= ready), "{input:?} after {} bytes", index + 1);
        }
    }
}

#[test]
fn comments_retry_and_ids_are_told_in_their_place() {
    let input = b"data: a\n: c\nretry: 5\nid: 1\n\nid: 2\n\nid: 2\n\nid\n\n:\n\n";
    let mut seen = Vec::new();
    feed(&mut Decoder::new(Limits::default()), input, &mut seen);
    let expected = [
        Seen::Comment("c".into()),
        Seen::Retry(5),
        Seen::Event { event: "message".into(), data: "a".into(), last_event_id: "1".into() },
        Seen::IdChanged("2".into()),
        Seen::IdChanged("".into()),
        Seen::Comment("".into()),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn raw_data_is_what_was_sent() {
    let mut decoder = Decoder::new(Limits::default());
    let mut feed = decoder.feed(b"data: \xFF\n\n");
    let Some(Item::Event(event)) = feed.next_raw().unwrap() else { panic!("no event") };
    assert_eq!(event.data, b"\xFF");
}

#[test]
fn a_restart_keeps_the_id_and_drops_the_rest() {
    let mut decoder = Decoder::new(Limits::default());
    let mut seen = Vec::new();
    feed(&mut decoder, b"id: 1\n\nid: 2\nevent: e\ndata: a\ndata: b\r", &mut seen);
    decoder.restart();
    feed(&mut decoder, b"\xEF\xBB", &mut seen);
    feed(&mut decoder, b"\xBF\ndata: c\n\n", &mut seen);
    let event = Seen::Event { event: "message".into(), data: "c".into(), last_event_id: "1".into() };
    decoder.restart();
    feed(&mut decoder, b"data: unfinished", &mut seen);
    decoder.restart();
    feed(&mut decoder, b"\xEF\xBBdata: not a field\ndata: c\n\n", &mut seen);
    assert_eq!(seen, [Seen::IdChanged("1".into()), event.clone(), event]);
}

#[test]
fn over_a_limit_it_says_so_and_goes_on_behind() {
    let limits = Limits { max_line: 16, max_event: 20 };
    let event = |data: &str| Seen::Event { event: "message".into(), data: data.into(), last_event_id: "".into() };
    for (input, expected) in [
        ("data: 0123456789\n\n", vec![event("0123456789")]),
        ("data: 0123456789a\n\ndata: y\n\n", vec![Seen::Error(DecodeError::LineTooLong), event("y")]),
        ("data: 0123456789a\ndata: x\n\ndata: y\n\n", vec![Seen::Error(DecodeError::LineTooLong), event("y")]),
        (": 0123456789012345\r\r\ndata: y\r\n\r\n", vec![Seen::Error(DecodeError::LineTooLong), event("y")]),
        ("data:0123456789\ndata:123456789\n\n", vec![event("0123456789\n123456789")]),
        (
            "id: 1\ndata:0123456789\ndata:0123456789\nid: 2\nevent: e\n\n\ndata: y\n\n",
            vec![Seen::Error(DecodeError::EventTooLong), event("y")],
        ),
    ] {
        let mut random = Random(7);
        for round in 0..200 {
            let cuts = match round {
                0 => Vec::new(),
                1 => (1..input.len()).collect(),
                _ => random.cuts(input.len()),
            };
            let (mut decoder, mut seen) = (Decoder::new(limits), Vec::new());
            for chunk in chunks(input.as_bytes(), &cuts) {
                feed(&mut decoder, chunk, &mut seen);
            }
            assert_eq!(seen, expected, "{input:?} cut at {cuts:?}");
            assert_eq!(decoder.last_event_id(), "");
        }
    }
}

/// The fuzzer found that an empty data line passed where none is short enough.
#[test]
fn a_limit_below_the_shortest_data_line_holds() {
    let event = Seen::Event { event: "message".into(), data: "".into(), last_event_id: "".into() };
    for (max_line, expected) in [(4, Seen::Error(DecodeError::LineTooLong)), (5, event)] {
        let mut decoder = Decoder::new(Limits { max_line, ..Limits::default() });
        let mut seen = Vec::new();
        feed(&mut decoder, b":\ndata:\n\n", &mut seen);
        assert_eq!(seen, [Seen::Comment(String::new()), expected]);
    }
}

#[test]
fn a_limit_on_events_holds_for_one_line_too() {
    for (input, expected) in [
        (
            "data: 01234567\n\n",
            vec![Seen::Event { event: "message".into(), data: "01234567".into(), last_event_id: "".into() }],
        ),
        ("data: 012345678\n\n", vec![Seen::Error(DecodeError::EventTooLong)]),
    ] {
        for cut in 0..=input.len() {
            let (mut decoder, mut seen) = (Decoder::new(Limits { max_line: 64, max_event: 8 }), Vec::new());
            for chunk in chunks(input.as_bytes(), &[cut]) {
                feed(&mut decoder, chunk, &mut seen);
            }
            assert_eq!(seen, expected, "{input:?} cut at {cut}");
        }
    }
}

/// Of chunks of this size as much is kept before it is searched as whole steps take, and where those begin is the memory's affair.
#[test]
fn a_limit_on_lines_holds_before_a_large_chunk_is_kept() {
    for len in 4096..4096 + 256 {
        let (mut decoder, mut seen) = (Decoder::new(Limits { max_line: 3 * len - 1, ..Limits::default() }), Vec::new());
        let chunk = vec![b'x'; len];
        feed(&mut decoder, &[b"data:", &chunk[5..]].concat(), &mut seen);
        feed(&mut decoder, &chunk, &mut seen);
        assert_eq!(seen, []);
        feed(&mut decoder, &chunk, &mut seen);
        assert_eq!(seen, [Seen::Error(DecodeError::LineTooLong)], "{len}");
    }
}

#[test]
fn a_fixed_buffer_refuses_only_what_does_not_fit() {
    let mut decoder = Decoder::with_buffer(Limits::default(), [0; 64]); // 40 bytes of text, 8 a slot.
    let mut seen = Vec::new();
    let long = "x".repeat(100);
    feed(&mut decoder, format!("data: {long}\n\n").as_bytes(), &mut seen);
    feed(&mut decoder, format!("data: {long}").as_bytes(), &mut seen);
    feed(&mut decoder, b"\n\ndata: 0123456789", &mut seen);
    feed(&mut decoder, format!("{long}\n\nevent: a\n\n").as_bytes(), &mut seen);
    feed(&mut decoder, b"event: ninebytes\ndata\n\nid: 123456789\n\nid: 12345678\ndata: ", &mut seen);
    feed(&mut decoder, b"y\n\ndata: \xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\n\ndata: z\n\n", &mut seen);
    let event =
        |event: &str, data: &str, id: &str| Seen::Event { event: event.into(), data: data.into(), last_event_id: id.into() };
    let full = || Seen::Error(DecodeError::BufferFull);
    let expected = [
        event("message", &long, ""),
        full(),
        full(),
        event("ninebytes", "", ""), // Borrowed: it lies whole in its chunk.
        full(),
        event("message", "y", "12345678"),
        full(),
        event("message", "z", "12345678"),
    ];
    assert_eq!(seen, expected);
}

/// Whoever comes back asks for it again.
#[test]
fn an_event_that_does_not_fit_leaves_the_last_event_id_as_it_was() {
    let ill_formed = [&b"id: 2\ndata: "[..], &[0xFF; 14], b"\n\n"].concat();
    for cut in 0..=ill_formed.len() {
        let mut decoder = Decoder::with_buffer(Limits::default(), [0; 64]); // 40 bytes of text.
        let mut seen = Vec::new();
        // The last id stands in either of two places by turns.
        for id in ["0", "1"] {
            feed(&mut decoder, format!("id: {id}\ndata\n\n").as_bytes(), &mut seen);
            for chunk in chunks(&ill_formed, &[cut]) {
                feed(&mut decoder, chunk, &mut seen);
            }
            assert_eq!((seen.last(), decoder.last_event_id()), (Some(&Seen::Error(DecodeError::BufferFull)), id), "{cut}");
            feed(&mut decoder, b"data: z\n\n", &mut seen);
            assert!(matches!(seen.last(), Some(Seen::Event { last_event_id, .. }) if last_event_id == id), "{cut}");
        }
    }
}

#[test]
fn a_comment_that_grows_too_long_is_passed_over_alone() {
    let input = [&b"data: z\n: "[..], &[0xFF; 14], b"\n\n"].concat();
    for cut in 0..=input.len() {
        let mut decoder = Decoder::with_buffer(Limits::default(), [0; 64]); // 40 bytes of text.
        let mut seen = Vec::new();
        for chunk in chunks(&input, &[cut]) {
            feed(&mut decoder, chunk, &mut seen);
        }
        let event = Seen::Event { event: "message".into(), data: "z".into(), last_event_id: String::new() };
        assert_eq!(seen, [Seen::Error(DecodeError::BufferFull), event], "{cut}");
    }
}

#[test]
fn long_lines_are_put_together_wherever_they_are_cut() {
    let input = format!(
        "data: {}\ndata: {}\nevent: {}\ndata:{}\n\n",
        "é".repeat(120),
        "b".repeat(250),
        "n".repeat(200),
        "…".repeat(90)
    );
    for input in
        [input.replace('\n', "\r\n").into_bytes(), input.clone().into_bytes(), input.replace('…', "\u{1}").into_bytes()]
    {
        let expected = naive(&input, "");
        for cut in 0..=input.len() {
            for next in [cut, cut + 70, cut + 200, input.len()] {
                let (mut decoder, mut seen) = (Decoder::new(Limits::default()), Vec::new());
                for chunk in chunks(&input, &[cut, next.min(input.len())]) {
                    feed(&mut decoder, chunk, &mut seen);
                }
                assert_eq!((seen, String::new()), expected, "cut at {cut} and {next}");
            }
        }
    }
}

/// With characters of several bytes, and with ill-formed ones, before and behind what is checked when the line has become long, and
/// around the ends of chunks.
#[test]
fn a_line_that_becomes_long_in_packets_is_whole() {
    for (size, odd) in
        [1200, 1300, 1400, 2049].into_iter().flat_map(|size| ["€".as_bytes(), b"\xE2\x82", b"\xFF"].map(|odd| (size, odd)))
    {
        let around = |chunk: usize| [3, 2, 1, 0].map(|before| chunk * size - before);
        for at in [&[7][..], &around(9), &around(17 * 1024 / size), &around(21 * 1024 / size)].concat() {
            let mut input = [b"data: ", &[b'x'; 30_000][..], b"\n\ndata: y\n\n"].concat();
            input.splice(at..at, odd.iter().copied());
            let (mut decoder, mut seen) = (Decoder::new(Limits::default()), Vec::new());
            for chunk in input.chunks(size) {
                feed(&mut decoder, chunk, &mut seen);
            }
            assert!((seen, String::new()) == naive(&input, ""), "{odd:?} at {at} in chunks of {size}");
        }
    }
}

/// Lines around the length of a block, of a batch of blocks and of what counts as long, with every line end, with characters of
/// several bytes and with ill-formed ones, in chunks of sizes around the same borders.
#[test]
fn line_ends_are_found_at_every_border_of_blocks() {
    for (ends, filler) in ["\n", "\r\n", "\r"]
        .into_iter()
        .flat_map(|ends| [b"x".as_slice(), "…".as_bytes(), b"\xFFy", b"\x0B"].map(|filler| (ends, filler)))
    {
        let mut input = Vec::new();
        for len in
            [0, 1, 56, 57, 58, 63, 64, 65, 120, 500, 1018, 1024, 1100, 2040, 2048, 2100, 3000, 0, 5000, 13_000, 1, 62, 63]
        {
            input.extend_from_slice(b"data: ");
            filler.iter().cycle().take(len).for_each(|byte| input.push(*byte));
            input.extend_from_slice(ends.as_bytes());
            if len % 2 == 0 {
                input.extend_from_slice(ends.as_bytes());
            }
        }
        let expected = naive(&input, "");
        for size in
            [1, 2, 15, 16, 31, 32, 33, 63, 64, 65, 100, 128, 255, 300, 1023, 1025, 1400, 2047, 2048, 2049, 4096, input.len()]
        {
            for first in [0, 1, 7, 64] {
                let cuts: Vec<usize> = (first..input.len()).step_by(size).collect();
                let (mut decoder, mut seen) = (Decoder::new(Limits::default()), Vec::new());
                for chunk in chunks(&input, &cuts) {
                    feed(&mut decoder, chunk, &mut seen);
                }
                assert!((seen, String::new()) == expected, "{ends:?}, {filler:?} in chunks of {size} from {first}");
                let mut decoder = Decoder::with_scratch(Limits::default(), FixedScratch::new(vec![0; 1 << 16]));
                let mut seen = Vec::new();
                for chunk in chunks(&input, &cuts) {
                    feed_item_by_item(&mut decoder, chunk, &mut seen);
                }
                assert!(
                    (seen, String::new()) == expected,
                    "{ends:?}, {filler:?} in chunks of {size} from {first}, item by item"
                );
            }
        }
    }
}

/// Minutes of the processor when it is quadratic, milliseconds when it is not: what is asked is only on which side of seconds it is.
#[test]
fn no_input_makes_it_quadratic() {
    let ill_formed_at_the_end = [b"data: x\n\n".repeat(1 << 19).as_slice(), b"data: \xFF\n\n"].concat();
    let ids_in_a_large_event =
        [b"data: ".as_slice(), &[b'x'; 1 << 20], b"\n", &b"id: 1\nid: 22\nevent: e\ndata\n".repeat(1 << 15)].concat();
    for (input, chunk) in [
        (&ill_formed_at_the_end, usize::MAX),
        (&ill_formed_at_the_end, 1),
        (&ids_in_a_large_event, 7),
        (&vec![b'x'; 4 << 20], 1),
        (&b": c\n".repeat(1 << 20), 3),
    ] {
        let start = processor_time();
        let mut decoder = Decoder::new(Limits::default());
        for chunk in input.chunks(chunk) {
            let mut feed = decoder.feed(chunk);
            while feed.next_item().unwrap().is_some() {}
        }
        let head = String::from_utf8_lossy(&input[..16]);
        let taken = processor_time() - start;
        assert!(taken.as_secs() < 2, "{head:?} in chunks of {chunk} took {taken:?}");
    }
}

/// What this thread has had, however busy the machine is with others.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

proptest! {
    /// Under limits too: what is over them, and what that does to the rest of the stream, does not depend on the chunking.
    #[test]
    fn agrees_with_the_naive_twin(
        pieces in vec(any_piece(), 0..40),
        initial in "[a-c]{0,2}",
        limits in prop::option::of((0..40usize, 0..60usize)),
        seed in any::<u64>(),
    ) {
        let input = pieces.concat();
        let limits = limits.map_or(Limits::default(), |(max_line, max_event)| Limits { max_line, max_event });
        let mut random = Random(seed | 1);
        for _ in 0..2 {
            check(limits, &initial, &input, &random.cuts(input.len()));
        }
    }

    /// A small buffer gives what the heap gives, up to where it is full.
    #[test]
    fn a_fixed_buffer_agrees_until_it_is_full(pieces in vec(any_piece(), 0..40), room in 0..200usize, seed in any::<u64>()) {
        let input = pieces.concat();
        let cuts = Random(seed | 1).cuts(input.len());
        let (mut heap, mut expected) = (Decoder::new(Limits::default()), Vec::new());
        let (mut fixed, mut seen) = (Decoder::with_buffer(Limits::default(), vec![0xAA; room]), Vec::new());
        for chunk in chunks(&input, &cuts) {
            feed(&mut heap, chunk, &mut expected);
            feed(&mut fixed, chunk, &mut seen);
        }
        let full = seen.iter().position(|seen| *seen == Seen::Error(DecodeError::BufferFull));
        match full {
            Some(until) => prop_assert_eq!(&seen[..until], &expected[..until]),
            None => prop_assert_eq!((seen, fixed.last_event_id()), (expected, heap.last_event_id())),
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_what_was_meant(events in vec(any_event(), 0..8), seed in any::<u64>()) {
        check_round_trip(&events, |len| Random(seed | 1).cuts(len));
    }

    #[test]
    fn a_field_is_refused_where_the_first_character_is_that_breaks_it(text in "(?s).{0,4}[\r\n\0]?.{0,4}[\r\n\0]?é?") {
        check_fields(&text);
    }
}

/// Bytes that mean something here, and bytes that do not.
fn any_piece() -> impl Strategy<Value = Vec<u8>> {
    let meaningful = prop::sample::select(vec![
        &b"\n"[..],
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data",
        b"data:",
        b"data: ",
        b"event:",
        b"event: ",
        b"id:",
        b"id: ",
        b"id",
        b"retry:",
        b"retry: ",
        b"12",
        b"99999999999999999999",
        b":",
        b": ",
        b" ",
        b"a",
        b"b",
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xBB",
        b"\xE2\x82\xAC",
        b"\xE2\x82",
        b"\xAC",
        b"\xF0\x9F\x98\x80",
        b"\xF0\x9F",
        b"\x98",
        b"\xFF",
        b"\xC3",
    ]);
    prop_oneof![
        8 => meaningful.prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..8),
        1 => (0..300usize).prop_map(|len| vec![b'x'; len]),
        1 => (0..100usize).prop_map(|len| "€".repeat(len).into_bytes()),
    ]
}

fn any_event() -> impl Strategy<Value = Sent> {
    let id = prop::option::of("[^\r\n\0]{0,12}");
    let name = prop::option::of("[^\r\n]{0,12}");
    let text = || prop::option::of(prop_oneof!["[ :a\r\n\0\u{FEFF}\u{20AC}]{0,20}", "(?s).{0,90}"]);
    (id, name, any::<Option<u32>>(), text(), text()).prop_map(|(id, event, retry, data, comment)| Sent {
        id,
        event,
        retry,
        data,
        comment,
    })
}

fn seeded(limits: Limits, last_event_id: &str) -> Decoder<impl Scratch> {
    let mut decoder = Decoder::new(limits);
    decoder.set_last_event_id(IdField::new(last_event_id).unwrap()).unwrap();
    decoder
}

/// Xorshift: enough to cut at, and the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn cuts(&mut self, len: usize) -> Vec<usize> {
        let count = self.below(12);
        let mut cuts: Vec<usize> = (0..count).map(|_| self.below(len + 1)).collect();
        cuts.sort_unstable();
        cuts
    }
}
