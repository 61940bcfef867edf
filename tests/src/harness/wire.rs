//! The peer of one connection.

/// What a connection was sent.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) bytes: Vec<u8>,
    /// Everything before was asked for.
    pub(super) read: usize,
    /// Whole frames end here.
    whole: usize,
    pub(super) last_id: Option<String>,
}

impl Wire {
    /// What a peer does with bytes: cuts them into frames, and remembers the last id.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let new = text(&self.bytes[self.whole..]);
        let Some(end) = new.rfind("\n\n") else {
            return;
        };
        let whole = &new[..end + 2];
        let mut ids = whole.lines().rev().filter_map(|line| line.strip_prefix("id:"));
        if let Some(id) = ids.next() {
            self.last_id = Some(id.strip_prefix(' ').unwrap_or(id).into());
        }
        self.whole += whole.len();
    }
}

/// As text, as far as it goes.
pub(super) fn text(bytes: &[u8]) -> &str {
    // A peer may have been given half a character.
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).expect("it is valid"),
    }
}
