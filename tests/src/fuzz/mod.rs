//! What is fuzzed: one function over bytes for each target, which panics when a promise is broken.
//!
//! `fuzz/` runs them under libFuzzer; `tests/pure/fuzz.rs` replays the committed corpus and a few random inputs in every run. Another
//! target is a module here with its line in [`TARGETS`], a file in `fuzz/targets/` with its lines in `fuzz/Cargo.toml`, and a folder
//! in `fuzz/corpus/`; a test says which of them is missing.

pub mod client;
#[cfg(feature = "net")]
pub mod config;
#[cfg(feature = "net")]
pub mod connection;
pub mod decode;
pub mod decode_chunks;
pub mod encode_decode;
pub mod engine;
#[cfg(feature = "net")]
pub mod requests;
pub mod resume;

/// What a target does with an input.
pub type Run = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Run)] = &[
    ("client", client::run),
    ("decode", decode::run),
    ("decode_chunks", decode_chunks::run),
    ("encode_decode", encode_decode::run),
    ("engine", engine::run),
    #[cfg(feature = "net")]
    ("config", config::run),
    #[cfg(feature = "net")]
    ("connection", connection::run),
    #[cfg(feature = "net")]
    ("requests", requests::run),
    ("resume", resume::run),
];

/// Makes choices out of bytes, from front to back. Used up, it gives zeros, so every input means something.
#[derive(Clone, Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices by `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    /// Two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// One of them.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// At most so many bytes.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A length, and so many bytes as text.
    pub fn text(&mut self) -> String {
        let most = usize::from(self.byte());
        String::from_utf8_lossy(self.bytes(most)).into_owned()
    }

    /// Up to seven places in something whose length is not known yet: see [`cuts`].
    pub fn places(&mut self) -> Vec<u16> {
        (0..self.byte() % 8).map(|_| self.short()).collect()
    }

    /// All the others.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Those places in `len` bytes, in order; one may come twice.
pub fn cuts(places: &[u16], len: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = places.iter().map(|place| usize::from(*place) % (len + 1)).collect();
    cuts.sort_unstable();
    cuts
}
