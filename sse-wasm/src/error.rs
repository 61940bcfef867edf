//! Failures: what went wrong as a number and the facts of it, of which `js/engine.js` makes a code and a message.

use alloc::boxed::Box;

use sse_proto::wire::{FieldError, FieldErrorKind};
use sse_proto::{
    ConfigError, Full, IdError, ListenError, MAX_EVENT_ID, NameError, PublishError, RegisterError, TaskError, check_name,
    check_topic,
};

use crate::hub::record::Writer;

/// Why something was not done. Nothing was changed. In a box, because it is handed on in many places, and rarely there.
#[derive(Debug)]
pub struct Failure(Box<Facts>);

#[derive(Debug)]
struct Facts {
    what: What,
    /// The part of what was asked for that is to blame, or nothing.
    field: &'static str,
    /// A limit or a position; and a character.
    numbers: [u32; 2],
    text: &'static str,
    /// Which of several publications is to blame.
    index: u32,
}

/// In the order of `FAILURES` in `js/engine.js`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    UnknownClient,
    UnknownStream,
    LineBreak,
    Nul,
    EmptyName,
    Character,
    TooLong,
    TooLarge,
    Option,
    Full,
    NoEntropy,
    ShuttingDown,
    UnknownTask,
    TaskPending,
    TaskEnded,
    Broken,
}

impl Failure {
    pub(crate) fn new(what: What) -> Self {
        Self::of(what, "", 0)
    }

    pub(crate) fn option(field: &'static str, must_be: &'static str) -> Self {
        Self::with(What::Option, field, [0; 2], must_be)
    }

    pub(crate) fn at(mut self, index: usize) -> Self {
        self.0.index = index as u32;
        self
    }

    pub(crate) fn write(&self, answer: &mut Writer) {
        let Facts { what, field, numbers: [first, second], text, index } = *self.0;
        for number in [what as u32, index, first, second] {
            answer.number(u64::from(number));
        }
        answer.text(field);
        answer.text(text);
    }

    fn of(what: What, field: &'static str, number: usize) -> Self {
        Self::with(what, field, [number as u32, 0], "")
    }

    #[cold]
    #[inline(never)]
    fn with(what: What, field: &'static str, numbers: [u32; 2], text: &'static str) -> Self {
        Self(Box::new(Facts { what, field, numbers, text, index: u32::MAX }))
    }
}

/// What was given cannot be read as what it should be.
#[cold]
#[inline(never)]
pub(crate) fn broken() -> Failure {
    Failure::new(What::Broken)
}

pub(crate) fn unknown_client() -> Failure {
    Failure::new(What::UnknownClient)
}

pub(crate) fn field(field: &'static str, error: FieldError) -> Failure {
    let what = match error.kind {
        FieldErrorKind::LineBreak => What::LineBreak,
        FieldErrorKind::Nul => What::Nul,
    };
    Failure::of(what, field, error.position)
}

pub(crate) fn name_error(what: &'static str, error: NameError) -> Failure {
    match error {
        NameError::Empty => Failure::of(What::EmptyName, what, 0),
        NameError::Character { character, position } => {
            Failure::with(What::Character, what, [position as u32, character as u32], "")
        }
    }
}

pub(crate) fn too_long(what: &'static str, limit: u32) -> Failure {
    Failure::of(What::TooLong, what, limit as usize)
}

pub(crate) fn too_large(limit: usize) -> Failure {
    Failure::of(What::TooLarge, "data", limit)
}

/// Checks a name from outside.
pub(crate) fn name(what: &'static str, name: &str, limit: u32) -> Result<(), Failure> {
    check_name(name).map_err(|error| name_error(what, error))?;
    within(what, name, limit)
}

/// Checks a topic or a group from outside.
pub(crate) fn topic(what: &'static str, topic: &str, limit: u32) -> Result<(), Failure> {
    check_topic(topic).map_err(|error| name_error(what, error))?;
    within(what, topic, limit)
}

fn within(what: &'static str, text: &str, limit: u32) -> Result<(), Failure> {
    if text.len() > limit as usize { Err(too_long(what, limit)) } else { Ok(()) }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::option(error.limit, error.must_be)
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        Self::with(What::Full, "", [0; 2], full.limit())
    }
}

impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Name(error) => name_error("name", error),
            IdError::Group(error) => name_error("group", error),
            IdError::TooLong { limit } => too_long("name", limit),
            IdError::Entropy => Self::new(What::NoEntropy),
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
            RegisterError::Draining => Self::new(What::ShuttingDown),
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
        TaskError::UnknownTask => Failure::new(What::UnknownTask),
        TaskError::AlreadySubmitted => Failure::new(What::TaskPending),
        TaskError::AlreadyEnded => Failure::new(What::TaskEnded),
        TaskError::Name(error) => name_error("task", error),
        TaskError::TooLong { limit } => too_long("task", limit),
        TaskError::TooLarge => too_large(frame_bytes as usize),
        TaskError::Full(full) => full.into(),
    }
}
