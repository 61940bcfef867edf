//! Streams and what they decode to, written down: `tests/vectors/`. Their format is told at the head of `decoder-vectors.json`;
//! `more-vectors.json` adds `max_event`, the limit under which a stream is decoded, and `errors`, how many events are over it.

use serde_json::Value;
use sse_proto::wire::Limits;

use crate::decoding::Seen;

/// A stream and what it decodes to.
#[derive(Debug)]
pub struct Vector {
    /// What it is about.
    pub name: String,
    /// The stream.
    pub input: Vec<u8>,
    /// Where to cut it.
    pub chunkings: Vec<Vec<usize>>,
    /// The last event id before it.
    pub initial: String,
    /// The longest event, where that is limited.
    pub max_event: Option<usize>,
    /// Its events, all of them [`Seen::Event`].
    pub events: Vec<Seen>,
    /// How many events are refused.
    pub errors: usize,
    /// The last event id behind it.
    pub last_event_id: String,
    /// The reconnection time it sets: any of these passes.
    pub retries: Vec<Option<u64>>,
    /// With how many bytes each event is there.
    pub deliverable_after: Vec<usize>,
}

/// All of them.
pub fn vectors() -> Vec<Vector> {
    let files = [include_str!("../vectors/decoder-vectors.json"), include_str!("../vectors/more-vectors.json")];
    let vectors = files.map(|file| {
        let file: Value = serde_json::from_str(file).expect("JSON");
        list(&file["vectors"]).map(Vector::parse).collect::<Vec<_>>()
    });
    assert_eq!(vectors[0].len(), 168);
    vectors.into_iter().flatten().collect()
}

impl Vector {
    /// The limits it is decoded under. Its other lines may be longer than its events: as `examples/decode.rs` has it.
    pub fn limits(&self) -> Limits {
        match self.max_event {
            None => Limits::default(),
            Some(max_event) => Limits { max_event, max_line: (max_event + "data: ".len()).max(1 << 20) },
        }
    }

    fn parse(json: &Value) -> Self {
        let input = match &json["input_base64"] {
            Value::String(text) => base64(text),
            _ => list(&json["input_parts"])
                .flat_map(|part| base64(part["base64"].as_str().expect("base64")).repeat(size(&part["repeat"])))
                .collect(),
        };
        let expected = &json["expected"];
        Self {
            name: json["name"].as_str().expect("a name").to_owned(),
            input,
            chunkings: list(&json["chunkings"]).map(|cuts| list(cuts).map(size).collect()).collect(),
            initial: json["initial_last_event_id"].as_str().unwrap_or_default().to_owned(),
            max_event: json["max_event"].as_u64().map(|bytes| bytes as usize),
            events: list(&expected["events"])
                .map(|event| Seen::Event {
                    event: event["type"].as_str().expect("a type").to_owned(),
                    data: text(event, "data", "data_parts"),
                    last_event_id: text(event, "last_event_id", "last_event_id_parts"),
                })
                .collect(),
            errors: expected["errors"].as_u64().unwrap_or_default() as usize,
            last_event_id: text(expected, "final_last_event_id", "final_last_event_id_parts"),
            retries: match &expected["retry_ms_any_of"] {
                Value::Array(any) => any.iter().map(Value::as_u64).collect(),
                _ => vec![expected["retry_ms"].as_u64()],
            },
            deliverable_after: list(&json["deliverable_after"]).map(size).collect(),
        }
    }
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn size(json: &Value) -> usize {
    json.as_u64().expect("a number") as usize
}

fn text(json: &Value, whole: &str, parts: &str) -> String {
    match json[whole].as_str() {
        Some(text) => text.to_owned(),
        None => list(&json[parts]).map(|part| part["text"].as_str().expect("text").repeat(size(&part["repeat"]))).collect(),
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().enumerate().fold(0, |bits, (index, byte)| bits | u32::from(digit(*byte)) << (18 - 6 * index));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
