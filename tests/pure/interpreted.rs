//! What `tests/run miri` interprets: a hub and a client, once through everything that has memory of its own. An interpreter is ten thousand
//! times slower, so what is random or long is for the other tests.

use sse_proto::storage::{FixedScratch, HeapScratch, Scratch};
use sse_proto::wire::{Decoder, Event, IdField, Item};
use sse_proto::{
    ClientId, Config, ConnId, Engine, Epoch, Heap, Instant, Limits, Outcome, Output, Registration, Resume, Target, Usage,
};

const NOW: Instant = Instant::from_millis(1_000);

#[test]
fn a_hub_and_its_clients() {
    let limits = Limits { log_bytes: 600, log_entries: 5, frame_bytes: 256, name_bytes: 32, ..Limits::default() };
    let mut hub = Engine::<Heap>::new(Config { limits, ..Config::default() }, Epoch(7), [1, 2]).unwrap();
    let bob = Registration { topics: &["t", "u"], ..Registration::new(ClientId::new("bob_1").unwrap()) };
    let first = hub.register(NOW, &bob).unwrap();
    let ann = hub.register(NOW, &Registration::new(ClientId::new("ann_1").unwrap())).unwrap();
    hub.allocate_id(NOW, "", "eve", &[3; 32]).unwrap();
    let mut wire = drive(&mut hub, first.conn);
    let both = [first.client, ann.client];
    // The ring wraps, and lets go of ids and names.
    for number in 0..12 {
        let (own, data) = (format!("own-{number}"), format!("{number}\n{}", "x".repeat(number * 7)));
        let id = (number % 3 == 0).then(|| IdField::new(&own).unwrap());
        let target = [Target::All, Target::Topic("t"), Target::Clients(&both)][number % 3];
        hub.publish(NOW, target, &Event { id, data: Some(&data), ..Event::default() }).unwrap();
        wire += &drive(&mut hub, first.conn);
    }
    hub.submit(NOW, first.client, "k").unwrap();
    hub.complete_at(NOW, 0, Some(first.client), "", "bob", "k", Outcome::Completed(Some("[1]"))).unwrap();
    assert!(hub.unlisten(NOW, first.client, "u").unwrap());
    hub.handle_disconnect(NOW, first.conn).unwrap();
    let again = hub.register(NOW, &Registration { resume: Resume::After("own-9"), ..bob }).unwrap();
    wire += &drive(&mut hub, again.conn);
    assert_eq!(wire.matches("data:11\n").count(), 2, "{wire}");
    assert!(wire.contains("event:completed\ndata:{\"task\":\"k\""), "{wire}");

    let events = wire.split("\n\n").filter(|frame| frame.contains("data:")).count();
    for chunk in [1, 7, 64, wire.len()] {
        let heap = decode(Decoder::with_scratch(Default::default(), HeapScratch::new()), &wire, chunk);
        let fixed = decode(Decoder::with_scratch(Default::default(), FixedScratch::new([0; 1024])), &wire, chunk);
        assert_eq!((heap, fixed), (events, events), "in chunks of {chunk}");
    }
    hub.clear(NOW, true);
    while hub.poll_output().is_some() {}
    let Usage { connections, clients, tasks, issued_ids, .. } = hub.usage();
    assert_eq!((connections, clients, tasks, issued_ids), (0, 0, 0, 0));
}

/// Everything is written, and what was written to `of`.
fn drive(hub: &mut Engine<Heap>, of: ConnId) -> String {
    let mut wire = Vec::new();
    while let Some(output) = hub.poll_output() {
        let Output::Write(conn) = output else { continue };
        loop {
            let mut slices = [&b""[..]; 2];
            let filled = hub.transmit(conn, &mut slices).unwrap();
            let bytes = slices[..filled].concat();
            let taken = bytes.len().min(100);
            hub.handle_written(NOW, conn, taken).unwrap();
            if taken == 0 {
                break;
            }
            if conn == of {
                wire.extend_from_slice(&bytes[..taken]);
            }
        }
    }
    String::from_utf8(wire).unwrap()
}

fn decode(mut decoder: Decoder<impl Scratch>, wire: &str, chunk: usize) -> usize {
    let mut events = 0;
    for chunk in wire.as_bytes().chunks(chunk) {
        let mut feed = decoder.feed(chunk);
        while let Some(item) = feed.next_item().unwrap() {
            events += usize::from(matches!(item, Item::Event(_)));
        }
    }
    events
}
