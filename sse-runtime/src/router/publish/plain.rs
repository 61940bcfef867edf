//! One event to publish, as it is written as a rule: an object of strings, none of them with an escape.
//!
//! Read in one pass, without a parser for all of JSON. Whatever is not so plain, or not as it should be, is `None` here.

use std::borrow::Cow;

use super::{Publishing, To};

/// Reads `body`, if it is plain.
pub(super) fn read(body: &[u8]) -> Option<Publishing<'_>> {
    let mut reader = Reader { text: std::str::from_utf8(body).ok()? };
    let (mut to, mut event, mut data) = (None, None, None);
    reader.pass(b'{')?;
    loop {
        match reader.name()? {
            "to" if to.is_none() => to = Some(reader.to()?),
            "event" if event.is_none() => event = Some(Cow::Borrowed(reader.string()?)),
            "data" if data.is_none() => data = Some(Cow::Borrowed(reader.string()?)),
            _ => return None,
        }
        if reader.pass(b',').is_none() {
            break;
        }
    }
    reader.pass(b'}')?;
    reader.is_at_end().then_some(Publishing { to: to?, event, data, id: None, retry: None })
}

/// What was not read yet.
struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn to(&mut self) -> Option<To<'a>> {
        if self.pass(b'{').is_none() {
            return (self.string()? == "all").then_some(To::All);
        }
        let kind = match self.name()? {
            "topic" => To::Topic,
            "client" => To::Client,
            "name" => To::Name,
            "group" => To::Group,
            _ => return None,
        };
        let to = kind(Cow::Borrowed(self.string()?));
        self.pass(b'}').map(|()| to)
    }

    /// The name of a member, and the colon behind it.
    fn name(&mut self) -> Option<&'a str> {
        let name = self.string()?;
        self.pass(b':').map(|()| name)
    }

    fn string(&mut self) -> Option<&'a str> {
        self.pass(b'"')?;
        let end = end_of_string(self.text.as_bytes())?;
        let string = self.text.get(..end)?;
        self.text = self.text.get(end + 1..)?;
        Some(string)
    }

    /// Passes over white space and `token`.
    fn pass(&mut self, token: u8) -> Option<()> {
        self.skip_whitespace();
        (self.text.as_bytes().first() == Some(&token)).then_some(())?;
        self.text = self.text.get(1..)?;
        Some(())
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_whitespace();
        self.text.is_empty()
    }

    fn skip_whitespace(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', ..] = self.text.as_bytes() {
            self.text = &self.text[1..];
        }
    }
}

/// Where the string ends that `bytes` begin with, if it is plain up to there.
fn end_of_string(bytes: &[u8]) -> Option<usize> {
    /// A string this short is found byte by byte, before a search for it would have begun.
    const SHORT: usize = 16;
    for (at, byte) in bytes.iter().take(SHORT).enumerate() {
        match byte {
            b'"' => return Some(at),
            b'\\' | ..b' ' => return None,
            _ => {}
        }
    }
    let rest = bytes.get(SHORT..)?;
    let len = memchr::memchr2(b'"', b'\\', rest).filter(|&len| rest[len] == b'"')?;
    // All of it is looked at, not as far as the first: so whole vectors are compared.
    rest[..len].iter().fold(true, |is_plain, byte| is_plain & (*byte >= b' ')).then_some(SHORT + len)
}
