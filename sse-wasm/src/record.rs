//! Records: numbers of eight bytes, and texts with their length in front. `js/memory.js` writes them.

/// Takes a record apart.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// From its beginning.
    pub const fn new(record: &'a [u8]) -> Self {
        Self(record)
    }

    /// The next number; none when that cannot be.
    pub fn next_number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    /// So many bytes that follow; none when that cannot be.
    pub fn next_bytes(&mut self, len: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    /// The next text; empty when that cannot be.
    pub fn next_text(&mut self) -> &'a str {
        let bytes = self.next_number().and_then(|len| self.next_bytes(len)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether there is nothing more.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
