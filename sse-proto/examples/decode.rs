//! Decodes an event stream: bytes on standard input, one line of JSON for each event on standard output, and one for the end.
//!
//! ```text
//! decode [--chunk N] [--last-event-id ID] [--max-event BYTES]
//! ```
//!
//! `--chunk` feeds the decoder N bytes at a time, whatever arrived together (default 65536). An event over `--max-event` is
//! reported on standard error and passed over.
#![allow(clippy::print_stdout)]

use std::io::{self, Read, Write};
use std::process::ExitCode;

use serde_json::json;
use sse_proto::wire::{Decoder, IdField, Item, Limits};

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("decode: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let limits = match options.max_event {
        Some(max_event) => Limits { max_event, max_line: max_event.saturating_add("data: ".len()).max(1 << 20) },
        None => Limits::default(),
    };
    let mut decoder = Decoder::new(limits);
    let id = IdField::new(&options.last_event_id).map_err(|error| format!("--last-event-id: {error}"))?;
    decoder.set_last_event_id(id).map_err(|error| error.to_string())?;

    let mut input = io::stdin().lock();
    let mut output = io::BufWriter::new(io::stdout().lock());
    let mut buffer = vec![0; 1 << 16];
    let mut retry_ms = None;
    loop {
        let read = input.read(&mut buffer).map_err(|error| format!("reading standard input: {error}"))?;
        for chunk in buffer[..read].chunks(options.chunk) {
            let mut feed = decoder.feed(chunk);
            loop {
                match feed.next_item() {
                    Ok(Some(Item::Event(event))) => {
                        let line = json!({"type": event.event, "data": event.data, "last_event_id": event.last_event_id});
                        write_line(&mut output, &line)?;
                    }
                    Ok(Some(Item::Retry(ms))) => retry_ms = Some(ms),
                    Ok(Some(Item::Comment(_) | Item::IdChanged(_))) => {}
                    Ok(None) => break,
                    Err(error) => eprintln!("decode: {error}; going on at the next event"),
                }
            }
        }
        if read == 0 {
            break;
        }
        output.flush().map_err(|error| format!("writing: {error}"))?;
    }
    let line = json!({"final_last_event_id": decoder.last_event_id(), "retry_ms": retry_ms});
    write_line(&mut output, &line)?;
    output.flush().map_err(|error| format!("writing: {error}"))
}

/// Writes ASCII only: some readers take U+2028 and the like for the end of a line.
fn write_line(output: &mut impl Write, json: &serde_json::Value) -> Result<(), String> {
    let mut line = String::new();
    for unit in json.to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => line.push(char::from(byte)),
            _ => line += &format!("\\u{unit:04x}"),
        }
    }
    writeln!(output, "{line}").map_err(|error| format!("writing: {error}"))
}

struct Options {
    chunk: usize,
    last_event_id: String,
    max_event: Option<usize>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { chunk: 1 << 16, last_event_id: String::new(), max_event: None };
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            if !["--chunk", "--last-event-id", "--max-event"].contains(&name) {
                return Err(format!("{name} is not one of --chunk, --last-event-id, --max-event"));
            }
            let value = value.or_else(|| arguments.next()).ok_or_else(|| format!("{name} takes a value"))?;
            let number = || value.parse().map_err(|_| format!("{name} takes a number, not {value:?}"));
            match name {
                "--chunk" => options.chunk = number().map(|chunk: usize| chunk.max(1))?,
                "--max-event" => options.max_event = Some(number()?),
                _ => options.last_event_id = value,
            }
        }
        Ok(options)
    }
}
