//! One line, wherever it lies: section 9.2.6, "process the field".

/// What a line sets.
pub(super) enum Field {
    Data,
    Event,
    Id,
    Retry,
    Comment,
    Unknown,
}

impl Field {
    /// What a line that is not blank sets, and where in it the value begins.
    #[inline(always)]
    pub(super) fn of(line: &[u8]) -> (Self, usize) {
        let (field, name) = if line.starts_with(b"data") {
            (Self::Data, "data".len())
        } else if line.starts_with(b"event") {
            (Self::Event, "event".len())
        } else if line.starts_with(b"id") {
            (Self::Id, "id".len())
        } else if line.starts_with(b":") {
            (Self::Comment, 0)
        } else if line.starts_with(b"retry") {
            (Self::Retry, "retry".len())
        } else {
            return (Self::Unknown, 0);
        };
        match &line[name..] {
            [b':', b' ', ..] => (field, name + 2),
            [b':', ..] => (field, name + 1),
            [] => (field, name),
            _ => (Self::Unknown, 0),
        }
    }
}

/// An id with NUL is ignored.
pub(super) fn has_nul(value: &[u8]) -> bool {
    value.iter().fold(false, |any, byte| any | (*byte == 0))
}

/// A reconnection time: ASCII digits and nothing else.
pub(super) fn milliseconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value
        .iter()
        .try_fold(0u64, |ms, byte| byte.is_ascii_digit().then(|| ms.saturating_mul(10).saturating_add(u64::from(byte - b'0'))))
}
