//! What streams decode to, for tests of other decoders: a case on every line of standard input, what it gives on every line of standard
//! output, as JSON.
//!
//! ```text
//! {"maxLine": 64, "maxEvent": 64, "lastEventId": "", "chunks": ["data: x\n", "\n"]}
//! [["id", ""], ["event", "message", "x", ""], ["id", ""]]
//! ```
//!
//! Each character of a chunk is a byte. Of each chunk there are its events, then what else it gave, then the last event id.
#![allow(clippy::print_stdout)]

use std::io::{self, BufRead as _};
use std::process::ExitCode;

use serde_json::{Value, json};
use sse_proto::wire::{DecodeError, Decoder, IdField, Limits};
use sse_tests::decoding::{Seen, feed};

fn main() -> ExitCode {
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let seen = line.map_err(|error| error.to_string()).and_then(|line| decode(&line));
        match seen {
            Ok(seen) => println!("{seen}"),
            Err(error) => {
                eprintln!("sse-decoded: line {}: {error}", number + 1);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn decode(line: &str) -> Result<Value, String> {
    let case: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let limit = |name| case[name].as_u64().map(|limit| limit as usize).ok_or_else(|| format!("{name} must be a number"));
    let mut decoder = Decoder::new(Limits { max_line: limit("maxLine")?, max_event: limit("maxEvent")? });
    let id =
        IdField::new(case["lastEventId"].as_str().ok_or("lastEventId must be a text")?).map_err(|error| error.to_string())?;
    decoder.set_last_event_id(id).map_err(|error| error.to_string())?;
    let mut told = Vec::new();
    for chunk in case["chunks"].as_array().ok_or("chunks must be a list")? {
        let chunk = bytes(chunk.as_str().ok_or("a chunk must be a text")?)?;
        let mut seen = Vec::new();
        feed(&mut decoder, &chunk, &mut seen);
        let (events, others): (Vec<_>, Vec<_>) = seen.iter().partition(|seen| matches!(seen, Seen::Event { .. }));
        told.extend(events.into_iter().chain(others).filter_map(tell));
        told.push(json!(["id", decoder.last_event_id()]));
    }
    Ok(Value::Array(told))
}

/// As JavaScript tells it, where longer times than fit 32 bits are the longest that do.
fn tell(seen: &Seen) -> Option<Value> {
    Some(match seen {
        Seen::Event { event, data, last_event_id } => json!(["event", event, data, last_event_id]),
        Seen::Comment(comment) => json!(["comment", comment]),
        Seen::Retry(millis) => json!(["retry", u32::try_from(*millis).unwrap_or(u32::MAX)]),
        Seen::Error(DecodeError::LineTooLong) => json!(["lost", "line-too-long"]),
        Seen::Error(DecodeError::EventTooLong) => json!(["lost", "event-too-long"]),
        Seen::Error(DecodeError::BufferFull) => json!(["lost", "buffer-full"]),
        Seen::IdChanged(_) => return None,
    })
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    text.chars().map(|char| u8::try_from(char).map_err(|_| format!("{char:?} is not a byte"))).collect()
}
