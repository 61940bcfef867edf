//! Identities: of connections, of clients, of events.

use core::fmt;

use crate::simd::{decimal_len, digits};

/// One open response. A slot and the number of times the slot was used before: the id of a closed connection is never mistaken
/// for a later one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The slot: below the connection limit, and unique among open connections. A driver keeps its own state per connection in
    /// a table by slot.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The id as a number, for callers that cannot hold this type: generation, then slot, 32 bits each.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The id that [`to_bits`](Self::to_bits) gave as this number. Any other number is an id that is stale.
    pub const fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// One client that is known to the engine, like [`ConnId`] for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ClientKey {
    /// The key of no client.
    pub const NONE: Self = Self { slot: u32::MAX, generation: u32::MAX };

    /// The slot: below the client limit, and unique among known clients.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        ((self.slot as u64) << 32 | self.generation as u64).to_be_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        let bits = u64::from_be_bytes(bytes);
        Self { slot: (bits >> 32) as u32, generation: bits as u32 }
    }
}

/// A checked client id: a user name, and after the last `_` a suffix. An id without `_` is a user name alone.
///
/// Visible ASCII without `/ ? # % ^ " \`, not starting with `{`: what survives a URL path, a JSON string and the payload
/// grammar of system M unchanged (PARITY.md, client rules 1 and 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId<'a>(&'a str);

impl<'a> ClientId<'a> {
    /// Checks `id`.
    ///
    /// # Errors
    ///
    /// [`NameError`]: empty, or which character cannot stand in it.
    pub fn new(id: &'a str) -> Result<Self, NameError> {
        check_name(id).map(|()| Self(id))
    }

    /// The id. It is a capability: whoever knows it can take the client's events. Never log it whole.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The user name: everything before the last `_`.
    pub fn user_name(self) -> &'a str {
        match self.0.bytes().rposition(|byte| byte == b'_') {
            Some(end) if end > 0 => self.0.get(..end).unwrap_or(self.0),
            _ => self.0,
        }
    }
}

/// Checks a user name, an id, a task's name: see [`ClientId`] for what may stand in it.
///
/// # Errors
///
/// [`NameError`]: empty, or which character cannot stand in it and where.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    // What can stand in a name is ASCII, so a byte that cannot begins a character.
    let refused = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'/' | b'?' | b'#' | b'%' | b'^' | b'"' | b'\\');
    let position = if name.starts_with('{') { Some(0) } else { name.bytes().position(refused) };
    match position.and_then(|position| Some((position, name.get(position..)?.chars().next()?))) {
        Some((position, character)) => Err(NameError::Character { character, position }),
        None => Ok(()),
    }
}

/// Checks a topic or a group: not empty, no control character, none of `^ " \`, which system M's payloads cannot carry.
///
/// # Errors
///
/// [`NameError`]: empty, or which character cannot stand in it and where.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    if topic.is_empty() {
        return Err(NameError::Empty);
    }
    let refused = |character: char| character.is_control() || matches!(character, '^' | '"' | '\\');
    match topic.char_indices().find(|&(_, character)| refused(character)) {
        Some((position, character)) => Err(NameError::Character { character, position }),
        None => Ok(()),
    }
}

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty.
    Empty,
    /// `character` at byte `position` cannot stand in a name.
    Character {
        /// The character.
        character: char,
        /// Its offset in bytes.
        position: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name must not be empty"),
            Self::Character { character, position } => {
                write!(f, "the character {character:?} at byte {position} cannot stand in a name")
            }
        }
    }
}

impl core::error::Error for NameError {}

/// How long the random suffix of an allocated id is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdForm {
    /// 26 characters, 130 random bits: cannot be guessed.
    #[default]
    Secure,
    /// 8 characters, 40 random bits: for networks where everyone may know everyone's id.
    Short,
}

impl IdForm {
    /// Length of the suffix in characters.
    pub const fn suffix_len(self) -> usize {
        match self {
            Self::Secure => 26,
            Self::Short => 8,
        }
    }

    /// Writes the suffix made of `entropy` into `out`, which has the length of the suffix; another `attempt` gives another one.
    pub fn write_suffix(self, entropy: &[u8; 32], attempt: u8, out: &mut [u8]) {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut entropy = *entropy;
        entropy[0] = entropy[0].wrapping_add(attempt % 32);
        entropy[1] = entropy[1].wrapping_add(attempt / 32);
        for (cell, byte) in out.iter_mut().zip(entropy) {
            *cell = ALPHABET[usize::from(byte % 32)];
        }
    }
}

/// Which life of a hub numbered an event: a hub that lost its log takes another epoch, so that old ids are recognized as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

/// The number of an event: epoch and sequence number. Written `1f3a9c0e-42`: eight hexadecimal digits, a dash, decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// Which life of the hub.
    pub epoch: Epoch,
    /// Position in the hub's one order of events, from 1.
    pub sequence: u64,
}

impl EventId {
    /// Length of the longest one, written.
    pub const MAX_LEN: usize = "00000000-".len() + decimal_len(u64::MAX);

    /// Length of it, written.
    pub(crate) const fn len(self) -> usize {
        "00000000-".len() + decimal_len(self.sequence)
    }

    /// Writes it into `out`, which is as long as it is.
    #[inline]
    pub(crate) fn fill(self, out: &mut [u8]) {
        if let Some((epoch, [dash, sequence @ ..])) = out.split_first_chunk_mut() {
            (*epoch, *dash) = (self.epoch.hex(), b'-');
            digits(sequence, self.sequence);
        }
    }

    /// Writes it to the front of `out`, as [`Display`](fmt::Display) does, without the code that formatting takes.
    pub fn write(self, out: &mut [u8; Self::MAX_LEN]) -> &str {
        let out = &mut out[..self.len()];
        self.fill(out);
        core::str::from_utf8(out).unwrap_or_default()
    }

    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, sequence) = text.split_once('-')?;
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let canonical =
            sequence.bytes().all(|byte| byte.is_ascii_digit()) && (sequence.len() == 1 || !sequence.starts_with('0'));
        if epoch.len() != 8 || !epoch.bytes().all(hex) || !canonical {
            return None;
        }
        let epoch = Epoch(u32::from_str_radix(epoch, 16).ok()?);
        Some(Self { epoch, sequence: sequence.parse().ok()? })
    }
}

impl Epoch {
    /// Eight digits, all at once: four bits into each byte, and what makes a digit or a letter of them.
    pub(crate) const fn hex(self) -> [u8; 8] {
        const EACH: u64 = 0x0101_0101_0101_0101;
        let bits = self.0 as u64;
        let bits = (bits | bits << 16) & 0x0000_FFFF_0000_FFFF;
        let bits = (bits | bits << 8) & 0x00FF_00FF_00FF_00FF;
        let bits = (bits | bits << 4) & (0x0F * EACH);
        let letters = (bits + 6 * EACH) >> 4 & EACH;
        (bits + b'0' as u64 * EACH + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(&mut [0; Self::MAX_LEN]))
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    /// As the standard library writes them, on both sides of every number of digits and of bits.
    #[test]
    fn numbers_are_written_as_they_are() {
        let bounds = (0..20).map(|digits| 10_u64.pow(digits)).chain((0..64).map(|bits| 1 << bits));
        for sequence in bounds.flat_map(|bound| [bound - 1, bound, bound + 1]).chain([u64::MAX]) {
            let id = EventId { epoch: Epoch(0x9A0F), sequence };
            assert_eq!(id.to_string(), format!("00009a0f-{sequence}"));
            assert_eq!(id.len(), id.to_string().len());
        }
    }
}
