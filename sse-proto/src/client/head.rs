//! The head of a response, and what it means for a client.

use core::time::Duration;

use super::Config;

/// What a client looks at in the head of a response. `L` is the caller's own kind of URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a, L> {
    /// The status code.
    pub status: u16,
    /// The `Content-Type` header, the last one when there are several.
    pub content_type: Option<&'a str>,
    /// The `Location` header, resolved by the caller against the URL that was asked; `None` also when that cannot be done.
    pub location: Option<L>,
    /// The `Retry-After` header as a time from now: [`retry_after`] reads the form in seconds, the caller the form with a date.
    pub retry_after: Option<Duration>,
}

impl<L> Head<'_, L> {
    /// A head with nothing but a status.
    pub const fn new(status: u16) -> Self {
        Self { status, content_type: None, location: None, retry_after: None }
    }
}

/// A `Retry-After` header in seconds. `None` for anything else, the form with a date included: reading it takes a calendar and a
/// clock, which the caller has.
///
/// ```
/// use core::time::Duration;
/// use sse_proto::client::retry_after;
///
/// assert_eq!(retry_after(" 120 "), Some(Duration::from_secs(120)));
/// assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT"), None);
/// ```
pub fn retry_after(value: &str) -> Option<Duration> {
    let digits = value.as_bytes().trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let next = |seconds: u64, digit: &u8| seconds.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(Duration::from_secs(digits.iter().fold(0, next)))
}

/// What to do with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Open,
    Stop,
    Redirect { permanent: bool },
    Again,
    WrongType,
    Refused,
}

impl Verdict {
    /// By WHATWG HTML 9.2.2 and the Fetch standard's redirect statuses; beyond them, by configuration.
    pub(super) fn of<L>(head: &Head<'_, L>, config: &Config) -> Self {
        match head.status {
            200 if head.content_type.is_some_and(is_event_stream) => Self::Open,
            200 => Self::WrongType,
            204 => Self::Stop,
            301 | 308 => Self::Redirect { permanent: true },
            302 | 303 | 307 => Self::Redirect { permanent: false },
            429 | 500..=599 if config.retry_statuses => Self::Again,
            _ => Self::Refused,
        }
    }
}

/// Parameters are allowed and not looked at: an event stream is UTF-8 whatever they say.
fn is_event_stream(content_type: &str) -> bool {
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
