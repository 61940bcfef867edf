//! The payloads of system M: `kind^argument` in a JSON string, in an unnamed event.
//!
//! Every home of the engine sends these same bytes. A client of system M splits the data at `^` and deletes every backslash:
//! ids and task names hold neither (see [`ClientId`](crate::ClientId)), and a free text is cleared of them.

use crate::time::Instant;
use crate::wire::measure::{Draft, fill, measure};
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
    pub(crate) fn write(&self, out: &mut Draft<'_>) {
        out.put("data:\"");
        match *self {
            Self::Registered(id) => out.put("registered^").json(id),
            Self::Notify(key) => out.put("notify^").json(key),
            Self::Completed { timestamp, id, task, failure } => {
                out.put(r#"completed^{\"timestamp\":"#).number(timestamp.as_millis());
                out.put(r#",\"id\":\""#).json(id).put(r#"\",\"taskid\":\""#).json(task).put(r#"\""#);
                if let Some(reason) = failure {
                    out.put(r#",\"status\":\"failed\",\"reason\":\""#).spaced(reason, breaks_a_payload).put(r#"\""#);
                }
                out.put("}")
            }
            Self::Bare(text) => out.json(text),
        };
        out.put("\"\n\n");
    }
}

impl Encode for Payload<'_> {
    fn id(&self) -> Option<IdField<'_>> {
        None
    }

    fn body_len(&self) -> usize {
        measure(|out| self.write(out))
    }

    fn encode_body(&self, out: &mut [u8]) -> usize {
        fill(out, |out| self.write(out))
    }
}

/// What the client of system M cannot take in a free text.
fn breaks_a_payload(character: char) -> bool {
    matches!(character, '^' | '"' | '\\') || character.is_control()
}
