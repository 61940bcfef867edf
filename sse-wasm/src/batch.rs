//! What a chunk decoded to, for one crossing to JavaScript.
//!
//! The texts of all items lie one behind the other, those that are ASCII as bytes, the others as UTF-16: each kind is made a string in
//! one go, of which JavaScript takes the parts. One word tells of each item, and so do the rare changes of type and id between
//! them, which most events share with the one before.

use alloc::vec::Vec;

/// What a word tells of, in its lowest three bits.
pub(crate) mod kind {
    /// An event: its data.
    pub(crate) const EVENT: u32 = 0;
    /// The type of the events that follow.
    pub(crate) const TYPE: u32 = 1;
    /// The last event id from here on.
    pub(crate) const ID: u32 = 2;
    /// A comment.
    pub(crate) const COMMENT: u32 = 3;
    /// The reconnection time: the next word, in milliseconds.
    pub(crate) const RETRY: u32 = 4;
    /// An event that was lost: instead of a length, why.
    pub(crate) const LOST: u32 = 5;
}

/// The text is among those in UTF-16.
const WIDE: u32 = 1 << 3;

/// The length of a text, in characters of its kind, stands above the bits of kind and width.
const LENGTH_SHIFT: u32 = 4;

/// Longer texts than this are not to be had: their lengths would not fit.
pub(crate) const MAX_TEXT: u32 = (1 << (32 - LENGTH_SHIFT)) - 1;

/// Room for what a piece of a stream decodes to. One is enough for all streams.
#[derive(Default)]
pub struct Batch {
    /// Where the texts are and how long, see [`HEADER`]; then a word or two for each item.
    words: Vec<u32>,
    ascii: Vec<u8>,
    wide: Vec<u16>,
}

impl Batch {
    /// With nothing in it.
    pub const fn new() -> Self {
        Self { words: Vec::new(), ascii: Vec::new(), wide: Vec::new() }
    }

    pub(crate) fn begin(&mut self) {
        // A single event may have been as long as its limit.
        if self.ascii.capacity() > KEPT {
            self.ascii = Vec::new();
        }
        if self.wide.capacity() > KEPT {
            self.wide = Vec::new();
        }
        self.ascii.clear();
        self.wide.clear();
        self.words.clear();
        self.words.extend([0; HEADER]);
    }

    /// Where the words are: their number, then address and length of either kind of text.
    pub(crate) fn end(&mut self) -> *const u32 {
        let ascii = (self.ascii.as_ptr() as usize as u32, self.ascii.len() as u32);
        let wide = (self.wide.as_ptr() as usize as u32, self.wide.len() as u32);
        let header = [self.words.len() as u32, ascii.0, ascii.1, wide.0, wide.1];
        self.words[..HEADER].copy_from_slice(&header);
        self.words.as_ptr()
    }

    pub(crate) fn text(&mut self, kind: u32, text: &str) {
        if is_ascii(text.as_bytes()) {
            self.ascii.extend_from_slice(text.as_bytes());
            self.words.push(kind | (text.len() as u32) << LENGTH_SHIFT);
        } else {
            self.wide_text(kind, text);
        }
    }

    pub(crate) fn number(&mut self, kind: u32, number: u32) {
        self.words.extend([kind, number]);
    }

    pub(crate) fn lost(&mut self, why: u32) {
        self.words.push(kind::LOST | why << LENGTH_SHIFT);
    }

    #[inline(never)]
    fn wide_text(&mut self, kind: u32, text: &str) {
        let begin = self.wide.len();
        let mut rest = text;
        while !rest.is_empty() {
            // Most of it is ASCII often, and that can be widened many at a time.
            let (plain, others) = rest.split_at(ascii_prefix(rest.as_bytes()));
            self.wide.extend(plain.bytes().map(u16::from));
            let end = others.find(|char: char| char.is_ascii()).unwrap_or(others.len());
            let (others, after) = others.split_at(end);
            self.wide.extend(others.encode_utf16());
            rest = after;
        }
        self.words.push(kind | WIDE | ((self.wide.len() - begin) as u32) << LENGTH_SHIFT);
    }
}

/// Eight bytes at a time, whatever the code is compiled for.
fn is_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    let all = words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word));
    all & 0x8080_8080_8080_8080 == 0 && rest.iter().all(u8::is_ascii)
}

fn ascii_prefix(bytes: &[u8]) -> usize {
    let blocks = bytes.chunks(16).take_while(|block| is_ascii(block)).map(<[u8]>::len).sum();
    blocks + bytes[blocks..].iter().take_while(|byte| byte.is_ascii()).count()
}

/// Words before the first item.
const HEADER: usize = 5;

/// What is kept of the room for texts from one piece to the next.
const KEPT: usize = 64 << 10;
