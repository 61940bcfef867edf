//! Frames whose text is put together from parts, and measured while they are.
//!
//! Not with `core::fmt`: what it takes is most of a small program.

use super::decimal;
use crate::simd::decimal_len;

/// Length in bytes of what `write` writes.
pub(crate) fn measure(write: impl FnOnce(&mut Draft<'_>)) -> usize {
    fill(&mut [], write)
}

/// Writes to the front of `out`, and returns the length; when that is more than `out` has, what is in it is of no use.
pub(crate) fn fill(out: &mut [u8], write: impl FnOnce(&mut Draft<'_>)) -> usize {
    let mut text = Draft { out, at: 0 };
    write(&mut text);
    text.at
}

/// Text that is written into a slice, and counted; what does not fit is only counted.
pub(crate) struct Draft<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Draft<'_> {
    /// As it is.
    pub(crate) fn put(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// In decimal.
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        let mut digits = [0; decimal_len(u64::MAX)];
        let len = decimal(&mut digits, 0, number);
        self.bytes(&digits[..len])
    }

    /// Inside a JSON string literal, without the quotes.
    pub(crate) fn json(&mut self, text: &str) -> &mut Self {
        let mut plain_from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.put(&text[plain_from..at]);
            plain_from = at + 1;
            match byte {
                b'\n' => self.put("\\n"),
                b'\r' => self.put("\\r"),
                b'\t' => self.put("\\t"),
                b'"' | b'\\' => self.bytes(&[b'\\', byte]),
                other => self.bytes(&[b'\\', b'u', b'0', b'0', HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]]),
            };
        }
        self.put(&text[plain_from..])
    }

    /// JSON text on one line: a line break in it can only be white space between tokens.
    pub(crate) fn one_line(&mut self, json: &str) -> &mut Self {
        self.spaced(json, |character| matches!(character, '\r' | '\n'))
    }

    /// With a space for each character that cannot stand here.
    pub(crate) fn spaced(&mut self, text: &str, refused: fn(char) -> bool) -> &mut Self {
        for (at, part) in text.split(refused).enumerate() {
            if at > 0 {
                self.put(" ");
            }
            self.put(part);
        }
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.at + bytes.len();
        if let Some(room) = self.out.get_mut(self.at..end) {
            room.copy_from_slice(bytes);
        }
        self.at = end;
        self
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
