//! How fast the encoder is, beside its peers and beside copying the encoded bytes.
//!
//! ```text
//! cargo bench -p sse-proto --bench encode [-- [case]... [--rounds N]]
//! ```
//!
//! Every round runs every encoder once on every case; the figures are medians over the rounds, ratios the medians of what each round
//! gave: the speed of the machine may change from one to the next. Each round writes to another place, for how far apart two
//! addresses lie within a page can cost more than encoding. Peers that take an event by value get events made beforehand; building
//! one is measured only where building is encoding (axum).
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::convert::Infallible;
use std::fmt::Write;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::response::IntoResponse;
use bytes::{BufMut, BytesMut};
use futures_util::stream;
use http_body::Body;
use sse_proto::wire::{Encode, Event, EventName, IdField};
use tokio_util::codec::Encoder;

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds: usize = match words.iter().position(|word| word == "--rounds") {
        Some(at) => {
            let rounds = words.get(at + 1).and_then(|word| word.parse().ok()).expect("--rounds takes a number");
            words.drain(at..at + 2);
            rounds
        }
        None => 101,
    };
    let mut verdicts = Vec::new();
    for case in cases() {
        if words.is_empty() || words.iter().any(|word| case.name == word) {
            measure(&case, rounds, &mut verdicts);
        }
    }
    println!("\nmedians of {rounds} rounds; target of the project beside them");
    for verdict in &verdicts {
        println!("{verdict}");
    }
}

fn measure(case: &Case, rounds: usize, verdicts: &mut Vec<String>) {
    let mut samples = vec![Vec::with_capacity(rounds); ENCODERS.len()];
    for round in 0..rounds {
        let skip = round * 208 % PAGE;
        for ((_, _, run), samples) in ENCODERS.iter().zip(&mut samples) {
            samples.push(run(case, skip).as_nanos() as f64 / BATCH as f64);
        }
    }
    let medians: Vec<f64> = samples.iter().map(|samples| median(samples.clone())).collect();
    let ratio = |to: usize, of: usize| median(samples[to].iter().zip(&samples[of]).map(|(to, of)| to / of).collect());
    println!("\n{}: {} bytes an event", case.name, case.event().encoded_len());
    println!("{:24} {:>9} {:>9}", "", "ns/event", "of memcpy");
    for (index, ((name, _, _), ns)) in ENCODERS.iter().zip(&medians).enumerate() {
        println!("{name:24} {ns:>9.1} {:>9.2}", ratio(MEMCPY, index));
    }
    let of = |kind| (0..ENCODERS.len()).filter(move |index| ENCODERS[*index].1 == kind);
    let best = of(Kind::Correct).min_by(|a, b| medians[*a].total_cmp(&medians[*b])).unwrap();
    for ours in of(Kind::Ours) {
        let (to_best, to_memcpy) = (ratio(best, ours), ratio(MEMCPY, ours));
        let holds = if case.data.len() < 1024 { to_best >= 2.0 } else { to_memcpy >= 0.9 };
        verdicts.push(format!(
            "{:8} {:24} {to_best:>6.2} x {}, {to_memcpy:>5.2} of memcpy  {}: {}",
            case.name,
            ENCODERS[ours].0,
            ENCODERS[best].0,
            if case.data.len() < 1024 { "at least 2 x" } else { "at least 0.9 of memcpy" },
            if holds { "holds" } else { "MISSED" },
        ));
    }
}

const BATCH: usize = 1000;

const PAGE: usize = 4096;

/// Holds any frame, wherever within a page it begins.
const ROOM: usize = 16 << 10;

struct Case {
    name: &'static str,
    id: Option<&'static str>,
    event: Option<&'static str>,
    retry: Option<u32>,
    data: String,
}

impl Case {
    fn event(&self) -> Event<'_> {
        Event {
            id: self.id.map(|id| IdField::new(id).unwrap()),
            event: self.event.map(|event| EventName::new(event).unwrap()),
            retry: self.retry,
            data: Some(&self.data),
            comment: None,
        }
    }
}

fn cases() -> Vec<Case> {
    let plain = Case { name: "", id: None, event: None, retry: None, data: String::new() };
    vec![
        Case {
            name: "llm",
            data: r#"{"id":"chatcmpl-9yZ0123456789abcdef","object":"chat.completion.chunk","created":1712345678,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" stream"},"logprobs":null,"finish_reason":null}],"usage":null}"#.into(),
            ..plain
        },
        Case {
            name: "typed",
            event: Some("content_block_delta"),
            data: r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#.into(),
            ..plain
        },
        Case { name: "data-x", data: "x".into(), ..plain },
        Case {
            name: "rich",
            id: Some("1712345678-42"),
            event: Some("update"),
            retry: Some(3000),
            data: "line one of the event\nline two of the event\nand line three of it".into(),
        },
        Case { name: "8k", data: "0123456789abcde ".repeat(512), ..plain },
    ]
}

/// Encodes a batch to where `usize` bytes stand already, and says how long it took.
type Run = fn(&Case, usize) -> Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reference,
    Ours,
    /// Keeps the framing whatever the data.
    Correct,
    /// A CR in data breaks the framing, or it panics.
    Incorrect,
}

/// Where the reference stands among the encoders.
const MEMCPY: usize = 0;

static ENCODERS: [(&str, Kind, Run); 8] = [
    ("memcpy", Kind::Reference, memcpy),
    ("sse-proto, slice", Kind::Ours, sse_proto_slice),
    ("sse-proto, Vec", Kind::Ours, sse_proto_vec),
    ("sse-proto, BytesMut", Kind::Ours, sse_proto_bytes_mut),
    ("russe", Kind::Correct, russe),
    ("sse-stream", Kind::Correct, sse_stream),
    ("axum", Kind::Incorrect, axum),
    ("warp", Kind::Incorrect, warp),
];

fn memcpy(case: &Case, _: usize) -> Duration {
    let mut frame = vec![0; case.event().encoded_len()];
    case.event().encode(&mut frame).unwrap();
    // Half a page apart: some processors copy many times slower when the two addresses are alike within a page, and what is wanted
    // is copying at its best.
    let mut room = vec![0; frame.len() + PAGE];
    let skip = (frame.as_ptr().addr() + PAGE / 2).wrapping_sub(room.as_ptr().addr()) % PAGE;
    let out = &mut room[skip..skip + frame.len()];
    timed(|| {
        for _ in 0..BATCH {
            out.copy_from_slice(black_box(&frame));
            black_box(&mut *out);
        }
    })
}

fn sse_proto_slice(case: &Case, skip: usize) -> Duration {
    let mut room = vec![0; ROOM];
    let out = &mut room[skip..];
    let event = case.event();
    timed(|| {
        for _ in 0..BATCH {
            let len = black_box(&event).encode(out).unwrap();
            black_box(&mut out[..len]);
        }
    })
}

fn sse_proto_vec(case: &Case, skip: usize) -> Duration {
    append(case, Vec::with_capacity(ROOM), skip, Vec::truncate, |event, out| event.encode_to_vec(out))
}

fn sse_proto_bytes_mut(case: &Case, skip: usize) -> Duration {
    append(case, BytesMut::with_capacity(ROOM), skip, BytesMut::truncate, |event, out| event.encode_to(out))
}

fn append<B: BufMut>(
    case: &Case,
    mut out: B,
    skip: usize,
    truncate: impl Fn(&mut B, usize),
    encode: impl Fn(&Event<'_>, &mut B),
) -> Duration {
    let event = case.event();
    out.put_bytes(0, skip);
    timed(|| {
        for _ in 0..BATCH {
            truncate(&mut out, skip);
            encode(black_box(&event), &mut out);
            black_box(&mut out);
        }
    })
}

fn russe(case: &Case, skip: usize) -> Duration {
    let message = russe::Message {
        data: case.data.as_str().into(),
        event: case.event.map(Into::into),
        retry: case.retry.map(|ms| Duration::from_millis(ms.into())),
        id: case.id.map(Into::into),
    };
    let events = vec![russe::Event::Message(message); BATCH];
    let mut out = BytesMut::with_capacity(ROOM);
    out.put_bytes(0, skip);
    let mut encoder = russe::Encoder::default();
    timed(|| {
        for event in events {
            out.truncate(skip);
            encoder.encode(black_box(event), &mut out).unwrap();
            black_box(&mut out);
        }
    })
}

fn sse_stream(case: &Case, _: usize) -> Duration {
    let event = sse_stream::Sse {
        event: case.event.map(Into::into),
        data: Some(case.data.clone()),
        id: case.id.map(Into::into),
        retry: case.retry.map(Into::into),
    };
    let events = vec![event; BATCH];
    timed(|| {
        for event in events {
            black_box(black_box(event).encode().unwrap());
        }
    })
}

/// Building its event is encoding it; the response body hands it out.
fn axum(case: &Case, _: usize) -> Duration {
    use axum::response::sse::{Event, Sse};
    let events = (0..BATCH).map(|_| {
        let mut event = Event::default();
        if let Some(id) = case.id {
            event = event.id(id);
        }
        if let Some(name) = case.event {
            event = event.event(name);
        }
        if let Some(ms) = case.retry {
            event = event.retry(Duration::from_millis(ms.into()));
        }
        Ok::<_, Infallible>(event.data(black_box(&case.data)))
    });
    // The stream must own what it yields from: the events are built as the body is polled.
    let events: Vec<_> = events.collect::<Vec<_>>();
    let building = timed(|| {
        for _ in 0..BATCH {
            let mut event = Event::default();
            if let Some(id) = case.id {
                event = event.id(id);
            }
            if let Some(name) = case.event {
                event = event.event(name);
            }
            if let Some(ms) = case.retry {
                event = event.retry(Duration::from_millis(ms.into()));
            }
            drop(black_box(event.data(black_box(&case.data))));
        }
    });
    let mut body = pin!(Sse::new(stream::iter(events)).into_response().into_body());
    let mut context = Context::from_waker(Waker::noop());
    building
        + timed(|| {
            while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
                black_box(frame.unwrap());
            }
        })
}

fn warp(case: &Case, skip: usize) -> Duration {
    let mut event = warp::sse::Event::default().data(case.data.as_str());
    if let Some(id) = case.id {
        event = event.id(id);
    }
    if let Some(name) = case.event {
        event = event.event(name);
    }
    if let Some(ms) = case.retry {
        event = event.retry(Duration::from_millis(ms.into()));
    }
    let mut out = String::with_capacity(ROOM);
    out.extend(std::iter::repeat_n(' ', skip));
    timed(|| {
        for _ in 0..BATCH {
            out.truncate(skip);
            write!(out, "{}", black_box(&event)).unwrap();
            black_box(&mut out);
        }
    })
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
