//! Any `Last-Event-ID` on any history: the stream starts where the model says, and an id that parses is written as it was read.

use core::time::Duration;

use sse_proto::wire::{Event, IdField};
use sse_proto::{ClientId, Config, EventId, Limits, Overrun, Registration, Resume, Target};

use super::Choices;
use crate::harness::Harness;

/// How large the log is, then events with ids and streams that resume.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let flags = choices.byte();
    let (log_bytes, log_entries) = choices.one_of(&[(600, 3), (1_024, 64), (8 * 1_024, 2), (64 * 1_024, 64)]);
    let tables =
        Limits { connections: 8, clients: 2, issued_ids: 1, groups: 1, topics: 1, subscriptions: 2, ..Limits::default() };
    let limits = Limits { log_bytes, log_entries, frame_bytes: 300, name_bytes: 40, ..tables };
    let overrun = if flags & 1 == 0 { Overrun::Close } else { Overrun::Skip };
    let (dormant_after, sweep_every) = (Duration::from_secs(60), Duration::from_secs(1));
    let mut hub = Harness::new(Config { limits, overrun, dormant_after, sweep_every, ..Config::default() });
    let mut ids = vec![String::new()];
    for _ in 0..MOST {
        if choices.is_empty() {
            break;
        }
        match choices.byte() % 8 {
            0 => publish(&mut hub, Some(choices.text()), &mut ids),
            1 => {
                let again = choices.one_of(&[0, 1, 2, 3, 4, 5, 6, 7]) % ids.len();
                publish(&mut hub, Some(ids[again].clone()), &mut ids);
            }
            2 => publish(&mut hub, None, &mut ids),
            3 => hub.observe(u64::from(choices.byte())),
            4 => hub.drive_by(usize::from(choices.byte()), 2),
            5 => resume(&mut hub, &choices.text()),
            6 => {
                // An id that was given out, or nearly.
                let mut id = ids[usize::from(choices.byte()) % ids.len()].clone().into_bytes();
                if let Some(at) = usize::from(choices.byte()).checked_rem(id.len()) {
                    id[at] = choices.byte();
                }
                resume(&mut hub, &String::from_utf8_lossy(&id));
            }
            _ => {
                let id = EventId { sequence: choices.short().into(), ..hub.engine().last_event_id() };
                resume(&mut hub, &id.to_string());
            }
        }
    }
    hub.everything_ends();
}

fn publish(hub: &mut Harness, id: Option<String>, ids: &mut Vec<String>) {
    let id = id.map(|id| id.replace(['\r', '\n', '\0'], ""));
    let field = id.as_deref().map(|id| IdField::new(id).expect("no character of it is forbidden"));
    let event = Event { id: field, data: Some("x"), ..Event::default() };
    if let Ok(number) = hub.publish_at(0, Target::All, &event) {
        ids.push(id.unwrap_or_else(|| number.to_string()));
    }
}

fn resume(hub: &mut Harness, last_event_id: &str) {
    if let Some(id) = EventId::parse(last_event_id) {
        assert_eq!(id.to_string(), last_event_id, "an id has one form");
    }
    let name = ClientId::new("bob_1").expect("an id");
    let wish = Registration { resume: Resume::After(last_event_id), replace: true, ..Registration::new(name) };
    let _ = hub.register(&wish);
}

/// Each step is compared with the model, which is slow.
const MOST: usize = 100;
