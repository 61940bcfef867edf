//! What a hub reads in records, where something else than what it expects is a failure; and how it writes them.

use alloc::vec::Vec;

use crate::error::{self, Failure};
use crate::record::Reader;

/// The length of what is not there.
const NONE: u64 = u64::MAX;

impl<'a> Reader<'a> {
    pub(crate) fn number(&mut self) -> Result<u64, Failure> {
        self.next_number().ok_or_else(error::broken)
    }

    /// A number as JavaScript has it.
    pub(crate) fn float(&mut self) -> Result<f64, Failure> {
        self.number().map(f64::from_bits)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Failure> {
        let len = self.number()?;
        self.next_bytes(len).ok_or_else(error::broken)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Failure> {
        self.text_or_none()?.ok_or_else(error::broken)
    }

    /// A text, or that there is none.
    pub(crate) fn text_or_none(&mut self) -> Result<Option<&'a str>, Failure> {
        let len = self.number()?;
        if len == NONE {
            return Ok(None);
        }
        let bytes = self.next_bytes(len).ok_or_else(error::broken)?;
        core::str::from_utf8(bytes).map(Some).map_err(|_| error::broken())
    }

    /// A list of texts, or that there is none.
    pub(crate) fn texts_or_none(&mut self) -> Result<Option<Vec<&'a str>>, Failure> {
        let count = self.number()?;
        if count == NONE {
            return Ok(None);
        }
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.text()?);
        }
        Ok(Some(texts))
    }

    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<Option<T>, Failure> {
        if self.number()? == 1 { read(self).map(Some) } else { Ok(None) }
    }
}

/// Puts a record together.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Nothing so far.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn list<T>(&mut self, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        let at = self.0.len();
        self.number(0);
        let mut count: u64 = 0;
        for item in items {
            write(self, item);
            count += 1;
        }
        self.0[at..at + 8].copy_from_slice(&count.to_le_bytes());
    }

    /// The record.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
