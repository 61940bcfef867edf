//! How fast the encoder is, beside its peers and beside copying the encoded bytes.
//!
//! ```text
//! cargo bench -p sse-proto --bench encode [-- [case]... [--rounds N]]
//! ```
//!
//! Every round runs every encoder once on every case; the figures are medians over the rounds. Peers that take an event by value
//! get events made beforehand; building one is measured only where building is encoding (axum).
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
    for _ in 0..rounds {
        for ((_, _, run), samples) in ENCODERS.iter().zip(&mut samples) {
            samples.push(run(case).as_nanos() as f64 / BATCH as f64);
        }
    }
    let medians: Vec<f64> = samples.into_iter().map(median).collect();
    println!("\n{}: {} bytes an event", case.name, case.event().encoded_len());
    println!("{:24} {:>9} {:>9}", "", "ns/event", "of memcpy");
    for ((name, _, _), ns) in ENCODERS.iter().zip(&medians) {
        println!("{name:24} {ns:>9.1} {:>9.2}", medians[0] / ns);
    }
    let of = |kind| ENCODERS.iter().zip(&medians).filter(move |((_, of, _), _)| *of == kind);
    let ((best, _, _), peer) = of(Kind::Correct).min_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    for ((name, _, _), ns) in of(Kind::Ours) {
        let holds = if case.data.len() < 1024 { peer / ns >= 2.0 } else { medians[0] / ns >= 0.9 };
        verdicts.push(format!(
            "{:8} {name:24} {:>6.2} x {best}, {:>5.2} of memcpy  {}: {}",
            case.name,
            peer / ns,
            medians[0] / ns,
            if case.data.len() < 1024 { "at least 2 x" } else { "at least 0.9 of memcpy" },
            if holds { "holds" } else { "MISSED" },
        ));
    }
}

const BATCH: usize = 1000;

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

type Run = fn(&Case) -> Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reference,
    Ours,
    /// Keeps the framing whatever the data.
    Correct,
    /// A CR in data breaks the framing, or it panics.
    Incorrect,
}

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

fn memcpy(case: &Case) -> Duration {
    let mut frame = vec![0; case.event().encoded_len()];
    case.event().encode(&mut frame).unwrap();
    // Half a page apart: some processors copy many times slower when the two addresses are alike within a page, and what is wanted
    // is copying at its best.
    let mut room = vec![0; frame.len() + 4096];
    let skip = (frame.as_ptr().addr() + 2048).wrapping_sub(room.as_ptr().addr()) % 4096;
    let out = &mut room[skip..skip + frame.len()];
    timed(|| {
        for _ in 0..BATCH {
            out.copy_from_slice(black_box(&frame));
            black_box(&mut *out);
        }
    })
}

fn sse_proto_slice(case: &Case) -> Duration {
    let mut out = vec![0; 16 << 10];
    let event = case.event();
    timed(|| {
        for _ in 0..BATCH {
            let len = black_box(&event).encode(&mut out).unwrap();
            black_box(&mut out[..len]);
        }
    })
}

fn sse_proto_vec(case: &Case) -> Duration {
    append(case, Vec::with_capacity(16 << 10), Vec::clear)
}

fn sse_proto_bytes_mut(case: &Case) -> Duration {
    append(case, BytesMut::with_capacity(16 << 10), BytesMut::clear)
}

fn append<B: BufMut>(case: &Case, mut out: B, clear: impl Fn(&mut B)) -> Duration {
    let event = case.event();
    timed(|| {
        for _ in 0..BATCH {
            clear(&mut out);
            black_box(&event).encode_to(&mut out);
            black_box(&mut out);
        }
    })
}

fn russe(case: &Case) -> Duration {
    let message = russe::Message {
        data: case.data.as_str().into(),
        event: case.event.map(Into::into),
        retry: case.retry.map(|ms| Duration::from_millis(ms.into())),
        id: case.id.map(Into::into),
    };
    let events = vec![russe::Event::Message(message); BATCH];
    let mut out = BytesMut::with_capacity(16 << 10);
    let mut encoder = russe::Encoder::default();
    timed(|| {
        for event in events {
            out.clear();
            encoder.encode(black_box(event), &mut out).unwrap();
            black_box(&mut out);
        }
    })
}

fn sse_stream(case: &Case) -> Duration {
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
fn axum(case: &Case) -> Duration {
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

fn warp(case: &Case) -> Duration {
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
    let mut out = String::with_capacity(16 << 10);
    timed(|| {
        for _ in 0..BATCH {
            out.clear();
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
