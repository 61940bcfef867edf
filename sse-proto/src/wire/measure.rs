//! Frames whose text is written with `core::fmt`: measured first, then written into exactly that much room.

use core::fmt::{self, Write};

/// Length in bytes of what `write` writes.
pub(crate) fn measure(write: impl FnOnce(&mut Meter) -> fmt::Result) -> usize {
    let mut meter = Meter(0);
    let _ = write(&mut meter);
    meter.0
}

/// Writes to the front of `out` what was measured before.
pub(crate) fn fill(out: &mut [u8], write: impl FnOnce(&mut Filler<'_>) -> fmt::Result) {
    let _ = write(&mut Filler { out, at: 0 });
}

/// Counts.
pub(crate) struct Meter(usize);

impl Write for Meter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Writes into a slice; what does not fit is left out.
pub(crate) struct Filler<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Write for Filler<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.at + text.len();
        self.out.get_mut(self.at..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.at = end;
        Ok(())
    }
}

/// A string inside a JSON string literal, without the quotes.
pub(crate) struct JsonEscaped<'a>(pub(crate) &'a str);

impl fmt::Display for JsonEscaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain_from = 0;
        for (at, byte) in self.0.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            f.write_str(&self.0[plain_from..at])?;
            match byte {
                b'"' => f.write_str("\\\"")?,
                b'\\' => f.write_str("\\\\")?,
                b'\n' => f.write_str("\\n")?,
                b'\r' => f.write_str("\\r")?,
                b'\t' => f.write_str("\\t")?,
                other => write!(f, "\\u{other:04x}")?,
            }
            plain_from = at + 1;
        }
        f.write_str(&self.0[plain_from..])
    }
}

/// JSON text on one line: a line break in it can only be white space between tokens.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.split(['\r', '\n']).enumerate() {
            if at > 0 {
                f.write_char(' ')?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}
