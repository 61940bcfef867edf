//! Field values that are proven not to break the framing.
//!
//! `event` and `id` are single lines: a value with a line break cannot be built. `data` and comments may hold line breaks; the
//! encoder splits them. What was encoded before comes back as whole lines.

use core::fmt;

/// The value of an `event` field: one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventName<'a>(&'a str);

impl<'a> EventName<'a> {
    /// Checks `name`: no CR, no LF.
    ///
    /// The empty name is allowed; a client dispatches such an event as `message`.
    ///
    /// # Errors
    ///
    /// [`FieldError`] with the position of the first line break.
    pub const fn new(name: &'a str) -> Result<Self, FieldError> {
        match first_forbidden(name.as_bytes(), false) {
            None => Ok(Self(name)),
            Some(error) => Err(error),
        }
    }

    /// The name.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// The value of an `id` field: one line, without NUL (a client ignores an id with NUL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdField<'a>(&'a str);

impl<'a> IdField<'a> {
    /// Checks `id`: no CR, no LF, no NUL. The empty id is allowed: it resets what the client remembers.
    ///
    /// # Errors
    ///
    /// [`FieldError`] with the position of the first forbidden character.
    pub const fn new(id: &'a str) -> Result<Self, FieldError> {
        match first_forbidden(id.as_bytes(), true) {
            None => Ok(Self(id)),
            Some(error) => Err(error),
        }
    }

    /// The id.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// Whole lines as bytes: each ends with LF, and none is blank, so that a frame made of them is one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// Checks `lines`, of which there may be none; `None` when there is a CR, a blank line, or one without an end.
    pub fn new(lines: &'a [u8]) -> Option<Self> {
        let mut before = b'\n';
        for &byte in lines {
            if byte == b'\r' || byte == b'\n' && before == b'\n' {
                return None;
            }
            before = byte;
        }
        (before == b'\n').then_some(Self(lines))
    }

    /// Those that something that [encodes](super::Encode) wrote.
    pub(crate) const fn encoded(lines: &'a [u8]) -> Self {
        Self(lines)
    }

    /// The lines.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Why a value cannot be a field, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// What was found.
    pub kind: FieldErrorKind,
    /// Its offset in the value, in bytes.
    pub position: usize,
}

/// What cannot stand in a one-line field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// CR or LF: it would end the field and start another.
    LineBreak,
    /// NUL in an id: clients ignore such an id.
    Nul,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FieldErrorKind::LineBreak => "a line break",
            FieldErrorKind::Nul => "a NUL",
        };
        write!(f, "{what} at byte {} cannot stand in this field", self.position)
    }
}

impl core::error::Error for FieldError {}

const fn first_forbidden(value: &[u8], nul_too: bool) -> Option<FieldError> {
    let mut position = 0;
    while position < value.len() {
        let kind = match value[position] {
            b'\r' | b'\n' => FieldErrorKind::LineBreak,
            0 if nul_too => FieldErrorKind::Nul,
            _ => {
                position += 1;
                continue;
            }
        };
        return Some(FieldError { kind, position });
    }
    None
}
