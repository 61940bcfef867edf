//! What an application publishes, and to whom.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use sse_proto::ConnId;
use sse_proto::manager::Payload;
use sse_proto::wire::{self, Encode, EventName, FieldError, Frame, IdField};

use crate::hub::EventError;

/// An event: what the client dispatches.
///
/// ```
/// let event = sse_runtime::Event::data("42").event("price")?;
/// # Ok::<(), sse_runtime::EventError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    id: Option<String>,
    event: Option<String>,
    retry: Option<u32>,
    data: Option<String>,
    comment: Option<String>,
}

impl Event {
    /// An event with `data`; line breaks in it stay line breaks.
    pub fn data(data: impl Into<String>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// An event with `value` as JSON.
    ///
    /// # Errors
    ///
    /// [`EventError::Json`] when `value` cannot be JSON, for example a map whose keys are no strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EventError> {
        serde_json::to_string(value).map(Self::data).map_err(|error| EventError::Json(error.to_string()))
    }

    /// A comment: a client sees nothing of it.
    pub fn comment(comment: impl Into<String>) -> Self {
        Self { comment: Some(comment.into()), ..Self::default() }
    }

    /// Names the event: the listener of that name is called instead of the one for messages.
    ///
    /// # Errors
    ///
    /// [`EventError::Field`] when the name has a line break.
    pub fn event(mut self, name: impl Into<String>) -> Result<Self, EventError> {
        let name = name.into();
        EventName::new(&name).map_err(|error| EventError::field("event", error))?;
        self.event = Some(name);
        Ok(self)
    }

    /// Gives the event an id of the application's own, which clients resume from. Left out, the hub numbers it.
    ///
    /// # Errors
    ///
    /// [`EventError::Field`] when the id has a line break or NUL.
    pub fn id(mut self, id: impl Into<String>) -> Result<Self, EventError> {
        let id = id.into();
        IdField::new(&id).map_err(|error| EventError::field("id", error))?;
        self.id = Some(id);
        Ok(self)
    }

    /// Tells clients to wait `millis` milliseconds before they reconnect.
    #[must_use]
    pub fn retry(mut self, millis: u32) -> Self {
        self.retry = Some(millis);
        self
    }

    pub(crate) fn to_wire(&self) -> Result<wire::Event<'_>, EventError> {
        let (data, comment) = (self.data.as_deref(), self.comment.as_deref());
        Ok(wire::Event { data, comment, ..fields(self.event.as_deref(), self.id.as_deref(), self.retry)? })
    }
}

/// An event with these fields and no text.
pub(crate) fn fields<'a>(
    event: Option<&'a str>,
    id: Option<&'a str>,
    retry: Option<u32>,
) -> Result<wire::Event<'a>, EventError> {
    let field = |name| move |error: FieldError| EventError::field(name, error);
    Ok(wire::Event {
        event: event.map(EventName::new).transpose().map_err(field("event"))?,
        id: id.map(IdField::new).transpose().map_err(field("id"))?,
        retry,
        ..wire::Event::default()
    })
}

/// A frame that all shards read.
pub(crate) type SharedFrame = Frame<Bytes>;

/// Encodes once, for all shards.
pub(crate) fn share(frame: &impl Encode) -> SharedFrame {
    Frame::new(frame, |len| vec![0; len]).map(Bytes::from)
}

/// The payload `notify^KEY`, or the key alone where that is what clients expect.
pub(crate) fn notification(key: &str, bare: bool) -> SharedFrame {
    share(&if bare { Payload::Bare(key) } else { Payload::Notify(key) })
}

/// A client, by its id and the group the id is unique in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientRef {
    /// The group; empty is the default one.
    pub group: Arc<str>,
    /// The id. It is a capability: never log it whole.
    pub id: Arc<str>,
}

impl From<&str> for ClientRef {
    fn from(id: &str) -> Self {
        Self { group: Arc::default(), id: id.into() }
    }
}

impl From<&String> for ClientRef {
    fn from(id: &String) -> Self {
        id.as_str().into()
    }
}

impl From<(&str, &str)> for ClientRef {
    /// From group and id.
    fn from((group, id): (&str, &str)) -> Self {
        Self::in_group(group, id.into())
    }
}

impl ClientRef {
    pub(crate) fn in_group(group: &str, id: Arc<str>) -> Self {
        // One empty text is shared by all, where a new one would take memory for each.
        let group = if group.is_empty() { Arc::default() } else { group.into() };
        Self { group, id }
    }
}

impl From<&ClientRef> for ClientRef {
    fn from(client: &ClientRef) -> Self {
        client.clone()
    }
}

/// One open stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    pub(crate) shard: usize,
    pub(crate) conn: ConnId,
}

/// Who an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every client.
    All,
    /// Every client that listens to this topic.
    Topic(String),
    /// Every client of this group.
    Group(String),
    /// Every client of this user name.
    UserName(String),
    /// All streams of one client.
    Client(ClientRef),
    /// One stream.
    Stream(StreamId),
}

/// A [`Target`], by reference.
#[derive(Clone, Copy)]
pub(crate) enum TargetRef<'a> {
    All,
    Topic(&'a str),
    Group(&'a str),
    UserName(&'a str),
    Client { group: &'a str, id: &'a str },
    Stream(StreamId),
}

impl Target {
    pub(crate) fn by_ref(&self) -> TargetRef<'_> {
        match self {
            Self::All => TargetRef::All,
            Self::Topic(topic) => TargetRef::Topic(topic),
            Self::Group(group) => TargetRef::Group(group),
            Self::UserName(name) => TargetRef::UserName(name),
            Self::Client(ClientRef { group, id }) => TargetRef::Client { group, id },
            Self::Stream(stream) => TargetRef::Stream(*stream),
        }
    }

    /// Every client that listens to `topic`.
    pub fn topic(topic: impl Into<String>) -> Self {
        Self::Topic(topic.into())
    }

    /// All streams of `client`.
    pub fn client(client: impl Into<ClientRef>) -> Self {
        Self::Client(client.into())
    }
}
