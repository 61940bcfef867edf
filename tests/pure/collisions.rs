//! Names and ids whose hashes are the same are not the same.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use sse_proto::wire::{Event, IdField};
use sse_proto::{ClientId, Config, Engine, Epoch, Heap, Instant, Registration, Resume, Target};

const NOW: Instant = Instant::from_millis(1_000);

/// With a key of zeros, names are hashed as the standard library does it.
fn engine() -> Engine<Heap> {
    Engine::new(Config::default(), Epoch(7), [0, 0]).unwrap()
}

#[test]
fn of_clients() {
    // The first group that is made stands in slot 0, which salts the ids of its clients.
    let [one, other] = collision(|id| salted(id, 0));
    let mut engine = engine();
    let mut register = |id: &str| engine.register(NOW, &Registration::new(ClientId::new(id).unwrap())).unwrap();
    let (first, second) = (register(&one), register(&other));
    assert!(!second.returning && first.client != second.client);
    assert_eq!(engine.find("", &one), Some(first.client));
    assert_eq!(engine.find("", &other), Some(second.client));
}

#[test]
fn of_topics() {
    // Topics are the third kind of label.
    let [one, other] = collision(|topic| salted(topic, 2));
    let mut engine = engine();
    let bob = engine.register(NOW, &Registration::new(ClientId::new("bob_1").unwrap())).unwrap();
    assert_eq!(engine.listen(NOW, bob.client, &one), Ok(true));
    assert_eq!(engine.listen(NOW, bob.client, &other), Ok(true));
    assert!(engine.topics(bob.client).eq([&*one, &*other]));
    assert_eq!(engine.usage().topics, 2);
}

#[test]
fn of_event_ids() {
    let [one, other] =
        collision(|id| id.bytes().fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)));
    let mut engine = engine();
    for id in [&*one, &*other, "last"] {
        let id = Some(IdField::new(id).unwrap());
        engine.publish(NOW, Target::All, &Event { id, ..Event::data("x") }).unwrap();
    }
    let mut left_after = |id: &str| {
        let registration = Registration { resume: Resume::After(id), ..Registration::new(ClientId::new("bob_1").unwrap()) };
        let bob = engine.register(NOW, &registration).unwrap();
        assert_eq!(bob.gap, None);
        while engine.poll_output().is_some() {}
        let mut sent = Vec::new();
        loop {
            let mut slices = [&b""[..]; 4];
            let filled = engine.transmit(bob.conn, &mut slices).unwrap();
            let given = slices[..filled].concat();
            if given.is_empty() {
                break;
            }
            engine.handle_written(NOW, bob.conn, given.len()).unwrap();
            sent.extend(given);
        }
        String::from_utf8(sent).unwrap().matches("data:x").count()
    };
    assert_eq!([left_after(&one), left_after(&other), left_after("last")], [2, 1, 0]);
}

fn salted(name: &str, salt: u8) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    hasher.write_u8(salt);
    hasher.finish() as u32
}

/// Two names with the same hash: among a hundred thousand there are some.
fn collision(hash: impl Fn(&str) -> u32) -> [String; 2] {
    let mut seen = HashMap::new();
    for n in 0.. {
        let name = n.to_string();
        if let Some(earlier) = seen.insert(hash(&name), name.clone()) {
            return [earlier, name];
        }
    }
    unreachable!("there are more names than hashes")
}
