//! Everything of `sse-proto` that a wasm host would call, in one module that imports nothing: `tests/run wasm` looks, and runs it.

use sse_proto::client::{Config as ClientConfig, EventSource, Head, Output as ClientOutput};
use sse_proto::storage::HeapScratch;
use sse_proto::wire::{Event, Item};
use sse_proto::{ClientId, Config, Engine, Epoch, Heap, Instant, Output, Registration, Target};

/// A hub publishes, a client hears it. 1 if it does.
// SAFETY: no other symbol of this module has that name.
#[unsafe(no_mangle)]
pub extern "C" fn probe() -> i32 {
    i32::from(hear(&publish().unwrap_or_default()) == Some("hello".into()))
}

fn publish() -> Option<Vec<u8>> {
    let now = Instant::from_millis(1);
    let mut engine = Engine::<Heap>::new(Config::default(), Epoch(1), [1, 2]).ok()?;
    engine.register(now, &Registration::new(ClientId::new("bob_1").ok()?)).ok()?;
    engine.publish(now, Target::All, &Event::data("hello")).ok()?;
    let mut wire = Vec::new();
    while let Some(output) = engine.poll_output() {
        let Output::Write(conn) = output else { continue };
        loop {
            let mut slices = [&b""[..]; 4];
            let filled = engine.transmit(conn, &mut slices).ok()?;
            let bytes = slices[..filled].concat();
            engine.handle_written(now, conn, bytes.len()).ok()?;
            wire.extend_from_slice(&bytes);
            if filled == 0 {
                break;
            }
        }
    }
    Some(wire)
}

fn hear(wire: &[u8]) -> Option<String> {
    let now = Instant::from_millis(2);
    let mut source = EventSource::new(ClientConfig::default(), (), HeapScratch::new(), [0; 8], now, 3);
    let Some(ClientOutput::Connect(_)) = source.poll_output() else { return None };
    source.handle_response(now, Head { content_type: Some("text/event-stream"), ..Head::new(200) });
    let mut heard = None;
    for chunk in wire.chunks(7) {
        let mut received = source.handle_bytes(now, chunk);
        while let Ok(Some(item)) = received.next_item() {
            if let Item::Event(event) = item {
                heard = Some(event.data.to_owned());
            }
        }
    }
    heard
}
