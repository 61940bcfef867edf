//! What allocates nothing. Counted per thread, so that tests beside these do not disturb them.

use sse_proto::wire::{self, Decoder, Event, Item};
use sse_proto::{
    ClientId, Config, ConnId, Engine, Epoch, Heap, Instant, Limits, MemoryBounds, Outcome, Output, Registration, RowSizes,
    Target,
};
use sse_tests::heap::{Counting, allocations, forget_peak, live, peak};

#[test]
fn an_event_whole_in_its_chunk_allocates_nothing() {
    let mut decoder = Decoder::new(wire::Limits::default());
    let chunk = "data: {\"token\":\"…\"}\n\nevent: delta\r\ndata: x\r\n\r\n: keep-alive\n\n".repeat(100);
    let mut events = 0;
    let allocations = counted(|| {
        for _ in 0..3 {
            let mut feed = decoder.feed(chunk.as_bytes());
            while let Some(item) = feed.next_item().unwrap() {
                events += usize::from(matches!(item, Item::Event(_)));
            }
        }
    });
    assert_eq!((events, allocations), (600, 0));
}

#[test]
fn ids_joined_lines_and_straddling_events_use_their_memory_again() {
    let mut decoder = Decoder::new(wire::Limits::default());
    let stream = "id: 1\ndata: a\ndata: b\n\nid: 2\nevent: e\nretry: 3\ndata: c\n\n".repeat(100);
    let mut decode = || {
        for chunk in stream.as_bytes().chunks(50) {
            let mut feed = decoder.feed(chunk);
            while feed.next_item().unwrap().is_some() {}
        }
    };
    assert!(counted(&mut decode) > 0, "the counter counts");
    assert_eq!(counted(decode), 0);
}

/// A peer that never ends a line, or an event, is given what the limits say and no more: what is kept grows fourfold, so up to four
/// times as much is reserved, and both sizes are there while it moves.
#[test]
fn endless_lines_and_events_hold_no_more_than_the_limits() {
    let limits = wire::Limits { max_line: 10_000, max_event: 30_000 };
    for endless in
        [&b"data: xx"[..], b"data: xxxxxxxxxxxxxxxxxxxxxxxxx\n", b"data:\xFF\xFF\xFF\xFF\xFF\xFF\xFF\n", b": c\n", b"id: 1\n"]
    {
        let mut decoder = Decoder::new(limits);
        let before = live();
        forget_peak();
        for _ in 0..100_000 {
            let mut feed = decoder.feed(endless);
            while !matches!(feed.next_item(), Ok(None)) {}
        }
        let (peak, most) = (peak() - before, 5 * (limits.max_event + limits.max_line + 64) as isize);
        assert!(peak <= most, "{:?} repeated: {peak} bytes of {most}", String::from_utf8_lossy(endless));
    }
}

/// However long a chunk is, what is kept of it is the line that it leaves unfinished.
#[test]
fn of_a_long_chunk_its_last_line_is_kept() {
    let chunk = [&b"data: x\n\n".repeat(10_000)[..], b"data: y"].concat();
    let mut decoder = Decoder::new(wire::Limits::default());
    let before = live();
    let mut feed = decoder.feed(&chunk);
    while feed.next_item().unwrap().is_some() {}
    let kept = live() - before;
    assert!(kept < 1_000, "{kept} bytes are kept of {}", chunk.len());
    assert!(matches!(decoder.feed(b"\n\n").next_item(), Ok(Some(Item::Event(event))) if event.data == "y"));
}

/// docs/memory.md says so; `cargo bench -p sse-proto --bench engine` prints it.
#[test]
#[cfg(target_pointer_width = "64")]
fn rows_are_as_large_as_the_documentation_says() {
    let docs = include_str!("../../docs/memory.md");
    let rows = ["a connection", "a client", "a label", "a topic of one client", "a task", "a frame in the log"];
    let [connection, client, label, subscription, task, log_entry] = rows.map(|row| {
        let cells =
            docs.lines().find_map(|line| line.strip_prefix(&format!("| {row} | "))).expect("the table of docs/memory.md");
        cells.split([' ', ',']).next().and_then(|size| size.parse().ok()).expect("bytes on the heap")
    });
    assert_eq!(Engine::<Heap>::ROW_SIZES, RowSizes { connection, client, label, subscription, task, log_entry });
}

/// Rows, twice as many as may be used; 11 bytes of an index for what is found by name; and texts as long as they may be.
#[test]
fn the_bound_is_the_sum_of_what_the_documentation_says() {
    let RowSizes { connection, client, label, subscription, task, log_entry } = Engine::<Heap>::ROW_SIZES;
    let sizes = [connection, client + 11, label + 11, subscription, task, log_entry + 11];
    let [connection, client, label, subscription, task, log_entry] = sizes.map(|size| 2 * size as u64);
    let limits = Limits {
        connections: 2,
        clients: 30,
        issued_ids: 5,
        groups: 7,
        topics: 11,
        subscriptions: 13,
        tasks: 17,
        detail_bytes: 1900,
        name_bytes: 19,
        topic_bytes: 23,
        log_bytes: 1000,
        log_entries: 29,
        frame_bytes: 300,
        ..Limits::default()
    };
    let expected = MemoryBounds {
        log: 1000 + 29 * log_entry + 2 * 300,
        connections: 2 * connection,
        clients: 35 * (client + 19) + 35 * (label + 19) + 7 * (label + 19),
        topics: 11 * (label + 23) + 13 * subscription,
        tasks: 17 * (task + 19) + 1900,
    };
    assert_eq!(Engine::<Heap>::memory_bounds(&limits), expected);
}

/// A place for a topic may be taken by a user name that only frames name, and a notice is made beside the log.
#[test]
fn names_in_the_log_and_notices_are_within_the_bound() {
    let now = Instant::from_millis(1);
    let one = Limits {
        connections: 1,
        clients: 1,
        issued_ids: 1,
        groups: 1,
        topics: 1,
        subscriptions: 1,
        tasks: 1,
        ..Limits::default()
    };
    let within = |limits: Limits, fill: fn(&mut Engine<Heap>, Instant)| {
        let bounds = Engine::<Heap>::memory_bounds(&limits);
        let most = bounds.log + bounds.connections + bounds.clients + bounds.topics + bounds.tasks;
        let before = live();
        let mut engine = Engine::<Heap>::new(Config { limits, ..Config::default() }, Epoch(1), [1, 2]).unwrap();
        fill(&mut engine, now);
        let taken = live() - before;
        assert!(taken as u64 <= most, "{taken} bytes of {most}: {bounds:?}");
    };
    let names = Limits { topics: 2_000, name_bytes: 1_000, topic_bytes: 8, frame_bytes: 4_000, log_bytes: 100_000, ..one };
    within(Limits { log_entries: 2_000, detail_bytes: 0, ..names }, |engine, now| {
        for number in 0..2_000 {
            engine.publish(now, Target::UserName(&format!("{number:01000}")), &Event::data("x")).unwrap();
        }
        assert_eq!(engine.usage().log_entries, 2_000);
    });
    let notices = Limits { name_bytes: 8, topic_bytes: 8, frame_bytes: 110_000, log_bytes: 220_000, log_entries: 4, ..one };
    within(Limits { detail_bytes: 100_000, ..notices }, |engine, now| {
        let bob = Registration::new(ClientId::new("bob_1").unwrap());
        let away = engine.register(now, &bob).unwrap();
        engine.submit(now, away.client, "job").unwrap();
        engine.handle_disconnect(now, away.conn).unwrap();
        let result = "1".repeat(100_000);
        engine.complete_at(now, 1, Some(away.client), "", "bob", "job", Outcome::Completed(Some(&result))).unwrap();
        let conn = engine.register(now, &bob).unwrap().conn;
        let greeting = engine.transmit(conn, &mut [b""]).map(|_| usize::MAX).unwrap();
        engine.handle_written(now, conn, greeting).unwrap();
        let mut notice = [&b""[..]];
        engine.transmit(conn, &mut notice).unwrap();
        assert!(notice[0].len() > result.len());
    });
}

/// Every table filled to its limit, with names as long as may be.
#[test]
fn a_crowd_takes_no_more_than_the_bound_and_gives_it_back() {
    const CROWD: u32 = 1_000;
    let limits = Limits {
        connections: CROWD,
        clients: CROWD,
        issued_ids: 1,
        groups: 1,
        topics: CROWD,
        subscriptions: CROWD,
        tasks: CROWD,
        name_bytes: 64,
        topic_bytes: 64,
        log_bytes: 64 << 10,
        frame_bytes: 1 << 10,
        log_entries: 100,
        ..Limits::default()
    };
    let bounds = Engine::<Heap>::memory_bounds(&limits);
    let most = bounds.log + bounds.connections + bounds.clients + bounds.topics + bounds.tasks;
    let before = live();
    let mut engine = Engine::<Heap>::new(Config { limits, ..Config::default() }, Epoch(1), [1, 2]).unwrap();
    let now = Instant::from_millis(1);
    let empty = live() - before;
    let crowd: Vec<ConnId> = (0..CROWD)
        .map(|n| {
            let (id, topic) = (format!("{n:062}_x"), format!("{n:064}"));
            let wish = Registration { topics: &[&topic], passing: true, ..Registration::new(ClientId::new(&id).unwrap()) };
            let registered = engine.register(now, &wish).unwrap();
            engine.submit(now, registered.client, &topic).unwrap();
            registered.conn
        })
        .collect();
    let ids = size_of_val(&crowd[..]) as isize;
    let full = live() - before - ids;
    assert!(full > 10 * empty.max(1) && full as u64 <= most, "{empty} bytes, then {full} of {most}: {bounds:?}");
    for client in engine.clients().map(|client| client.key).collect::<Vec<_>>() {
        engine.unregister(now, client, true).unwrap();
    }
    while engine.poll_output().is_some() {}
    assert_eq!(engine.usage().clients, 0);
    let left = live() - before - ids;
    assert!(left < empty + (16 << 10), "{left} bytes are left of {full}; {empty} before anyone came");
}

/// What a machine with few descriptors cannot show over sockets: so many streams that are idle take little, and ask for nothing
/// before their heartbeat.
#[test]
fn a_hundred_thousand_idle_connections_fit_and_rest() {
    const CROWD: u32 = 100_000;
    let limits = Limits { connections: CROWD, log_bytes: 1 << 20, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let heartbeat = config.heartbeat.expect("a heartbeat");
    let mut engine = Engine::<Heap>::new(config, Epoch(1), [1, 2]).unwrap();
    let before = live();
    let now = Instant::from_millis(1);
    for n in 0..CROWD {
        let id = format!("anonymous-{n:08}_0123456789abcdef0123456789");
        let wish = Registration { topics: &["news"], passing: true, ..Registration::new(ClientId::new(&id).unwrap()) };
        engine.register(now, &wish).unwrap();
    }
    while let Some(output) = engine.poll_output() {
        let Output::Write(conn) = output else { panic!("{output:?}") };
        let mut slices = [&b""[..]; 4];
        let filled = engine.transmit(conn, &mut slices).unwrap();
        let len = slices[..filled].iter().map(|slice| slice.len()).sum();
        engine.handle_written(now, conn, len).unwrap();
    }
    assert_eq!(engine.poll_timeout(), Some(now.plus(heartbeat)));
    let each = (live() - before) / CROWD as isize;
    eprintln!("{each} bytes on the heap for an idle connection, its client, topic and names");
    assert!(each < 1024, "{each} bytes each");
}

fn counted(run: impl FnOnce()) -> usize {
    let before = allocations();
    run();
    allocations() - before
}

#[global_allocator]
static HEAP: Counting = Counting;
