//! How fast the decoder is, beside its peers and two references, over the same bytes cut the same way.
//!
//! ```text
//! cargo bench -p sse-proto --bench decode [-- [corpus|ours]... [--rounds N]]
//! ```
//!
//! `-- corpus --once CHUNK` measures nothing: every decoder runs once, for `tests/run instructions`.
//!
//! Every round runs every decoder once on every corpus and chunk size; the figures are medians over the rounds, ratios the medians of
//! what each round gave: the speed of the machine may change from one to the next. `undisturbed` compares what each reached in the
//! best tenth of its rounds. A decoder that takes too long for a whole corpus gets the first part of it (marked `~`): that flatters one
//! that is quadratic.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::Stream;
use futures_util::stream;
use sse_proto::wire::{Decoder, Item, Limits};

mod corpora;
use corpora::{Corpus, corpora};

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [name, once, chunk] = &words[..]
        && once == "--once"
    {
        return run_once(name, chunk.parse().expect("--once takes a number"));
    }
    let rounds = match words.iter().position(|word| word == "--rounds") {
        Some(at) => {
            let rounds = words.get(at + 1).and_then(|word| word.parse().ok()).expect("--rounds takes a number");
            words.drain(at..at + 2);
            rounds
        }
        None => 41,
    };
    let only_ours = words.iter().position(|word| word == "ours").map(|at| words.remove(at)).is_some();

    let mut verdicts = Vec::new();
    for corpus in corpora() {
        if words.is_empty() || words.iter().any(|word| corpus.name == word) {
            measure(&corpus, rounds, only_ours, &mut verdicts);
        }
    }
    if !only_ours {
        println!("\nagainst the best peer (median of {rounds} rounds; target of the project beside it)");
        for verdict in &verdicts {
            println!("{verdict}");
        }
    }
}

fn run_once(name: &str, chunk: usize) {
    let corpus = corpora().into_iter().find(|corpus| corpus.name == name).expect("--once follows the name of a corpus");
    for decoder in &DECODERS {
        black_box((decoder.run)(black_box(corpus.bytes), chunk));
    }
    println!("{}", corpus.events);
}

fn measure(corpus: &Corpus, rounds: usize, only_ours: bool, verdicts: &mut Vec<String>) {
    println!("\n{}: {} events, {} bytes", corpus.name, corpus.events, corpus.bytes.len());
    println!("{:22}{:>6}  {:>9} {:>10} {:>9} {:>9}", "", "chunk", "MB/s", "ns/event", "/memchr2", "/memcpy");
    for (chunk, target) in CHUNKS.into_iter().zip(corpus.targets) {
        let runs: Vec<Plan> = DECODERS
            .iter()
            .filter(|decoder| !only_ours || matches!(decoder.kind, Kind::Ours | Kind::Reference))
            .map(|decoder| Plan::new(decoder, corpus, chunk))
            .collect();
        let mut samples = vec![Vec::with_capacity(rounds); runs.len()];
        for _ in 0..rounds {
            for (run, samples) in runs.iter().zip(&mut samples) {
                samples.push(run.speed());
            }
        }
        let speeds: Vec<f64> = samples.iter().map(|samples| quantile(samples, 0.5)).collect();
        let undisturbed: Vec<f64> = samples.iter().map(|samples| quantile(samples, 0.9)).collect();
        let index_of = |name: &str| runs.iter().position(|run| run.decoder.name == name).unwrap();
        let ratio = |ours: usize, to: usize| {
            quantile(&samples[ours].iter().zip(&samples[to]).map(|(ours, to)| ours / to).collect::<Vec<_>>(), 0.5)
        };
        let (scan, copy) = (index_of("memchr2 scan"), index_of("memcpy"));
        for (index, (run, speed)) in runs.iter().zip(&speeds).enumerate() {
            println!(
                "{:22}{:>6}{} {:>9.0} {:>10.1} {:>9.2} {:>9.2}{}",
                run.decoder.name,
                chunk,
                if run.input.len() < corpus.bytes.len() { " ~" } else { "  " },
                speed / 1e6,
                corpus.bytes.len() as f64 / corpus.events as f64 / speed * 1e9,
                ratio(index, scan),
                ratio(index, copy),
                if run.wrong { "  decodes it wrongly" } else { "" },
            );
        }
        let peers = (0..runs.len()).filter(|index| runs[*index].decoder.kind == Kind::Peer);
        let best_of = |speeds: &[f64]| peers.clone().max_by(|a, b| speeds[*a].total_cmp(&speeds[*b]));
        let ours = index_of("sse-proto");
        if let (Some(best), Some(best_undisturbed)) = (best_of(&speeds), best_of(&undisturbed)) {
            let ratio = ratio(ours, best);
            let verdict = match target {
                Some(target) if ratio >= target => format!("at least {target}: holds"),
                Some(target) => format!("at least {target}: MISSED"),
                None => String::new(),
            };
            verdicts.push(format!(
                "{:12}{chunk:>6}  {ratio:>6.2} x {:20} {:>5.2} undisturbed  {verdict}",
                corpus.name,
                runs[best].decoder.name,
                undisturbed[ours] / undisturbed[best_undisturbed],
            ));
        }
    }
}

fn quantile(samples: &[f64], of: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() as f64 * of) as usize]
}

/// Short, so that on a busy machine most samples are not interrupted and the median is one of those.
const SAMPLE: Duration = Duration::from_micros(300);

const CHUNKS: [usize; 4] = [16 << 10, 1400, 64, 1];

/// How a decoder is run on one input: how much of it, how often in a row.
struct Plan {
    decoder: &'static Entry,
    input: &'static [u8],
    chunk: usize,
    repeats: u32,
    wrong: bool,
}

impl Plan {
    fn new(decoder: &'static Entry, corpus: &Corpus, chunk: usize) -> Self {
        let mut len = corpus.bytes.len().min(16 << 10);
        loop {
            let input = &corpus.bytes[..len];
            let start = Instant::now();
            let events = (decoder.run)(input, chunk);
            let took = start.elapsed();
            if len == corpus.bytes.len() || took > Duration::from_millis(30) {
                let repeats = (SAMPLE.as_nanos() / took.as_nanos().max(1)).clamp(1, 1000) as u32;
                let wrong = len == corpus.bytes.len() && decoder.kind != Kind::Reference && events != corpus.events;
                return Self { decoder, input, chunk, repeats, wrong };
            }
            len = corpus.bytes.len().min(len * 2);
        }
    }

    /// Bytes a second.
    fn speed(&self) -> f64 {
        // Once untimed: what ran before has left the caches and the heap in another state.
        black_box((self.decoder.run)(black_box(self.input), self.chunk));
        let start = Instant::now();
        for _ in 0..self.repeats {
            black_box((self.decoder.run)(black_box(self.input), self.chunk));
        }
        self.input.len() as f64 * f64::from(self.repeats) / start.elapsed().as_secs_f64()
    }
}

struct Entry {
    name: &'static str,
    kind: Kind,
    /// Decodes the input in chunks and says how many events it saw.
    run: fn(&'static [u8], usize) -> usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Peer,
    Reference,
}

static DECODERS: [Entry; 11] = [
    Entry { name: "memchr2 scan", kind: Kind::Reference, run: memchr2_scan },
    Entry { name: "memcpy", kind: Kind::Reference, run: memcpy },
    Entry { name: "sse-proto", kind: Kind::Ours, run: sse_proto },
    Entry { name: "sse-proto raw", kind: Kind::Ours, run: sse_proto_raw },
    Entry { name: "sse-core", kind: Kind::Peer, run: sse_core },
    Entry { name: "sse-stream", kind: Kind::Peer, run: sse_stream },
    Entry { name: "sse-parse", kind: Kind::Peer, run: sse_parse },
    Entry { name: "sse-agent", kind: Kind::Peer, run: sse_agent },
    Entry { name: "sseer", kind: Kind::Peer, run: sseer },
    Entry { name: "eventsource-stream", kind: Kind::Peer, run: eventsource_stream },
    Entry { name: "eventsource-client", kind: Kind::Peer, run: eventsource_client },
];

fn memchr2_scan(input: &'static [u8], chunk: usize) -> usize {
    input.chunks(chunk).map(|chunk| memchr::memchr2_iter(b'\r', b'\n', chunk).count()).sum()
}

fn memcpy(input: &'static [u8], chunk: usize) -> usize {
    let mut buffer = vec![0; chunk];
    for chunk in input.chunks(chunk) {
        black_box(&mut buffer)[..chunk.len()].copy_from_slice(chunk);
    }
    buffer.len()
}

fn sse_proto(input: &'static [u8], chunk: usize) -> usize {
    let mut decoder = Decoder::new(Limits::default());
    let mut events = 0;
    for chunk in input.chunks(chunk) {
        let mut feed = decoder.feed(chunk);
        while let Some(item) = feed.next_item().unwrap() {
            events += usize::from(matches!(black_box(item), Item::Event(_)));
        }
    }
    events
}

fn sse_proto_raw(input: &'static [u8], chunk: usize) -> usize {
    let mut decoder = Decoder::new(Limits::default());
    let mut events = 0;
    for chunk in input.chunks(chunk) {
        let mut feed = decoder.feed(chunk);
        while let Some(item) = feed.next_raw().unwrap() {
            events += usize::from(matches!(black_box(item), Item::Event(_)));
        }
    }
    events
}

fn sse_core(input: &'static [u8], chunk: usize) -> usize {
    let mut decoder = sse_core::SseDecoder::with_limit(std::num::NonZeroUsize::new(16 << 20).unwrap());
    let mut events = 0;
    for mut chunk in input.chunks(chunk) {
        while let Some(event) = decoder.next(&mut chunk) {
            events += usize::from(matches!(black_box(event), Ok(sse_core::SseEvent::Message(_))));
        }
    }
    events
}

fn sse_parse(input: &'static [u8], chunk: usize) -> usize {
    let mut parser = sse_parse::SseParser::new().max_buffer(16 << 20);
    let mut events = 0;
    for chunk in input.chunks(chunk) {
        parser.feed(chunk);
        while let Some(event) = parser.next_event() {
            black_box(event);
            events += 1;
        }
    }
    events
}

fn sse_stream(input: &'static [u8], chunk: usize) -> usize {
    let events = sse_stream::SseByteStream::new(stream::iter(input.chunks(chunk).map(Ok::<_, Infallible>)));
    drain(events, |event| event.as_ref().unwrap().data.is_some())
}

fn sse_agent(input: &'static [u8], chunk: usize) -> usize {
    let events = sse_agent::Body::from(stream::iter(input.chunks(chunk).map(Ok::<_, Infallible>)));
    drain(events, |event| event.is_ok())
}

fn sseer(input: &'static [u8], chunk: usize) -> usize {
    let chunks = input.chunks(chunk).map(|chunk| Ok::<_, Infallible>(bytes::Bytes::from_static(chunk)));
    drain(sseer::EventStream::new(stream::iter(chunks)), |event| event.is_ok())
}

fn eventsource_stream(input: &'static [u8], chunk: usize) -> usize {
    let events = eventsource_stream::EventStream::new(stream::iter(input.chunks(chunk).map(Ok::<_, Infallible>)));
    drain(events, |event| event.is_ok())
}

/// Its parser is private: the whole client runs, over a transport made of the chunks.
fn eventsource_client(input: &'static [u8], chunk: usize) -> usize {
    use eventsource_client::{Client, ClientBuilder, ReconnectOptions, SSE};
    use launchdarkly_sdk_transport::{ByteStream, HttpTransport, Request, ResponseFuture};

    #[derive(Clone)]
    struct Chunks(&'static [u8], usize);

    impl HttpTransport for Chunks {
        fn request(&self, _: Request<Option<bytes::Bytes>>) -> ResponseFuture {
            let chunks = self.0.chunks(self.1).map(|chunk| Ok(bytes::Bytes::from_static(chunk)));
            let body: ByteStream = Box::pin(stream::iter(chunks));
            let response = http::Response::builder().header("content-type", "text/event-stream").body(body).unwrap();
            Box::pin(std::future::ready(Ok(response)))
        }
    }

    let client = ClientBuilder::for_url("http://localhost/")
        .unwrap()
        .reconnect(ReconnectOptions::reconnect(false).build())
        .build_with_transport(Chunks(input, chunk));
    drain(client.stream(), |event| matches!(event, Ok(SSE::Event(_))))
}

/// Polls a stream that is always ready to its end.
fn drain<S: Stream>(stream: S, is_event: impl Fn(&S::Item) -> bool) -> usize {
    let mut stream = pin!(stream);
    let mut context = Context::from_waker(Waker::noop());
    let mut events = 0;
    while let Poll::Ready(Some(item)) = stream.as_mut().poll_next(&mut context) {
        events += usize::from(is_event(&item));
        black_box(item);
    }
    events
}
