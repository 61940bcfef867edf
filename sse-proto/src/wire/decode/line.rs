//! One line, wherever it lies: section 9.2.6, "process the field".

/// Where the value begins in a line that is not blank, if the line is of this field; a comment is of the field without a name.
///
/// Asked for one field after the other, each answer leads straight to what the field does.
#[inline(always)]
pub(super) fn value_of(field: &[u8], line: &[u8]) -> Option<usize> {
    match line.strip_prefix(field)? {
        [b':', b' ', ..] => Some(field.len() + 2),
        [b':', ..] => Some(field.len() + 1),
        [] => Some(field.len()),
        _ => None,
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
