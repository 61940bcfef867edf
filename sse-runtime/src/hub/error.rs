//! What a hub answers when it cannot do what it was asked for.

use std::fmt;

use sse_proto::wire::{FieldError, FieldErrorKind};
use sse_proto::{Full, IdError, ListenError, NameError, PublishError, RegisterError, TaskError, check_name, check_topic};

/// Why a hub did not do what it was asked for. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubError {
    /// The hub was closed for good.
    Closed,
    /// The hub is shutting down; another one may take over.
    ShuttingDown,
    /// A part of the hub broke down. The process should be started anew.
    Broken,
    /// More tasks run than may.
    Busy,
    /// More is published than the shards take in.
    Overloaded,
    /// A limit of the configuration is reached: its name.
    Full(&'static str),
    /// No client is registered under the id.
    UnknownClient,
    /// The stream is closed.
    UnknownStream,
    /// No such task can be submitted, or the client does not wait for it.
    UnknownTask,
    /// The client waits for a task of that name already.
    TaskPending,
    /// The task has ended already.
    TaskEnded,
    /// A name cannot be one.
    Name {
        /// Which: `name`, `id`, `group`, `topic` or `task`.
        what: &'static str,
        /// What is wrong with it.
        error: NameError,
    },
    /// A name is too long.
    TooLong {
        /// Which.
        what: &'static str,
        /// How many bytes it may have.
        limit: u32,
    },
    /// The event takes more bytes than a frame may.
    TooLarge {
        /// How many it may take.
        limit: usize,
    },
    /// The event cannot be framed.
    Event(EventError),
    /// The operating system gave no random bytes.
    NoEntropy,
}

/// Why a value cannot be an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventError {
    /// A field cannot hold the value.
    Field {
        /// Which: `event` or `id`.
        field: &'static str,
        /// What stands in it that must not.
        kind: FieldErrorKind,
        /// Where, in bytes.
        position: usize,
    },
    /// The value cannot be JSON.
    Json(String),
}

impl EventError {
    pub(crate) fn field(field: &'static str, error: FieldError) -> Self {
        Self::Field { field, kind: error.kind, position: error.position }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { field, kind, position } => {
                let (kind, position) = (*kind, *position);
                write!(f, "{field}: {}", FieldError { kind, position })
            }
            Self::Json(error) => write!(f, "the value cannot be JSON: {error}"),
        }
    }
}

impl std::error::Error for EventError {}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the hub is closed"),
            Self::ShuttingDown => f.write_str("the hub is shutting down; try again later"),
            Self::Broken => f.write_str("a part of the hub broke down; start it anew"),
            Self::Overloaded => f.write_str("more is published than the hub takes in; wait, or publish less"),
            Self::Busy => f.write_str("as many tasks run as may; try again later"),
            Self::Full(limit) => write!(f, "the limit {limit} is reached; raise it or try again later"),
            Self::UnknownClient => f.write_str("no client is registered under this id; register first"),
            Self::UnknownStream => f.write_str("the stream is closed"),
            Self::UnknownTask => f.write_str("there is no such task"),
            Self::TaskPending => f.write_str("the client waits for this task already"),
            Self::TaskEnded => f.write_str("the task has ended already"),
            Self::Name { what, error } => write!(f, "the {what}: {error}"),
            Self::TooLong { what, limit } => write!(f, "the {what} is longer than {limit} bytes"),
            Self::TooLarge { limit } => {
                write!(f, "the event is longer than {limit} bytes as a frame")
            }
            Self::Event(error) => error.fmt(f),
            Self::NoEntropy => f.write_str("the operating system gave no random bytes"),
        }
    }
}

impl std::error::Error for HubError {}

impl From<EventError> for HubError {
    fn from(error: EventError) -> Self {
        Self::Event(error)
    }
}

impl From<Full> for HubError {
    fn from(full: Full) -> Self {
        match full {
            // No limit that could be raised: another epoch begins anew.
            Full::Sequence => Self::Broken,
            other => Self::Full(other.limit()),
        }
    }
}

impl From<IdError> for HubError {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Name(error) => Self::Name { what: "name", error },
            IdError::Group(error) => Self::Name { what: "group", error },
            IdError::TooLong { limit } => Self::TooLong { what: "name", limit },
            IdError::Entropy => Self::NoEntropy,
            IdError::Full(full) => full.into(),
        }
    }
}

impl From<RegisterError> for HubError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Group(error) => Self::Name { what: "group", error },
            RegisterError::Topic { error, .. } => Self::Name { what: "topic", error },
            RegisterError::TooLong { what, limit } => Self::TooLong { what, limit },
            RegisterError::Full(full) => full.into(),
            RegisterError::Draining => Self::ShuttingDown,
        }
    }
}

impl From<ListenError> for HubError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::UnknownClient => Self::UnknownClient,
            ListenError::Topic(error) => Self::Name { what: "topic", error },
            ListenError::TooLong { limit } => Self::TooLong { what: "topic", limit },
            ListenError::Full(full) => full.into(),
        }
    }
}

impl From<PublishError> for HubError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooLarge { limit, .. } => Self::TooLarge { limit },
            PublishError::IdTooLong => Self::TooLong { what: "id", limit: sse_proto::MAX_EVENT_ID as u32 },
            PublishError::Name(error) => Self::Name { what: "target", error },
            PublishError::TooLong { limit } => Self::TooLong { what: "target", limit },
            PublishError::UnknownTarget => Self::UnknownClient,
            PublishError::Full(full) => full.into(),
        }
    }
}

impl From<TaskError> for HubError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::UnknownTask => Self::UnknownTask,
            TaskError::AlreadySubmitted => Self::TaskPending,
            TaskError::AlreadyEnded => Self::TaskEnded,
            TaskError::Name(error) => Self::Name { what: "task", error },
            TaskError::TooLong { limit } => Self::TooLong { what: "task", limit },
            TaskError::TooLarge => Self::TooLarge { limit: 0 },
            TaskError::Full(full) => full.into(),
        }
    }
}

/// Checks a name from outside.
pub(crate) fn name(what: &'static str, name: &str, limit: u32) -> Result<(), HubError> {
    check_name(name).map_err(|error| HubError::Name { what, error })?;
    within(what, name, limit)
}

/// Checks a topic or a group from outside.
pub(crate) fn topic(what: &'static str, topic: &str, limit: u32) -> Result<(), HubError> {
    check_topic(topic).map_err(|error| HubError::Name { what, error })?;
    within(what, topic, limit)
}

fn within(what: &'static str, text: &str, limit: u32) -> Result<(), HubError> {
    if text.len() > limit as usize { Err(HubError::TooLong { what, limit }) } else { Ok(()) }
}
