//! The client: stories in simulated time, a naive model, the law of `poll_timeout`, and streams cut anywhere.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sse_proto::Instant;
use sse_proto::client::{Closed, Config, EventSource, Head, Method, Output, State};
use sse_proto::storage::{FixedScratch, HeapScratch};
use sse_proto::wire::{DecodeError, IdField, Item, Limits};
use sse_tests::following::{Op, check, show};

#[test]
fn only_200_with_an_event_stream_opens() {
    let check = |status, content_type: Option<&str>, expected: Option<Closed>| {
        let mut client = Client::new(Config::browser());
        client.connect();
        client.source.handle_response(at(1), Head { content_type, ..Head::new(status) });
        let outputs = client.drain();
        match expected {
            None => assert_eq!(outputs, ["opened"], "{status} {content_type:?}"),
            Some(why) => {
                assert_eq!(outputs, [format!("closed: {why:?}")], "{status} {content_type:?}");
                assert_eq!(client.source.poll_timeout(), None);
            }
        }
    };
    for good in [
        "text/event-stream",
        "text/event-stream;charset=utf-8",
        "Text/Event-Stream ; charset=latin1; x",
        " text/event-stream\t",
    ] {
        check(200, Some(good), None);
    }
    for bad in ["text/html", "", "text/event-streams", "text/event-stream, text/html", "application/json; text/event-stream"] {
        check(200, Some(bad), Some(Closed::ContentType));
    }
    check(200, None, Some(Closed::ContentType));
    check(204, Some("text/event-stream"), Some(Closed::NoContent));
    for status in [100, 201, 205, 300, 304, 305, 306, 400, 401, 403, 404, 410, 429, 500, 503, 599, 600] {
        check(status, Some("text/event-stream"), Some(Closed::Status(status)));
    }
    for status in [301, 302, 303, 307, 308] {
        check(status, Some("text/event-stream"), Some(Closed::Redirect(status)));
    }
}

#[test]
fn redirects_keep_or_change_the_method_and_only_permanent_ones_are_remembered() {
    use Method::{Get, Other, Post};
    for (status, post, other, remembered) in [
        (301, Get, Other, true),
        (302, Get, Other, false),
        (303, Get, Get, false),
        (307, Post, Other, false),
        (308, Post, Other, true),
    ] {
        for (method, expected) in [(Get, Get), (Post, post), (Other, other)] {
            let mut client = Client::new(Config { method, ..quiet() });
            assert_eq!(client.connect(), (0, method));
            client.respond_redirect(status, 1);
            assert_eq!(client.connect(), (1, expected), "{status} {method:?}");
            client.open();
            client.lose_and_wait();
            let again = if remembered { (1, expected) } else { (0, method) };
            assert_eq!(client.connect(), again, "{status} {method:?}");
        }
    }
}

#[test]
fn a_permanent_redirect_behind_a_temporary_one_is_not_remembered() {
    let mut client = Client::new(quiet());
    client.connect();
    for (status, to) in [(301, 1), (308, 2), (302, 3), (301, 4)] {
        client.respond_redirect(status, to);
        assert_eq!(client.connect().0, to);
    }
    client.open();
    client.lose_and_wait();
    assert_eq!(client.connect().0, 2);
}

#[test]
fn who_waits_tells_the_url_that_is_asked_next() {
    let mut client = Client::new(quiet());
    client.connect();
    client.respond_redirect(302, 1);
    assert_eq!(*client.source.url(), 1);
    client.connect();
    client.open();
    assert_eq!(*client.source.url(), 1);
    client.source.handle_end(client.now);
    assert_eq!(*client.source.url(), 0, "a redirect for a time is for one attempt");
    client.wait();
    assert_eq!(client.connect().0, 0);
}

#[test]
fn redirects_end_at_the_bound_and_are_counted_anew_for_each_attempt() {
    let mut client = Client::new(Config { max_redirects: 3, ..quiet() });
    for _ in 0..5 {
        client.connect();
        for to in 1..=3 {
            client.respond_redirect(307, to);
            client.connect();
        }
        client.open();
        client.lose_and_wait();
    }
    client.connect();
    for _ in 1..=3 {
        client.respond_redirect(302, 0);
        client.connect();
    }
    client.respond_redirect(302, 0);
    assert_eq!(client.drain(), ["closed: TooManyRedirects"]);
}

#[test]
fn waits_double_up_to_the_ceiling_and_an_open_stream_begins_anew() {
    let config = Config { retry: ms(1_000), backoff_ceiling: ms(6_000), ..quiet() };
    let mut client = Client::new(config);
    let mut waits = Vec::new();
    for _ in 0..6 {
        client.connect();
        waits.push(client.fail_and_wait());
    }
    assert_eq!(waits, [1_000, 2_000, 4_000, 6_000, 6_000, 6_000].map(ms));
    client.connect();
    client.open();
    assert_eq!(client.lose_and_wait(), ms(1_000));
    client.connect();
    client.open();
    client.bytes(b"retry: 9000\n");
    assert_eq!(client.lose_and_wait(), ms(9_000), "the server's own time may be over the ceiling");
    client.connect();
    client.open();
    client.bytes(b"retry: 0\n\nretry: nonsense\n\n");
    assert_eq!(client.lose_and_wait(), config.shortest_wait);
    client.connect();
    client.open();
    client.bytes(b"retry: 99999999999999999999999999\n");
    assert_eq!(client.lose_and_wait(), config.longest_wait);
}

/// The fuzzer found that it waited the ceiling from the 33rd failure on.
#[test]
fn no_wait_doubled_is_no_wait() {
    let mut client = Client::new(Config { retry: ms(0), shortest_wait: ms(0), ..quiet() });
    for _ in 0..50 {
        client.connect();
        assert_eq!(client.fail_and_wait(), ms(0));
    }
}

#[test]
fn jitter_only_adds_and_depends_on_entropy_alone() {
    let waits = |entropy| {
        let config = Config { jitter_percent: 50, backoff_ceiling: ms(1_000), ..quiet() };
        let mut client = Client::with(config, entropy, 0);
        (0..200)
            .map(|_| {
                client.connect();
                client.fail_and_wait()
            })
            .collect::<Vec<_>>()
    };
    let some = waits(1);
    assert!(some.iter().all(|wait| (ms(1_000)..=ms(1_500)).contains(wait)), "{some:?}");
    assert!(some.iter().any(|wait| *wait < ms(1_050)) && some.iter().any(|wait| *wait > ms(1_450)), "{some:?}");
    assert_eq!(some, waits(1));
    assert_ne!(some, waits(2));
}

#[test]
fn retry_after_is_the_least_to_wait() {
    let check = |status, after: Option<u64>, expected| {
        let mut client = Client::new(quiet());
        client.connect();
        let retry_after = after.map(Duration::from_secs);
        client.source.handle_response(client.now, Head { retry_after, ..Head::new(status) });
        assert_eq!(client.drain(), [format!("waiting {expected}: Status({status})")]);
    };
    check(503, Some(7), 7_000);
    check(429, Some(120), 120_000);
    check(500, None, 1_000);
    check(502, Some(0), 1_000);
    check(599, Some(u64::MAX), 3_600_000);
}

#[test]
fn attempts_are_limited_in_a_row() {
    let mut client = Client::new(Config { max_attempts: Some(2), ..quiet() });
    for _ in 0..3 {
        client.connect();
        client.fail_and_wait();
        client.connect();
        client.open();
        client.lose_and_wait();
    }
    client.connect();
    client.fail_and_wait();
    client.connect();
    client.source.handle_response(client.now, Head::new(500));
    assert_eq!(client.drain(), ["closed: Attempts(Status(500))"]);
}

#[test]
fn silence_and_a_missing_answer_end_a_connection() {
    let config = Config { liveness: Some(ms(500)), answer_timeout: Some(ms(200)), ..quiet() };
    let mut client = Client::new(config);
    client.connect();
    assert_eq!(client.source.poll_timeout(), Some(at(200)));
    client.time(199);
    assert_eq!(client.drain(), [""; 0]);
    client.time(200);
    assert_eq!(client.drain(), ["waiting 1000: NoAnswer"]);
    client.time(1_200);
    client.connect();
    client.open();
    client.time(1_600);
    assert_eq!(client.drain(), [""; 0]);
    client.bytes(b"");
    assert_eq!(client.source.poll_timeout(), Some(at(1_700)), "no byte is no sign of life");
    client.bytes(b":");
    assert_eq!(client.source.poll_timeout(), Some(at(2_100)));
    client.time(2_100);
    assert_eq!(client.drain(), ["waiting 1000: Silent"]);
}

#[test]
fn a_caller_with_a_decoder_of_its_own_tells_what_concerns_the_machine() {
    let mut client = Client::with(Config { liveness: Some(ms(500)), ..quiet() }, 1, 2);
    client.source.handle_activity(at(5));
    assert_eq!(client.source.state(), State::Connecting, "before the answer there are no bytes");
    client.connect();
    client.open();
    client.source.handle_activity(at(300));
    assert_eq!(client.source.poll_timeout(), Some(at(800)));
    assert_eq!(["a", "b", "a", ""].map(|id| client.source.is_new(id)), [true, true, false, true]);
    client.source.set_retry(70);
    client.time(800);
    assert_eq!(client.drain(), ["waiting 70: Silent"]);
}

#[test]
fn one_answer_is_not_asked_for_twice_but_an_attempt_may_be() {
    let mut client = Client::new(Config { reconnect: false, ..quiet() });
    client.connect();
    client.fail_and_wait();
    client.connect();
    client.open();
    client.source.handle_end(client.now);
    assert_eq!(client.drain(), ["closed: Over(Ended)"]);
}

#[test]
fn the_last_event_id_goes_with_every_request_and_an_unfinished_event_is_dropped() {
    let mut client = Client::new(quiet());
    client.source.set_last_event_id(IdField::new("earlier").unwrap()).unwrap();
    assert_eq!(client.connect_with_id(), "earlier");
    client.open();
    assert_eq!(client.bytes(b"id: 1\ndata: a\n\nid: 2\ndata: lost"), ["message/1/a"]);
    client.lose_and_wait();
    assert_eq!(client.connect_with_id(), "1");
    client.open();
    assert_eq!(client.bytes("\n\n\u{FEFF}data: b\n\nid\n\n".as_bytes()), [""; 0], "no byte order mark behind the start");
    assert_eq!(client.source.last_event_id(), "");
    client.lose_and_wait();
    assert_eq!(client.connect_with_id(), "");
    client.open();
    assert_eq!(client.bytes("\u{FEFF}data: c\n\n".as_bytes()), ["message//c"], "one at the start of each connection");
}

#[test]
fn repetitions_are_dropped_by_their_own_id() {
    let mut client = Client::with(quiet(), 7, 3);
    client.connect();
    client.open();
    let first = client.bytes(b"id: 1\ndata: a\n\ndata: without\n\nid: 2\ndata: b\n\ndata: without\n\n");
    assert_eq!(first, ["message/1/a", "message/1/without", "message/2/b", "message/2/without"]);
    client.lose_and_wait();
    client.connect();
    client.open();
    let again = client.bytes(b"data: own id\n\nid: 2\ndata: b\n\nid: 1\ndata: a\n\nid: 3\ndata: c\n\n");
    assert_eq!(again, ["message/2/own id", "message/3/c"]);
    assert_eq!(client.source.last_event_id(), "3");
    assert_eq!(client.bytes(b"id: 2\ndata: b\n\n: id 2 left no trace\n"), [""; 0]);
    assert_eq!(client.source.last_event_id(), "3");
    assert_eq!(client.bytes(b"id: 4\ndata: d\n\nid: 2\ndata: b\n\n"), ["message/4/d"]);
    assert_eq!(
        client.bytes(b"id: 5\ndata: e\n\nid: 2\ndata: b\n\n"),
        ["message/5/e", "message/2/b"],
        "as many as there is room for"
    );
    assert_eq!(client.bytes(b"id\ndata: x\n\nid\ndata: x\n\n"), ["message//x", "message//x"], "no id is no repetition");
}

#[test]
fn an_event_over_the_limit_is_reported_and_the_stream_goes_on() {
    let config = Config { limits: Limits { max_line: 32, max_event: 32 }, ..quiet() };
    let mut client = Client::new(config);
    client.connect();
    client.open();
    let long = format!("id: 1\ndata: {}\n\nid: 2\ndata: b\n\n", "x".repeat(64));
    assert_eq!(client.bytes(long.as_bytes()), [format!("{:?}", DecodeError::LineTooLong), "message/2/b".to_owned()]);
    assert_eq!(client.source.state(), State::Open);
}

#[test]
fn what_does_not_fit_the_state_changes_nothing() {
    let mut client = Client::new(quiet());
    client.source.handle_response(at(0), event_stream());
    client.source.handle_end(at(0));
    client.source.handle_failure(at(0));
    assert_eq!(client.connect(), (0, Method::Get), "no answer without a question");
    assert_eq!(client.bytes(b"data: early\n\n"), [""; 0]);
    client.open();
    client.source.handle_response(at(0), Head::new(204));
    assert_eq!(client.drain(), [""; 0]);
    client.source.handle_end(at(0));
    assert_eq!(client.drain(), ["waiting 1000: Ended"]);
    client.source.handle_end(at(0));
    client.source.handle_failure(at(0));
    client.source.handle_response(at(0), event_stream());
    assert_eq!(client.bytes(b"data: late\n\n"), [""; 0]);
    client.source.handle_timeout(at(999));
    assert_eq!((client.drain(), client.source.poll_timeout()), (vec![], Some(at(1_000))));
    client.source.close();
    client.source.close();
    assert_eq!(client.drain(), ["closed: ByCaller"]);
    client.source.handle_timeout(at(1 << 40));
    assert_eq!((client.drain(), client.source.poll_timeout()), (vec![], None));
}

/// What did not fit was not given: where it comes again, in other chunks, and does fit, it is.
#[test]
fn an_event_that_did_not_fit_is_given_when_it_comes_again() {
    let mut source = EventSource::new(quiet(), 0, FixedScratch::new([0; 32]), [0; 4], at(0), 1);
    let mut given = Vec::new();
    // What is no text takes three times the room, and besides what was kept of it where the event lies in two chunks.
    for chunks in [&[&b"id:1\ndata:abcd\xFF\xFF"[..], b"\xFF\n\n"][..], &[b"id:1\ndata:abcd\xFF\xFF\xFF\n\n"]] {
        source.handle_timeout(source.poll_timeout().unwrap_or(at(0)));
        while source.poll_output().is_some() {}
        source.handle_response(at(0), event_stream());
        for chunk in chunks {
            let mut received = source.handle_bytes(at(0), chunk);
            match received.next_item() {
                Ok(None) => {}
                Ok(Some(Item::Event(event))) => given.push(event.data.to_owned()),
                other => given.push(format!("{other:?}")),
            }
        }
        source.handle_end(at(0));
        while source.poll_output().is_some() {}
    }
    assert_eq!(given, ["Err(BufferFull)", "abcd\u{FFFD}\u{FFFD}\u{FFFD}"]);
}

#[test]
fn it_runs_in_memory_of_a_fixed_size() {
    let mut memory = [0; 64];
    let mut source = EventSource::new(quiet(), (), FixedScratch::new(&mut memory[..]), [0; 1], at(0), 1);
    assert!(matches!(source.poll_output(), Some(Output::Connect(_))));
    source.handle_response(at(0), event_stream());
    let mut items = 0;
    for chunk in [&b"id: 1\nda"[..], b"ta: x\n\nid: 1\ndata: x\n\n"] {
        let mut received = source.handle_bytes(at(1), chunk);
        while let Some(item) = received.next_item().unwrap() {
            items += usize::from(matches!(item, Item::Event(_)));
        }
    }
    assert_eq!((items, source.last_event_id()), (1, "1"));
}

/// What a test sees of a client. URLs are numbers.
struct Client {
    source: EventSource<u8, HeapScratch, Vec<u64>>,
    now: Instant,
}

impl Client {
    fn new(config: Config) -> Self {
        Self::with(config, 1, 0)
    }

    fn with(config: Config, entropy: u64, remembered: usize) -> Self {
        Self { source: EventSource::new(config, 0, HeapScratch::new(), vec![0; remembered], at(0), entropy), now: at(0) }
    }

    /// The request it wants made now.
    fn connect(&mut self) -> (u8, Method) {
        match self.source.poll_output() {
            Some(Output::Connect(request)) => (*request.url, request.method),
            other => panic!("{other:?}"),
        }
    }

    fn connect_with_id(&mut self) -> String {
        match self.source.poll_output() {
            Some(Output::Connect(request)) => request.last_event_id.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self) {
        self.source.handle_response(self.now, event_stream());
        assert_eq!(self.drain(), ["opened"]);
    }

    fn respond_redirect(&mut self, status: u16, to: u8) {
        self.source.handle_response(self.now, Head { location: Some(to), ..Head::new(status) });
    }

    fn bytes(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut received = self.source.handle_bytes(self.now, bytes);
        let mut seen = Vec::new();
        loop {
            match received.next_item() {
                Ok(None) => return seen,
                Ok(Some(Item::Event(event))) => seen.push(format!("{}/{}/{}", event.event, event.last_event_id, event.data)),
                Ok(Some(_)) => {}
                Err(error) => seen.push(format!("{error:?}")),
            }
        }
    }

    fn time(&mut self, millis: u64) {
        self.now = at(millis);
        self.source.handle_timeout(self.now);
    }

    fn lose_and_wait(&mut self) -> Duration {
        self.source.handle_end(self.now);
        self.wait()
    }

    fn fail_and_wait(&mut self) -> Duration {
        self.source.handle_failure(self.now);
        self.wait()
    }

    fn wait(&mut self) -> Duration {
        let Some(Output::Waiting { delay, .. }) = self.source.poll_output() else { panic!("it does not wait") };
        let until = self.source.poll_timeout().unwrap();
        assert_eq!(until.since(self.now), delay);
        self.now = until;
        self.source.handle_timeout(self.now);
        delay
    }

    fn drain(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.source.poll_output().map(|output| show(&output))).collect()
    }
}

/// Without chance and without a time limit.
fn quiet() -> Config {
    Config { jitter_percent: 0, answer_timeout: None, ..Config::default() }
}

fn event_stream<L>() -> Head<'static, L> {
    Head { content_type: Some("text/event-stream"), ..Head::new(200) }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// ---- Operations, for the naive model

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let status = prop_oneof![
        6 => Just(200u16), 4 => prop::sample::select(vec![301u16, 302, 303, 307, 308]), 3 => prop::sample::select(vec![429u16, 500, 503]),
        1 => prop::sample::select(vec![204u16, 206, 404, 600])
    ];
    let respond = (status, prop::bool::weighted(0.97), prop::option::weighted(0.95, 0u8..4), prop::option::of(0u64..20))
        .prop_map(|(status, event_stream, location, retry_after)| Op::Respond { status, event_stream, location, retry_after });
    let bytes = prop::sample::select(vec![
        "",
        ":\n",
        "data: x\n\n",
        "\r",
        "data: y\nid: 2",
        "id: 1\ndata: z\n\n",
        "id: 1\n\n",
        "id: 2\ndata: y\n\n",
        "retry: 40\n",
        "retry: 99999\n",
        "id\n\n",
    ]);
    let op = prop_oneof![
        8 => Just(Op::Drain), 8 => respond, 6 => bytes.prop_map(|bytes| Op::Bytes(bytes.into())), 3 => Just(Op::End), 3 => Just(Op::Failure), 1 => prop::bool::weighted(0.1).prop_map(|bad| if bad { Op::Unsendable } else { Op::Drain }),
        6 => (0u64..200).prop_map(Op::Wait), 3 => (-300i64..300).prop_map(Op::Clock), 1 => (0u64..20_000, 0u8..4).prop_map(|(retry, id)| Op::Told { retry, id }), 2 => prop::sample::select(vec!["", "1", "2", "elsewhere"]).prop_map(Op::Resume), 1 => prop::bool::weighted(0.2).prop_map(|close| if close { Op::Close } else { Op::Drain })
    ];
    vec(op, 1..120)
}

fn configs() -> impl Strategy<Value = Config> {
    let method = prop::sample::select(vec![Method::Get, Method::Post, Method::Other]);
    let limits = (prop::option::of(1u64..2_000), prop::option::of(1u64..2_000), prop::option::of(1u32..6), 0u32..4);
    (method, limits, any::<(bool, bool)>(), (1u64..500, 0u64..100, 1u64..3_000, 0u8..=100)).prop_map(
        |(
            method,
            (answer, liveness, max_attempts, max_redirects),
            (retry_statuses, reconnect),
            (retry, shortest, ceiling, jitter_percent),
        )| Config {
            method,
            limits: Limits::default(),
            retry: ms(retry),
            shortest_wait: ms(shortest),
            backoff_ceiling: ms(ceiling),
            longest_wait: ms(10_000),
            jitter_percent,
            answer_timeout: answer.map(ms),
            liveness: liveness.map(ms),
            max_attempts,
            max_redirects,
            retry_statuses,
            reconnect,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(config in configs(), ops in ops(), remembered in 0usize..4, entropy in any::<u64>()) {
        check(config, remembered, entropy, &ops);
    }

    #[test]
    fn after_draining_and_time_nothing_is_due(config in configs(), ops in ops()) {
        let mut source = EventSource::new(config, 0u8, HeapScratch::new(), [0u64; 0], at(0), 3);
        let mut now = 0;
        for op in ops {
            while source.poll_output().is_some() {}
            now += match op { Op::Wait(by) => by, Op::Clock(by) => by.unsigned_abs(), _ => 0 };
            match op {
                Op::Respond { status, location, .. } => {
                    source.handle_response(at(now), Head { content_type: Some("text/event-stream"), location, ..Head::new(status) });
                }
                Op::End => source.handle_end(at(now)),
                Op::Failure => source.handle_failure(at(now)),
                _ => {}
            }
            // A time-out may lead to a wait, and that to a request: then it is the server's turn.
            for _ in 0..3 {
                while source.poll_output().is_some() {}
                source.handle_timeout(at(now));
            }
            while source.poll_output().is_some() {}
            prop_assert!(source.poll_timeout().is_none_or(|due| due > at(now)), "{:?} at {}", source.poll_timeout(), now);
        }
    }

    /// Against a server that has all events and resumes where it is asked to, every event comes once, wherever streams are cut. With
    /// a memory of ids, also from a server that sends some before it again.
    #[test]
    fn cut_anywhere_every_event_comes_once(cuts in vec((0usize..200, any::<bool>()), 0..60), again in 0usize..5, chunk in 1usize..40) {
        let events = 60;
        let mut source = EventSource::new(quiet(), (), HeapScratch::new(), [0u64; 8], at(0), 5);
        let mut got = Vec::new();
        let mut cuts = cuts.into_iter();
        let mut now = 0;
        while got.len() < events {
            now += 10_000;
            source.handle_timeout(at(now));
            let Some(Output::Connect(request)) = source.poll_output() else { panic!("no request") };
            let known: usize = request.last_event_id.parse().unwrap_or(0);
            let stream: String = (known.saturating_sub(again) + 1..=events)
                .map(|number| format!("id: {number}\r\nevent: e\r\ndata: {number}\r\ndata: …\r\n\r\n"))
                .collect();
            let (cut, orderly) = cuts.next().unwrap_or((usize::MAX, true));
            source.handle_response(at(now), event_stream());
            for bytes in stream.as_bytes()[..cut.min(stream.len())].chunks(chunk) {
                let mut received = source.handle_bytes(at(now), bytes);
                while let Some(item) = received.next_item().unwrap() {
                    if let Item::Event(event) = item {
                        got.push(event.data.to_owned());
                    }
                }
            }
            if orderly { source.handle_end(at(now)) } else { source.handle_failure(at(now)) }
            while source.poll_output().is_some() {}
        }
        prop_assert_eq!(got, (1..=events).map(|number| format!("{number}\n…")).collect::<Vec<_>>());
    }
}
