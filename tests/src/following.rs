//! The client's machine beside a naive model of it, driven by the same operations: by proptest in every run, by libFuzzer for longer.

use std::collections::VecDeque;
use std::time::Duration;

use sse_proto::Instant;
use sse_proto::client::{Closed, Config, EventSource, Head, Interruption, Method, Output, State};
use sse_proto::storage::HeapScratch;
use sse_proto::wire::IdField;

use crate::decoding::{Seen, naive_told};

/// Something that happens to a client, or that its driver does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Every output is taken.
    Drain,
    /// An answer's head.
    Respond {
        /// The status.
        status: u16,
        /// Whether it is an event stream.
        event_stream: bool,
        /// Where it redirects to.
        location: Option<u8>,
        /// In seconds.
        retry_after: Option<u64>,
    },
    /// Bytes of the answer.
    Bytes(Vec<u8>),
    /// The answer is over.
    End,
    /// The connection broke, or there was none.
    Failure,
    /// The request cannot be sent.
    Unsendable,
    /// To the deadline and this much further, or only so far when there is none.
    Wait(u64),
    /// The clock moves, back too, and nothing else happens.
    Clock(i64),
    /// A caller with a decoder of its own tells what it read; while a stream is open only that bytes came.
    Told {
        /// A reconnection time.
        retry: u64,
        /// The id of an event.
        id: u8,
    },
    /// The caller knows the last event id from elsewhere.
    Resume(&'static str),
    /// The caller closes it.
    Close,
}

/// Drives both and compares after every operation what can be seen of them. `remembered` is how many ids are kept.
pub fn check(config: Config, remembered: usize, entropy: u64, ops: &[Op]) {
    let mut source = EventSource::new(config, 0u8, HeapScratch::new(), vec![0u64; remembered], at(0), entropy);
    let mut model = Model::new(config, remembered);
    let (mut clock, mut now) = (0u64, 0u64);
    for op in ops {
        // How long the machine chose to wait, if it is going to.
        let asked = model.state == "asking" && !model.outputs.iter().any(|output| output.starts_with("connect"));
        match op {
            Op::Drain => {}
            Op::Wait(further) => {
                let deadline = source.poll_timeout().map_or(clock, Instant::as_millis);
                clock = clock.max(deadline) + further.saturating_sub(100);
                now = now.max(clock);
                source.handle_timeout(at(clock));
                model.time(now, found(&source, now));
            }
            Op::Clock(by) => {
                clock = clock.saturating_add_signed(*by);
                now = now.max(clock);
                source.handle_timeout(at(clock));
                model.time(now, found(&source, now));
            }
            &Op::Respond { status, event_stream, location, retry_after } => {
                let content_type = event_stream.then_some("text/event-stream");
                let head = Head { status, content_type, location, retry_after: retry_after.map(Duration::from_secs) };
                source.handle_response(at(clock), head);
                if asked {
                    model.respond(now, status, event_stream, location, retry_after, found(&source, now));
                }
            }
            Op::Bytes(bytes) => {
                let seen = take(&mut source, at(clock), bytes);
                if model.state == "open" {
                    model.bytes(now, bytes, seen);
                } else {
                    assert_eq!(seen, [], "bytes of a connection that is none");
                }
            }
            Op::End | Op::Failure => {
                let why = match op {
                    Op::End => {
                        source.handle_end(at(clock));
                        Interruption::Ended
                    }
                    _ => {
                        source.handle_failure(at(clock));
                        Interruption::Failed
                    }
                };
                match model.state {
                    "asking" if asked => model.fail(now, Interruption::Failed, 0, found(&source, now)),
                    "open" => model.lose(now, why, found(&source, now)),
                    _ => {}
                }
            }
            Op::Unsendable => {
                source.handle_unsendable();
                if asked {
                    model.finish(Closed::Unsendable);
                }
            }
            Op::Told { retry, id } => {
                source.handle_activity(at(clock));
                if model.state == "open" {
                    model.entered = now;
                } else {
                    source.set_retry(*retry);
                    model.retry = model.longest(*retry);
                    let id = id.to_string();
                    assert_eq!(source.is_new(&id), model.is_new(&id));
                }
            }
            Op::Resume(id) => {
                source.set_last_event_id(IdField::new(id).expect("an id is a line")).expect("the heap has room");
                model.resume(id);
            }
            Op::Close => {
                source.close();
                if model.state != "closed" {
                    model.finish(Closed::ByCaller);
                }
            }
        }

        // Before draining, due exactly when there is output; or when time is up, which `handle_timeout` turns into output.
        let deadline = model.deadline().map(at);
        let expected = if model.outputs.is_empty() { deadline } else { Some(at(now)) };
        assert_eq!(source.poll_timeout(), expected, "{op:?}");
        if *op == Op::Drain {
            let outputs: Vec<String> = std::iter::from_fn(|| source.poll_output().map(|output| show(&output))).collect();
            assert_eq!(outputs, std::mem::take(&mut model.outputs));
            assert_eq!(source.poll_timeout(), deadline);
        }
        let state = match source.state() {
            State::Connecting => "asking",
            State::Open => "open",
            State::Waiting => "waiting",
            State::Closed => "closed",
        };
        assert_eq!(state, model.state, "{op:?}");
        assert_eq!(source.last_event_id(), model.id, "{op:?}");
        assert_eq!(source.retry(), ms(model.retry), "{op:?}");
        let url = match model.state {
            "waiting" => Some(model.home.0),
            "closed" => None,
            _ => model.hops.last().map(|(url, ..)| *url),
        };
        assert!(url.is_none_or(|url| url == *source.url()), "{op:?}: {url:?}, not {}", source.url());
    }
}

/// An output in words.
pub fn show(output: &Output<'_, u8>) -> String {
    match output {
        Output::Connect(request) => format!("connect {} {:?} {:?}", request.url, request.method, request.last_event_id),
        Output::Opened => "opened".to_owned(),
        Output::Waiting { delay, why } => format!("waiting {}: {why:?}", delay.as_millis()),
        Output::Closed(why) => format!("closed: {why:?}"),
    }
}

type Source = EventSource<u8, HeapScratch, Vec<u64>>;

/// What the bytes give: from one chunk, or, every second time, with what is left of it handed in anew for each item.
fn take(source: &mut Source, now: Instant, mut bytes: &[u8]) -> Vec<Seen> {
    let one_by_one = bytes.len() % 2 == 1;
    let mut seen = Vec::new();
    loop {
        let mut received = source.handle_bytes(now, bytes);
        loop {
            match received.next_item() {
                Ok(None) => return seen,
                Ok(Some(item)) => seen.push(item.into()),
                Err(error) => seen.push(Seen::Error(error)),
            }
            if one_by_one {
                break;
            }
        }
        bytes = received.remaining();
    }
}

/// The same as the machine by a list of what happened, in words: slow to extend, easy to believe.
struct Model {
    config: Config,
    state: &'static str,
    entered: u64,
    until: u64,
    /// Every hop of this attempt, the first URL included, with whether it was by permanent redirects only.
    hops: Vec<(u8, Method, bool)>,
    home: (u8, Method),
    retry: u64,
    failed: u32,
    id: String,
    outputs: Vec<String>,
    /// The latest ids of events, the oldest first.
    ids: VecDeque<String>,
    remembered: usize,
    open: Open,
}

/// A stream from its beginning: what it gives is found out anew with every chunk.
#[derive(Default)]
struct Open {
    stream: Vec<u8>,
    given: Vec<Seen>,
    /// The id before, and others that the caller told, with how many bytes had come by then.
    ids_told: Vec<(usize, String)>,
    ids_before: VecDeque<String>,
    retry_before: u64,
}

impl Model {
    fn new(config: Config, remembered: usize) -> Self {
        let mut model = Self {
            config,
            state: "",
            entered: 0,
            until: 0,
            hops: vec![],
            home: (0, config.method),
            retry: config.retry.as_millis() as u64,
            failed: 0,
            id: String::new(),
            outputs: vec![],
            ids: VecDeque::new(),
            remembered,
            open: Open::default(),
        };
        model.begin(0);
        model
    }
    fn begin(&mut self, now: u64) {
        self.hops = vec![(self.home.0, self.home.1, true)];
        self.ask(now);
    }

    fn ask(&mut self, now: u64) {
        (self.state, self.entered) = ("asking", now);
        let (url, method, _) = self.hops[self.hops.len() - 1];
        self.outputs.push(format!("connect {url} {method:?} {:?}", self.id));
    }

    fn finish(&mut self, why: Closed) {
        self.outputs.retain(|output| output == "opened");
        self.state = "closed";
        self.outputs.push(format!("closed: {why:?}"));
    }

    /// The wait is in a range; `found` is what the machine chose.
    fn wait(&mut self, now: u64, why: Interruption, asked: u64, found: u64) {
        let base = self.retry.max(self.config.shortest_wait.as_millis() as u64);
        let mut wait = base;
        for _ in 1..self.failed {
            wait = (wait * 2).min(base.max(self.config.backoff_ceiling.as_millis() as u64));
        }
        let wait = wait.max(asked.min(self.config.longest_wait.as_millis() as u64));
        let most = wait + wait * u64::from(self.config.jitter_percent) / 100;
        assert!((wait..=most).contains(&found), "{wait}..={most} does not hold {found}");
        (self.state, self.until) = ("waiting", now + found);
        self.outputs.push(format!("waiting {found}: {why:?}"));
    }

    fn fail(&mut self, now: u64, why: Interruption, asked: u64, found: u64) {
        self.failed += 1;
        match self.config.max_attempts {
            Some(max) if self.failed >= max => self.finish(Closed::Attempts(why)),
            _ => self.wait(now, why, asked, found),
        }
    }

    fn lose(&mut self, now: u64, why: Interruption, found: u64) {
        match self.config.reconnect {
            true => self.wait(now, why, 0, found),
            false => self.finish(Closed::Over(why)),
        }
    }

    fn respond(&mut self, now: u64, status: u16, stream: bool, location: Option<u8>, retry_after: Option<u64>, found: u64) {
        match (status, location) {
            (200, _) if stream => {
                (self.state, self.entered, self.failed) = ("open", now, 0);
                self.outputs.push("opened".to_owned());
                self.open = Open {
                    ids_told: vec![(0, self.id.clone())],
                    ids_before: self.ids.clone(),
                    retry_before: self.retry,
                    ..Open::default()
                };
            }
            (200, _) => self.finish(Closed::ContentType),
            (204, _) => self.finish(Closed::NoContent),
            (301 | 302 | 303 | 307 | 308, None) => self.finish(Closed::Redirect(status)),
            (301 | 302 | 303 | 307 | 308, Some(_)) if self.hops.len() > self.config.max_redirects as usize => {
                self.finish(Closed::TooManyRedirects);
            }
            (301 | 302 | 303 | 307 | 308, Some(to)) => {
                let (_, from, permanent) = self.hops[self.hops.len() - 1];
                let becomes_get = status == 303 || status < 303 && from == Method::Post;
                let method = if becomes_get { Method::Get } else { from };
                let permanent = permanent && (status == 301 || status == 308);
                if permanent {
                    self.home = (to, method);
                }
                self.hops.push((to, method, permanent));
                self.ask(now);
            }
            (429 | 500..=599, _) if self.config.retry_statuses => {
                self.fail(now, Interruption::Status(status), retry_after.unwrap_or(0).saturating_mul(1000), found);
            }
            _ => self.finish(Closed::Status(status)),
        }
    }

    /// What the server may ask for at most.
    fn longest(&self, millis: u64) -> u64 {
        millis.min(self.config.longest_wait.as_millis() as u64)
    }

    fn is_new(&mut self, id: &str) -> bool {
        let new = !self.ids.iter().any(|known| known == id);
        if new {
            self.ids.push_back(id.to_owned());
            self.ids.drain(..self.ids.len().saturating_sub(self.remembered));
        }
        new
    }

    fn resume(&mut self, id: &str) {
        // The request that is still to be taken goes on behind it already.
        if self.outputs.last().is_some_and(|output| output.starts_with("connect")) {
            self.outputs.pop();
            let (url, method, _) = self.hops[self.hops.len() - 1];
            self.outputs.push(format!("connect {url} {method:?} {id:?}"));
        }
        self.open.ids_told.push((self.open.stream.len(), id.to_owned()));
        self.id = id.to_owned();
    }

    fn deadline(&self) -> Option<u64> {
        match self.state {
            "asking" => self.config.answer_timeout.map(|limit| self.entered + limit.as_millis() as u64),
            "open" => self.config.liveness.map(|limit| self.entered + limit.as_millis() as u64),
            "waiting" => Some(self.until),
            _ => None,
        }
    }

    fn time(&mut self, now: u64, found: u64) {
        if !self.outputs.is_empty() || self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            "asking" => self.fail(now, Interruption::NoAnswer, 0, found),
            "open" => self.lose(now, Interruption::Silent, found),
            _ => self.begin(now),
        }
    }

    fn bytes(&mut self, now: u64, bytes: &[u8], seen: Vec<Seen>) {
        if !bytes.is_empty() {
            self.entered = now;
        }
        let Open { stream, given, ids_told, ids_before, retry_before } = &mut self.open;
        stream.extend_from_slice(bytes);
        given.extend(seen);
        let mut ids = ids_before.clone();
        let told: Vec<_> = ids_told.iter().map(|(from, id)| (*from, id.as_str())).collect();
        let (expected, id) = naive_told(self.config.limits, stream, &told, |id| {
            let new = id.is_empty() || !ids.iter().any(|known| known == id);
            if new && !id.is_empty() {
                ids.push_back(id.to_owned());
                ids.drain(..ids.len().saturating_sub(self.remembered));
            }
            new
        });
        assert_eq!(*given, expected);
        let retry = expected.iter().rev().find_map(|seen| if let Seen::Retry(ms) = seen { Some(*ms) } else { None });
        let before = *retry_before;
        self.retry = retry.map_or(before, |retry| self.longest(retry));
        (self.id, self.ids) = (id, ids);
    }
}

/// How long the machine chose to wait. The output is still to be polled; a copy tells it without taking it.
fn found(source: &Source, now: u64) -> u64 {
    let mut copy = source.clone();
    std::iter::from_fn(|| {
        copy.poll_output().map(|output| if let Output::Waiting { delay, .. } = output { Some(delay) } else { None })
    })
    .flatten()
    .last()
    .map_or(now, |delay| delay.as_millis() as u64)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
