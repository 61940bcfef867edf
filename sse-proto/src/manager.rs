//! The payloads of system M: `kind^argument` in a JSON string, in an unnamed event.
//!
//! Every home of the engine sends these same bytes. A client of system M splits the data at `^` and deletes every backslash:
//! ids and task names hold neither (see [`ClientId`](crate::ClientId)), and a free text is cleared of them.

use core::fmt::{self, Write};

use crate::time::Instant;
use crate::wire::measure::{JsonEscaped, fill, measure};
use crate::wire::{Encode, IdField};

/// A payload of system M.
///
/// ```
/// use sse_proto::manager::Payload;
/// use sse_proto::wire::Encode;
///
/// let mut out = [0; 64];
/// let len = Payload::Notify("clock-tick").encode(&mut out).unwrap();
/// assert_eq!(&out[..len], b"data:\"notify^clock-tick\"\n\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// `registered^ID`: the acknowledgement of a registration.
    Registered(&'a str),
    /// `notify^KEY`: something happened to what the client listens to.
    Notify(&'a str),
    /// `completed^{…}`: a task ended.
    Completed {
        /// When it ended.
        timestamp: Instant,
        /// Whom this frame is for.
        id: &'a str,
        /// The task's name.
        task: &'a str,
        /// Why it failed, if it did. `^`, `"`, `\` and control characters are replaced by spaces.
        failure: Option<&'a str>,
    },
    /// The text alone, as system M's theory pages show for `listeners-changed` and `ad-hoc`.
    Bare(&'a str),
}

impl Payload<'_> {
    pub(crate) fn write(&self, out: &mut impl Write) -> fmt::Result {
        out.write_str("data:\"")?;
        match *self {
            Self::Registered(id) => write!(out, "registered^{}", JsonEscaped(id))?,
            Self::Notify(key) => write!(out, "notify^{}", JsonEscaped(key))?,
            Self::Completed { timestamp, id, task, failure } => {
                let (timestamp, id, task) = (timestamp.as_millis(), JsonEscaped(id), JsonEscaped(task));
                write!(out, r#"completed^{{\"timestamp\":{timestamp},\"id\":\"{id}\",\"taskid\":\"{task}\""#)?;
                if let Some(reason) = failure {
                    write!(out, r#",\"status\":\"failed\",\"reason\":\"{}\""#, Cleared(reason))?;
                }
                out.write_str("}")?;
            }
            Self::Bare(text) => write!(out, "{}", JsonEscaped(text))?,
        }
        out.write_str("\"\n\n")
    }
}

impl Encode for Payload<'_> {
    fn id(&self) -> Option<IdField<'_>> {
        None
    }

    fn body_len(&self) -> usize {
        measure(|out| self.write(out))
    }

    fn encode_body(&self, out: &mut [u8]) {
        fill(out, |out| self.write(out));
    }
}

/// A free text without what the client of system M cannot take.
struct Cleared<'a>(&'a str);

impl fmt::Display for Cleared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '^' | '"' | '\\' => f.write_char(' '),
            other if other.is_control() => f.write_char(' '),
            other => f.write_char(other),
        })
    }
}
