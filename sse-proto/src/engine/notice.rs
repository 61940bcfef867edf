//! The frames that the engine itself writes: greetings, gaps, heartbeats, farewells and what becomes of tasks.

use core::fmt::{self, Write};

use crate::manager::Payload;
use crate::time::Instant;
use crate::wire::measure::{JsonEscaped, OneLine, fill, measure};
use crate::wire::{Encode, IdField};

use super::delivery::Resumes;
use super::{Dialect, GapReason, Greeting, TaskState};

/// One frame of the engine's own, by reference.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice<'a> {
    Greeting { form: Greeting, resumes: Resumes, id: &'a str, retry: Option<u32> },
    Gap(GapReason),
    Heartbeat(&'static str),
    Farewell { retry: u32 },
    Task(TaskNotice<'a>),
}

/// What became of a task, told to one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaskNotice<'a> {
    pub(super) dialect: Dialect,
    pub(super) state: TaskState,
    pub(super) task: &'a str,
    pub(super) client: &'a str,
    pub(super) at: Instant,
    /// JSON: the progress or the result. For a failure: a text, the reason.
    pub(super) detail: Option<&'a str>,
}

impl Encode for Notice<'_> {
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

impl Notice<'_> {
    fn write(&self, out: &mut impl Write) -> fmt::Result {
        match *self {
            Self::Greeting { form, resumes, id, retry } => {
                // A client of system M may still hold the data of a frame it was cut off in. If that frame comes again,
                // what it holds must go; if the cut was in the blank line, it must be dispatched. A client that follows
                // the standard holds nothing, and sees nothing of this.
                match resumes {
                    Resumes::Nothing => {}
                    Resumes::CaughtUp => out.write_str(
                        "
",
                    )?,
                    Resumes::Behind => out.write_str(
                        "event:resume

",
                    )?,
                }
                if let Some(retry) = retry {
                    writeln!(out, "retry:{retry}")?;
                }
                match form {
                    Greeting::Registered => Payload::Registered(id).write(out),
                    Greeting::Connected => {
                        write!(out, "event:connected\ndata:{{\"client\":\"{}\"}}\n\n", JsonEscaped(id))
                    }
                    Greeting::Position => out.write_str("\n"),
                    Greeting::Silent => Ok(()),
                }
            }
            Self::Gap(reason) => write!(out, "event:gap\ndata:{{\"reason\":\"{reason}\"}}\n\n"),
            Self::Heartbeat(comment) => write!(out, ":{comment}\n\n"),
            Self::Farewell { retry } => write!(out, "retry:{retry}\n\n"),
            Self::Task(notice) => notice.write(out),
        }
    }
}

impl TaskNotice<'_> {
    fn write(&self, out: &mut impl Write) -> fmt::Result {
        let &Self { dialect, state, task, client, at, detail } = self;
        if dialect == Dialect::Manager {
            let failure = (state == TaskState::Failed).then(|| detail.unwrap_or(""));
            return Payload::Completed { timestamp: at, id: client, task, failure }.write(out);
        }
        let (task, client, timestamp) = (JsonEscaped(task), JsonEscaped(client), at.as_millis());
        write!(out, "event:{state}\ndata:{{\"task\":\"{task}\",\"client\":\"{client}\",\"timestamp\":{timestamp}")?;
        match (state, detail) {
            (TaskState::Failed, reason) => write!(out, ",\"reason\":\"{}\"", JsonEscaped(reason.unwrap_or("")))?,
            (TaskState::Completed, Some(result)) => write!(out, ",\"result\":{}", OneLine(result))?,
            (_, Some(progress)) => write!(out, ",\"progress\":{}", OneLine(progress))?,
            (_, None) => {}
        }
        out.write_str("}\n\n")
    }
}
