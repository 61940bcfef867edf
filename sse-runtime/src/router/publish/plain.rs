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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &[u8]) -> Option<String> {
        serde_json::from_slice::<Publishing<'_>>(body).ok().map(|publishing| format!("{publishing:?}"))
    }

    #[test]
    fn what_is_plain_is_read() {
        for body in [
            r#"{"to":"all"}"#,
            r#"{"to":{"topic":"t"},"event":"e","data":"d"}"#,
            " { \"data\" :\t\"\u{e9} and more than sixteen bytes\" ,\r\n\"to\" : { \"client\" : \"bob_1\" } } ",
            r#"{"event":"","to":{"name":"bob"},"data":""}"#,
            r#"{"to":{"group":"a group of sixteen."},"data":"0123456789abcdef"}"#,
        ] {
            let publishing = read(body.as_bytes()).map(|publishing| format!("{publishing:?}"));
            assert!(publishing.is_some(), "{body}");
            assert_eq!(publishing, parsed(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left() {
        let long = |byte: char| format!(r#"{{"to":"all","data":"0123456789abcdef{byte}"}}"#);
        for body in [
            r#"{"to":"all","data":1}"#,
            r#"{"to":"all","data":"\n"}"#,
            r#"{"to":"all","id":"1"}"#,
            r#"{"to":"all","retry":1}"#,
            r#"[{"to":"all"}]"#,
            &long('\\'),
            &long('\n'),
            &long('\0'),
        ] {
            assert!(read(body.as_bytes()).is_none(), "{body}");
        }
    }

    /// Bodies out of pieces of JSON, of which few are any: what is read is what the parser for all of JSON reads.
    #[test]
    fn what_is_read_is_what_json_says() {
        let pieces: &[&[u8]] = &[
            b"{",
            b"{",
            b"}",
            b"}",
            b":",
            b",",
            b"\"",
            b"\"to\":",
            b"\"to\":\"all\"",
            b"\"to\":{\"topic\":\"t\"}",
            b"{\"client\":\"c\"}",
            b"\"event\":",
            b"\"data\":",
            b"\"data\":\"d\"",
            b"\"text\"",
            b"\"0123456789abcdefg\"",
            b"\"all\"",
            b" ",
            b"\\",
            b"\n",
            b"\xc3",
            b"\xc3\xa9",
            b"1",
            b"[",
            b"]",
            b"null",
            b",\"retry\":1",
            b",\"event\":\"e\"",
        ];
        let (mut state, mut read_some) = (1_u64, 0);
        for _ in 0..300_000 {
            let mut body = Vec::new();
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize
            };
            body.extend_from_slice(if next() % 8 == 0 { b"" } else { b"{\"to\":" });
            for _ in 0..next() % 8 {
                body.extend_from_slice(pieces[next() % pieces.len()]);
            }
            body.extend_from_slice(if next() % 8 == 0 { b"" } else { b"}" });
            if let Some(publishing) = read(&body) {
                read_some += 1;
                assert_eq!(Some(format!("{publishing:?}")), parsed(&body), "{}", String::from_utf8_lossy(&body));
            }
        }
        assert!(read_some > 300, "only {read_some} were plain");
    }
}
