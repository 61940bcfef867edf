//! The decoder: the vectors of the standard, a naive twin, its bounds.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use sse_proto::storage::{FixedScratch, Scratch};
use sse_proto::wire::{DecodeError, Decoder, Encode, Event, EventName, IdField, Item, Limits};
use sse_tests::decoding::{Seen, chunks, feed, feed_item_by_item, naive};

#[test]
fn every_vector_in_every_chunking() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/decoder-vectors.json")).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 168);
    for vector in vectors {
        let vector = Vector::parse(vector);
        vector.check(&[]);
        vector.check(&(1..vector.input.len()).collect::<Vec<_>>());
        for cuts in &vector.chunkings {
            vector.check(cuts);
        }
        if vector.input.len() <= 512 {
            for cut in 0..=vector.input.len() {
                vector.check(&[cut]);
                vector.check(&[cut, cut]);
            }
        }
        let mut random = Random(0x5EED);
        for _ in 0..16 {
            vector.check(&random.cuts(vector.input.len()));
        }
        vector.check_promptness();
    }
}

struct Vector {
    name: String,
    input: Vec<u8>,
    chunkings: Vec<Vec<usize>>,
    initial: String,
    events: Vec<Seen>,
    last_event_id: String,
    retries: Vec<Option<u64>>,
    deliverable_after: Vec<usize>,
}

impl Vector {
    fn parse(json: &Value) -> Self {
        let input = match &json["input_base64"] {
            Value::String(text) => base64(text),
            _ => {
                let parts = json["input_parts"].as_array().unwrap().iter();
                parts.flat_map(|part| base64(part["base64"].as_str().unwrap()).repeat(size(&part["repeat"]))).collect()
            }
        };
        let expected = &json["expected"];
        let events = expected["events"].as_array().unwrap().iter();
        Self {
            name: json["name"].as_str().unwrap().to_owned(),
            input,
            chunkings: list(&json["chunkings"]).map(|cuts| list(cuts).map(size).collect()).collect(),
            initial: json["initial_last_event_id"].as_str().unwrap_or_default().to_owned(),
            events: events
                .map(|event| Seen::Event {
                    event: event["type"].as_str().unwrap().to_owned(),
                    data: text(event, "data", "data_parts"),
                    last_event_id: text(event, "last_event_id", "last_event_id_parts"),
                })
                .collect(),
            last_event_id: text(expected, "final_last_event_id", "final_last_event_id_parts"),
            retries: match &expected["retry_ms_any_of"] {
                Value::Array(any) => any.iter().map(Value::as_u64).collect(),
                _ => vec![expected["retry_ms"].as_u64()],
            },
            deliverable_after: list(&json["deliverable_after"]).map(size).collect(),
        }
    }

    fn check(&self, cuts: &[usize]) {
        let mut seen = Vec::new();
        let mut decoder = seeded(Limits::default(), &self.initial);
        for chunk in chunks(&self.input, cuts) {
            feed(&mut decoder, chunk, &mut seen);
        }
        self.compare(seen, &decoder, cuts);
        if self.input.len() <= 4096 {
            let mut seen = Vec::new();
            let mut buffer = [0; 8192];
            let mut decoder = Decoder::with_buffer(Limits::default(), &mut buffer[..]);
            decoder.set_last_event_id(IdField::new(&self.initial).unwrap()).unwrap();
            for chunk in chunks(&self.input, cuts) {
                feed_item_by_item(&mut decoder, chunk, &mut seen);
            }
            self.compare(seen, &decoder, cuts);
        }
    }

    fn compare(&self, seen: Vec<Seen>, decoder: &Decoder<impl Scratch>, cuts: &[usize]) {
        let at = || format!("{} cut at {:?}", self.name, &cuts[..cuts.len().min(8)]);
        let retry = seen.iter().rev().find_map(|item| if let Seen::Retry(ms) = item { Some(*ms) } else { None });
        assert!(self.retries.contains(&retry), "{}: retry {retry:?}", at());
        assert!(decoder.last_event_id() == self.last_event_id, "{}: {:?}", at(), decoder.last_event_id());
        let events: Vec<Seen> = seen.into_iter().filter(|item| matches!(item, Seen::Event { .. } | Seen::Error(_))).collect();
        assert!(events == self.events, "{}: {events:.2000?}", at());
    }

    /// Every event comes with the byte that the vector names.
    fn check_promptness(&self) {
        for (index, &after) in self.deliverable_after.iter().enumerate() {
            let mut seen = Vec::new();
            feed(&mut seeded(Limits::default(), &self.initial), &self.input[..after], &mut seen);
            assert!(seen.get(index) == Some(&self.events[index]), "{}: event {index} late", self.name);
        }
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

/// Lines around the length of a block, of a batch of blocks and of what counts as long, with every line end, with characters of
/// several bytes and with ill-formed ones, in chunks of sizes around the same borders.
#[test]
fn line_ends_are_found_at_every_border_of_blocks() {
    for (ends, filler) in ["\n", "\r\n", "\r"]
        .into_iter()
        .flat_map(|ends| [b"x".as_slice(), "…".as_bytes(), b"\xFFy", b"\x0B"].map(|filler| (ends, filler)))
    {
        let mut input = Vec::new();
        for len in [0, 1, 56, 57, 58, 63, 64, 65, 120, 500, 1018, 1024, 1100, 2040, 2048, 2100, 3000, 0, 5000, 1, 62, 63] {
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

/// Minutes when it is quadratic, milliseconds when it is not: what is asked is only on which side of seconds it is.
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
        let start = std::time::Instant::now();
        let mut decoder = Decoder::new(Limits::default());
        for chunk in input.chunks(chunk) {
            let mut feed = decoder.feed(chunk);
            while feed.next_item().unwrap().is_some() {}
        }
        let head = String::from_utf8_lossy(&input[..16]);
        assert!(start.elapsed().as_secs() < 2, "{head:?} in chunks of {chunk} took {:?}", start.elapsed());
    }
}

proptest! {
    #[test]
    fn agrees_with_the_naive_twin(
        pieces in vec(any_piece(), 0..40),
        initial in "[a-c]{0,2}",
        seed in any::<u64>(),
    ) {
        let input = pieces.concat();
        let expected = naive(&input, &initial);
        let mut random = Random(seed | 1);
        for cuts in [Vec::new(), (1..input.len().max(1)).collect(), random.cuts(input.len()), random.cuts(input.len())] {
            let (mut decoder, mut seen) = (seeded(Limits::default(), &initial), Vec::new());
            for chunk in chunks(&input, &cuts) {
                feed(&mut decoder, chunk, &mut seen);
            }
            prop_assert_eq!((seen, decoder.last_event_id().to_owned()), expected.clone(), "cut at {:?}", cuts);

            let mut decoder = Decoder::with_scratch(Limits::default(), FixedScratch::new(vec![0; 1 << 16]));
            decoder.set_last_event_id(IdField::new(&initial).unwrap()).unwrap();
            let mut seen = Vec::new();
            for chunk in chunks(&input, &cuts) {
                feed_item_by_item(&mut decoder, chunk, &mut seen);
            }
            prop_assert_eq!((seen, decoder.last_event_id().to_owned()), expected.clone(), "cut at {:?}", cuts);
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_what_was_meant(
        events in vec((any_id(), any_name(), any::<Option<u32>>(), any_text(), any_text()), 0..8),
        seed in any::<u64>(),
    ) {
        let (mut input, mut expected, mut last_event_id) = (Vec::new(), Vec::new(), String::new());
        for (id, name, retry, data, comment) in &events {
            let event = Event {
                id: id.as_deref().map(|id| IdField::new(id).unwrap()),
                event: name.as_deref().map(|name| EventName::new(name).unwrap()),
                retry: *retry,
                data: data.as_deref(),
                comment: comment.as_deref(),
            };
            let start = input.len();
            input.resize(start + event.encoded_len(), 0);
            prop_assert_eq!(event.encode(&mut input[start..]), Ok(event.encoded_len()));
            let mut appended = Vec::new();
            event.encode_to(&mut appended);
            prop_assert_eq!(&appended, &input[start..]);

            expected.extend(retry.map(|ms| Seen::Retry(u64::from(ms))));
            let joined = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
            if let Some(comment) = comment {
                expected.extend(joined(comment).split('\n').map(|line| Seen::Comment(line.to_owned())));
            }
            let changed = id.as_ref().is_some_and(|id| *id != last_event_id);
            last_event_id = id.clone().unwrap_or(last_event_id);
            if data.is_some() || name.is_some() {
                expected.push(Seen::Event {
                    event: name.clone().filter(|name| !name.is_empty()).unwrap_or("message".to_owned()),
                    data: joined(data.as_deref().unwrap_or_default()),
                    last_event_id: last_event_id.clone(),
                });
            } else if changed {
                expected.push(Seen::IdChanged(last_event_id.clone()));
            }
        }
        // The mark a stream may begin with is the decoder's to strip: a field never begins with one here, as "id:" comes first.
        let mut random = Random(seed | 1);
        for cuts in [Vec::new(), (1..input.len().max(1)).collect(), random.cuts(input.len())] {
            let (mut decoder, mut seen) = (Decoder::new(Limits::default()), Vec::new());
            for chunk in chunks(&input, &cuts) {
                feed(&mut decoder, chunk, &mut seen);
            }
            prop_assert_eq!(&seen, &expected, "cut at {:?}", cuts);
        }
    }

    #[test]
    fn limits_do_not_depend_on_the_chunking(pieces in vec(any_piece(), 0..40), max_line in 0..40usize, max_event in 0..60usize, seed in any::<u64>()) {
        let input = pieces.concat();
        let decode = |cuts: &[usize]| {
            let (mut decoder, mut seen) = (Decoder::new(Limits { max_line, max_event }), Vec::new());
            for chunk in chunks(&input, cuts) {
                feed(&mut decoder, chunk, &mut seen);
            }
            (seen, decoder.last_event_id().to_owned())
        };
        let whole = decode(&[]);
        let mut random = Random(seed | 1);
        for cuts in [(1..input.len().max(1)).collect(), random.cuts(input.len())] {
            let (mut seen, id) = decode(&cuts);
            // An unfinished line may be known to be too long before its end has come, and then it never does.
            if seen.len() == whole.0.len() + 1 && matches!(seen.last(), Some(Seen::Error(DecodeError::LineTooLong))) {
                seen.pop();
            }
            let mut expected = whole.clone();
            if expected.0.len() == seen.len() + 1 && matches!(expected.0.last(), Some(Seen::Error(DecodeError::LineTooLong))) {
                expected.0.pop();
            }
            prop_assert_eq!((seen, id), expected, "cut at {:?}", cuts);
        }
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

fn any_id() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[^\r\n\0]{0,12}")
}

fn any_name() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[^\r\n]{0,12}")
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof!["[ :a\r\n\u{FEFF}\u{20AC}]{0,20}", "(?s).{0,90}"])
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

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn size(json: &Value) -> usize {
    json.as_u64().unwrap() as usize
}

fn text(json: &Value, whole: &str, parts: &str) -> String {
    match json[whole].as_str() {
        Some(text) => text.to_owned(),
        None => list(&json[parts]).map(|part| part["text"].as_str().unwrap().repeat(size(&part["repeat"]))).collect(),
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().enumerate().fold(0, |bits, (index, byte)| bits | u32::from(digit(*byte)) << (18 - 6 * index));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
