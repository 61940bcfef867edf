//! The bearer token: a secret that is compared in constant time and never shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use subtle::{Choice, ConstantTimeEq};

use super::{Fields, text};
use crate::error::BadValue;

/// The secret that privileged requests carry as `Authorization: Bearer TOKEN`.
///
/// It has no `Display` and no `Serialize`, its `Debug` shows nothing of it, and comparing takes the same time for every
/// presented token of one length, so an answer's delay says nothing about the secret or its length.
#[derive(Clone)]
pub struct Token(Padded);

impl Token {
    /// The fewest characters of a token: 16 hexadecimal digits are 64 bits, too many to guess over a network.
    pub const MIN_LEN: usize = 16;
    /// The most characters of a token, so that comparing is bounded.
    pub const MAX_LEN: usize = 256;

    /// Checks `secret`: 16 to 256 visible ASCII characters, which is what fits in a header.
    ///
    /// # Errors
    ///
    /// [`BadValue`] that does not repeat the secret.
    pub fn new(secret: &str) -> Result<Self, BadValue> {
        if !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadValue::new(
                "the token has a character that no header can carry; use letters and digits, as openssl rand -hex 32 gives",
            ));
        }
        if secret.len() < Self::MIN_LEN {
            return Err(BadValue::new(
                "the token is too short to be secret; use at least 16 characters, as openssl rand -hex 32 gives",
            ));
        }
        match Padded::new(secret.as_bytes()) {
            Some(padded) => Ok(Self(padded)),
            None => Err(BadValue::new("the token is too long; use at most 256 characters")),
        }
    }

    /// Whether `presented` is this token.
    pub fn matches(&self, presented: &str) -> bool {
        match Padded::new(presented.as_bytes()) {
            Some(presented) => self.0.ct_eq(&presented).into(),
            None => false,
        }
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

impl FromStr for Token {
    type Err = BadValue;

    fn from_str(secret: &str) -> Result<Self, BadValue> {
        Self::new(secret)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secret = String::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("the token is not a string; write it in quotes"))?;
        Self::new(&secret).map_err(serde::de::Error::custom)
    }
}

/// The token that a request presents: what follows `Bearer ` in its `Authorization` header (RFC 6750, section 2.1).
///
/// The scheme's case does not matter. `None` when there is no such header, more than one, or another scheme.
pub(super) fn bearer(headers: &impl Fields) -> Option<&str> {
    let mut values = headers.values("authorization");
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = text(value)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim_matches(' '))
}

/// Bytes at a fixed length, so that comparing two never depends on where they differ or how long the secret is.
#[derive(Clone)]
struct Padded {
    bytes: [u8; Token::MAX_LEN],
    len: u64,
}

impl Padded {
    fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; Token::MAX_LEN];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, len: text.len() as u64 })
    }
}

impl ConstantTimeEq for Padded {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.len.ct_eq(&other.len)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, header};

    use super::*;

    const SECRET: &str = "correct-horse-battery-staple";

    #[test]
    fn only_the_whole_token_matches() {
        let token = Token::new(SECRET).unwrap();
        assert!(token.matches(SECRET));
        let longer = format!("{SECRET}\0");
        let huge = "x".repeat(Token::MAX_LEN + 1);
        for wrong in ["", "c", &SECRET[1..], &SECRET[..SECRET.len() - 1], "correct-horse-battery-staplE", &longer, &huge] {
            assert!(!token.matches(wrong), "{wrong:?}");
        }
        let longest = "x".repeat(Token::MAX_LEN);
        assert!(Token::new(&longest).unwrap().matches(&longest));
    }

    #[test]
    fn bad_secrets_are_refused_without_repeating_them() {
        for bad in
            ["", "short-s3cret", "has a space in it", "naïve-secret-token", "line\nbreak-in-a-secret", &"s3cret".repeat(50)]
        {
            let error = Token::new(bad).unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Token::new(SECRET).unwrap()), "Token(redacted)");
    }

    #[test]
    fn the_bearer_is_what_follows_the_scheme() {
        let check = |values: &[&str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(bearer(&headers), expected, "{values:?}");
        };
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer   abc "], Some("abc"));
        check(&["Basic abc"], None);
        check(&["Bearer"], None);
        check(&["abc"], None);
        check(&[], None);
        check(&["Bearer abc", "Bearer def"], None);
    }
}
