//! Failures, in the words of `sse-hub`: a code for programs, the field to blame, and a message for people.

use alloc::format;
use alloc::string::{String, ToString};

use sse_proto::wire::FieldError;
use sse_proto::{
    ConfigError, Full, IdError, ListenError, MAX_EVENT_ID, NameError, PublishError, RegisterError, TaskError, check_name,
    check_topic,
};
use wasm_bindgen::JsValue;

/// Why something was not done. Nothing was changed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: &'static str, field: &str, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into() }
    }
}

/// Crosses as one text, `code\nfield\nmessage`, of which `js/errors.js` makes an error.
impl From<Failure> for JsValue {
    fn from(Failure { code, field, message }: Failure) -> Self {
        Self::from_str(&format!("{code}\n{field}\n{message}"))
    }
}

pub(crate) fn unknown_client() -> Failure {
    Failure::new("unknown-client", "", "no client is registered under this id; register first")
}

pub(crate) fn unknown_stream() -> Failure {
    Failure::new("unknown-stream", "", "the stream is closed")
}

pub(crate) fn field(field: &str, error: FieldError) -> Failure {
    Failure::new("invalid-field", field, format!("{field}: {error}"))
}

pub(crate) fn name_error(what: &str, error: NameError) -> Failure {
    Failure::new("invalid-name", what, format!("the {what}: {error}"))
}

pub(crate) fn too_long(what: &str, limit: u32) -> Failure {
    Failure::new("too-long", what, format!("the {what} is longer than {limit} bytes"))
}

pub(crate) fn too_large(limit: usize) -> Failure {
    Failure::new("too-large", "data", format!("the event takes more than {limit} bytes as a frame"))
}

/// Checks a name from outside.
pub(crate) fn name(what: &str, name: &str, limit: u32) -> Result<(), Failure> {
    check_name(name).map_err(|error| name_error(what, error))?;
    within(what, name, limit)
}

/// Checks a topic or a group from outside.
pub(crate) fn topic(what: &str, topic: &str, limit: u32) -> Result<(), Failure> {
    check_topic(topic).map_err(|error| name_error(what, error))?;
    within(what, topic, limit)
}

fn within(what: &str, text: &str, limit: u32) -> Result<(), Failure> {
    if text.len() > limit as usize { Err(too_long(what, limit)) } else { Ok(()) }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new("invalid-option", error.limit, error.to_string())
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        let limit = full.limit();
        Self::new("full", "", format!("the limit {limit} is reached; raise it or try again later"))
    }
}

impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Name(error) => name_error("name", error),
            IdError::Group(error) => name_error("group", error),
            IdError::TooLong { limit } => too_long("name", limit),
            IdError::Entropy => Self::new("no-entropy", "", "the host gave no random bytes"),
            IdError::Full(full) => full.into(),
        }
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Group(error) => name_error("group", error),
            RegisterError::Topic { error, .. } => name_error("topic", error),
            RegisterError::TooLong { what, limit } => too_long(what, limit),
            RegisterError::Full(full) => full.into(),
            RegisterError::Draining => Self::new("shutting-down", "", "the hub is shutting down; try again in a moment"),
        }
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::UnknownClient => unknown_client(),
            ListenError::Topic(error) => name_error("topic", error),
            ListenError::TooLong { limit } => too_long("topic", limit),
            ListenError::Full(full) => full.into(),
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooLarge { limit, .. } => too_large(limit),
            PublishError::IdTooLong => too_long("id", MAX_EVENT_ID as u32),
            PublishError::Name(error) => name_error("target", error),
            PublishError::TooLong { limit } => too_long("target", limit),
            PublishError::UnknownTarget => unknown_client(),
            PublishError::Full(full) => full.into(),
        }
    }
}

/// `frame_bytes` is the limit that a result was too large for.
pub(crate) fn task(error: TaskError, frame_bytes: u32) -> Failure {
    match error {
        TaskError::UnknownTask => Failure::new("unknown-task", "", "there is no such task"),
        TaskError::AlreadySubmitted => Failure::new("task-pending", "", "the client waits for a task of this name already"),
        TaskError::AlreadyEnded => Failure::new("task-ended", "", "the task has ended already"),
        TaskError::Name(error) => name_error("task", error),
        TaskError::TooLong { limit } => too_long("task", limit),
        TaskError::TooLarge => too_large(frame_bytes as usize),
        TaskError::Full(full) => full.into(),
    }
}
