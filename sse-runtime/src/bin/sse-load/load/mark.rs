//! Marks: sixteen bytes in a payload that say which message it is, found without decoding the stream around them.
//!
//! A mark is four letters, four hexadecimal digits of the run, and eight of the message's number. Streams are read in pieces, so
//! a [`Tail`] holds the beginning of a mark that the end of a piece cut.

use memchr::memmem::Finder;

/// Bytes of a mark.
pub(crate) const LEN: usize = 16;

/// Writes and finds the marks of one run.
pub(crate) struct Marks {
    prefix: [u8; PREFIX],
    finder: Finder<'static>,
}

/// The beginning of a mark whose end has not come.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tail {
    len: u8,
    bytes: [u8; LEN - 1],
}

impl Marks {
    /// Marks of the run with this number: those of another, which a server may still hold, are not found.
    pub(crate) fn new(run: u16) -> Self {
        let mut prefix = *b"ZQXJ0000";
        hex(run.into(), &mut prefix[4..]);
        Self { prefix, finder: Finder::new(&prefix).into_owned() }
    }

    /// Appends the mark of a message.
    pub(crate) fn write(&self, number: u32, out: &mut Vec<u8>) {
        let mut digits = [0; LEN - PREFIX];
        hex(number, &mut digits);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(&digits);
    }

    /// Calls `found` with the number of each mark that ends in `bytes`, which follow those `tail` was last given. Linear.
    pub(crate) fn scan(&self, tail: &mut Tail, bytes: &[u8], mut found: impl FnMut(u32)) {
        let kept = usize::from(tail.len);
        if kept == 0 {
            *tail = self.scan_piece(bytes, &mut found);
            return;
        }
        let more = bytes.len().min(LEN - 1);
        let mut joined = [0; 2 * (LEN - 1)];
        joined[..kept].copy_from_slice(&tail.bytes[..kept]);
        joined[kept..kept + more].copy_from_slice(&bytes[..more]);
        // A mark in here begins in the tail: what was added is shorter than one.
        *tail = self.scan_piece(&joined[..kept + more], &mut found);
        if bytes.len() > more {
            *tail = self.scan_piece(bytes, &mut found);
        }
    }

    fn scan_piece(&self, bytes: &[u8], found: &mut impl FnMut(u32)) -> Tail {
        let mut at = 0;
        while let Some(next) = self.finder.find(&bytes[at..]) {
            let begin = at + next;
            let Some(mark) = bytes.get(begin..begin + LEN) else { return Tail::new(&bytes[begin..]) };
            if let Some(number) = number(&mark[PREFIX..]) {
                found(number);
            }
            at = begin + LEN;
        }
        let rest = &bytes[at..];
        let last = &rest[rest.len().saturating_sub(PREFIX - 1)..];
        // The first letter stands in a mark once, so one place can be the beginning of one.
        match memchr::memrchr(self.prefix[0], last) {
            Some(begin) if self.prefix.starts_with(&last[begin..]) => Tail::new(&last[begin..]),
            _ => Tail::default(),
        }
    }
}

impl Tail {
    fn new(bytes: &[u8]) -> Self {
        let mut tail = Self { len: bytes.len() as u8, ..Self::default() };
        tail.bytes[..bytes.len()].copy_from_slice(bytes);
        tail
    }
}

fn hex(mut number: u32, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, &digit| Some(number << 4 | char::from(digit).to_digit(16)?))
}

const PREFIX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_wherever_the_stream_is_cut() {
        let marks = Marks::new(0xbeef);
        let mut stream = b"data:ZQXZQXJ".to_vec();
        for number in [0, 1, 0xdead_beef, u32::MAX] {
            marks.write(number, &mut stream);
            stream.extend_from_slice(b"ZZQXJbee\n\ndata:");
        }
        marks.write(7, &mut stream);
        Marks::new(1).write(8, &mut stream);
        let expected = [0, 1, 0xdead_beef, u32::MAX, 7];
        for size in 1..=stream.len() {
            let (mut tail, mut found) = (Tail::default(), Vec::new());
            for piece in stream.chunks(size) {
                marks.scan(&mut tail, piece, |number| found.push(number));
            }
            assert_eq!(found, expected, "in pieces of {size}");
        }
        for cut in 0..=stream.len() {
            let (mut tail, mut found) = (Tail::default(), Vec::new());
            marks.scan(&mut tail, &stream[..cut], |number| found.push(number));
            marks.scan(&mut tail, &stream[cut..], |number| found.push(number));
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_number_is_no_mark() {
        let marks = Marks::new(0);
        let mut found = Vec::new();
        marks.scan(&mut Tail::default(), b"ZQXJ0000 0000001ZQXJ000000000002", |number| found.push(number));
        assert_eq!(found, [2]);
    }
}
