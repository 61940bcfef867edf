//! Text with placeholders, taken apart once and filled in for every message.

use super::failure::Failure;
use super::mark::{self, Marks};

/// A text with places for `{n}`, `{seq}`, `{time}` and `{data}`. Other braces stand for themselves: bodies are often JSON.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Number,
    Time,
    Data,
}

/// What a template is filled with.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    /// The topic's number.
    pub(crate) n: usize,
    /// The message's number.
    pub(crate) seq: u32,
    /// Nanoseconds of the run.
    pub(crate) time: u64,
    pub(crate) marks: &'a Marks,
    /// Bytes that `{data}` becomes: a mark, and what pads it.
    pub(crate) size: usize,
}

impl Template {
    pub(crate) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let found =
                PLACES.iter().filter_map(|(place, part)| Some((rest.find(place)?, *place, part))).min_by_key(|found| found.0);
            let (at, len, part) = found.map_or((rest.len(), 0, None), |(at, place, part)| (at, place.len(), Some(part)));
            if at > 0 {
                parts.push(Part::Text(rest.as_bytes()[..at].to_vec()));
            }
            parts.extend(part.cloned());
            rest = &rest[at + len..];
        }
        Self(parts)
    }

    /// Whether messages made of it can be told apart.
    pub(crate) fn carries_data(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Data))
    }

    pub(crate) fn fill(&self, values: Values<'_>, out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Topic => decimal(values.n as u64, out),
                Part::Number => decimal(values.seq.into(), out),
                Part::Time => decimal(values.time, out),
                Part::Data => {
                    let end = out.len() + values.size;
                    values.marks.write(values.seq, out);
                    out.resize(end, PADDING);
                }
            }
        }
    }
}

/// The request that publishes a message.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    line: Template,
    headers: Vec<u8>,
    body: Template,
}

impl Publication {
    /// `path` and `body` may have placeholders, `headers` are lines as they stand.
    pub(crate) fn new(method: &str, path: &str, authority: &str, headers: &[String], body: &str) -> Result<Self, Failure> {
        let line = Template::new(&format!("{method} {path} HTTP/1.1\r\n"));
        let body = Template::new(body);
        if !line.carries_data() && !body.carries_data() {
            return Err(Failure::new("neither --body nor --publish has a place for {data}, by which messages are found again"));
        }
        Ok(Self { line, headers: header_lines(authority, headers), body })
    }

    /// Replaces `out` by the request; `scratch` is for the body.
    pub(crate) fn fill(&self, values: Values<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.clear();
        self.body.fill(values, scratch);
        out.clear();
        self.line.fill(values, out);
        out.extend_from_slice(&self.headers);
        out.extend_from_slice(b"content-length: ");
        decimal(scratch.len() as u64, out);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(scratch);
    }
}

/// Lines that every request to this authority has.
pub(crate) fn header_lines(authority: &str, headers: &[String]) -> Vec<u8> {
    let mut lines = format!("host: {authority}\r\n");
    for header in headers {
        lines.push_str(header);
        lines.push_str("\r\n");
    }
    lines.into_bytes()
}

/// The least that `{data}` can be.
pub(crate) const LEAST_SIZE: usize = mark::LEN;

fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

const PLACES: [(&str, Part); 4] =
    [("{n}", Part::Topic), ("{seq}", Part::Number), ("{time}", Part::Time), ("{data}", Part::Data)];
const PADDING: u8 = b'.';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_other_braces_stay() {
        let publication =
            Publication::new("PUT", "/{n}/{x}", "h:1", &["a: b".to_owned()], r#"{"n":{"t":"{seq}"},"d":"{data}{time}"}"#)
                .unwrap();
        let marks = Marks::new(1);
        let (mut scratch, mut request) = (Vec::new(), b"old".to_vec());
        publication.fill(Values { n: 30, seq: 255, time: 0, marks: &marks, size: 18 }, &mut scratch, &mut request);
        let body = r#"{"n":{"t":"255"},"d":"ZQXJ0001000000ff..0"}"#;
        let expected = format!("PUT /30/{{x}} HTTP/1.1\r\nhost: h:1\r\na: b\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        assert_eq!(String::from_utf8(request).unwrap(), expected);
    }

    #[test]
    fn messages_that_could_not_be_found_are_a_mistake() {
        assert!(Publication::new("POST", "/", "h", &[], "{seq}").is_err());
        assert!(Publication::new("POST", "/?m={data}", "h", &[], "").is_ok());
    }
}
