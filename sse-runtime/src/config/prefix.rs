//! The path that every route of the hub begins with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::BadValue;

/// A path that begins and ends with `/`: `/sse/`, `/x/y/`, `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Prefix(String);

impl Prefix {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the route `rest` below this prefix: `/sse/` and `events` give `/sse/events`.
    pub fn join(&self, rest: &str) -> String {
        format!("{}{rest}", self.0)
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("/sse/".to_owned())
    }
}

impl FromStr for Prefix {
    type Err = BadValue;

    /// Checks `text`: it begins and ends with `/`, has no empty, `.` or `..` segment, and holds only what a path carries
    /// unescaped (RFC 3986, unreserved characters), so that it matches what clients send byte for byte.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some(inner) = text.strip_prefix('/').filter(|inner| inner.is_empty() || inner.ends_with('/')) else {
            return Err(BadValue::new(format!("{text:?} does not begin and end with /; write one such as /sse/")));
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        let segments = inner.strip_suffix('/').map(|inner| inner.split('/'));
        for segment in segments.into_iter().flatten() {
            if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(plain) {
                return Err(BadValue::new(format!(
                    "{text:?} has the segment {segment:?}; use letters, digits, - . _ and ~ between single slashes, such as /sse/"
                )));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Prefix {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m1_a_prefix_begins_and_ends_with_a_slash() {
        for good in ["/", "/sse/", "/x/y/", "/a-b/c.d/~e_f/"] {
            assert_eq!(good.parse::<Prefix>().unwrap().as_str(), good);
        }
        for bad in ["", "sse", "/sse", "sse/", "x/y"] {
            let error = bad.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains("does not begin and end with /"), "{bad}: {error}");
        }
        for bad in ["//", "/a//b/", "/./", "/../", "/a b/", "/{id}/", "/*/", "/a?/", "/a#/", "/a%20/", "/é/", "/a\n/"] {
            let error = bad.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains("has the segment") && !error.contains('\n'), "{bad}: {error}");
        }
    }

    #[test]
    fn routes_are_joined() {
        assert_eq!(Prefix::default().join("events"), "/sse/events");
        assert_eq!("/".parse::<Prefix>().unwrap().join("events"), "/events");
    }
}
