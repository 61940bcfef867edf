//! What errors say: what was wrong, where, and what to do.

use core::fmt::Display;

use sse_proto::wire::{BufferTooSmall, DecodeError, FieldError, FieldErrorKind};
use sse_proto::{Full, GapReason, IdError, ListenError, NameError, PublishError, RegisterError, Stale, TaskError, TaskState};

#[test]
fn of_the_engine() {
    let (empty, full) = (NameError::Empty, Full::Topics);
    let (name, limit) = ("a name must not be empty", "the limit topics is reached");
    says(Stale, "the id is stale: what it named is gone");

    says(IdError::Name(empty), name);
    says(IdError::Group(empty), &format!("the group: {name}"));
    says(IdError::TooLong { limit: 7 }, "the id or the group would be longer than 7 bytes; take a shorter name");
    says(IdError::Entropy, "the entropy gives only ids that exist");
    says(IdError::Full(full), limit);

    says(RegisterError::Group(empty), &format!("the group: {name}"));
    says(RegisterError::Topic { index: 1, error: empty }, &format!("topic 2: {name}"));
    says(RegisterError::TooLong { what: "topic", limit: 7 }, "the topic is longer than 7 bytes");
    says(RegisterError::Full(full), limit);
    says(RegisterError::Draining, "the hub is shutting down");

    says(ListenError::UnknownClient, "no client is registered under this id");
    says(ListenError::Topic(empty), &format!("the topic: {name}"));
    says(ListenError::TooLong { limit: 7 }, "the topic is longer than 7 bytes");
    says(ListenError::Full(full), limit);

    says(PublishError::TooLarge { len: 9, limit: 7 }, "the event takes 9 bytes, the limit is 7");
    says(PublishError::IdTooLong, "the event's id is longer than 1024 bytes");
    says(PublishError::Name(empty), name);
    says(PublishError::TooLong { limit: 7 }, "the name is longer than 7 bytes");
    says(PublishError::UnknownTarget, "no client is registered under this id");
    says(PublishError::Full(full), limit);

    says(TaskError::UnknownTask, "the client does not wait for such a task");
    says(TaskError::AlreadySubmitted, "the client waits for a task of that name already");
    says(TaskError::AlreadyEnded, "the task has ended already");
    says(TaskError::Name(empty), &format!("the task's name: {name}"));
    says(TaskError::TooLong { limit: 7 }, "the task's name is longer than 7 bytes");
    says(TaskError::TooLarge, "it does not fit into a frame");
    says(TaskError::Full(full), limit);
}

#[test]
fn of_a_limit_by_its_name() {
    for (full, name) in [
        (Full::Connections, "connections"),
        (Full::ConnectionsOfClient, "connections_per_client"),
        (Full::Clients, "clients"),
        (Full::Groups, "groups"),
        (Full::Topics, "topics"),
        (Full::Subscriptions, "topics_per_client or subscriptions"),
        (Full::Tasks, "tasks_per_client or tasks"),
        (Full::Details, "detail_bytes"),
        (Full::Sequence, "of sequence numbers"),
    ] {
        assert_eq!(full.limit(), name);
        says(full, &format!("the limit {name} is reached"));
    }
}

#[test]
fn of_reasons_and_states_in_payloads() {
    for (reason, name) in [
        (GapReason::Evicted, "evicted"),
        (GapReason::Epoch, "epoch"),
        (GapReason::Unknown, "unknown"),
        (GapReason::Overrun, "overrun"),
    ] {
        says(reason, name);
    }
    for (state, name) in [
        (TaskState::Submitted, "submitted"),
        (TaskState::Progress, "progress"),
        (TaskState::Completed, "completed"),
        (TaskState::Failed, "failed"),
    ] {
        assert_eq!(state.name(), name);
        says(state, name);
    }
}

#[test]
fn of_the_wire() {
    let at = |kind| FieldError { kind, position: 3 };
    says(at(FieldErrorKind::LineBreak), "a line break at byte 3 cannot stand in this field");
    says(at(FieldErrorKind::Nul), "a NUL at byte 3 cannot stand in this field");
    says(BufferTooSmall { needed: 9 }, "the frame takes 9 bytes");
    says(DecodeError::LineTooLong, "the peer sent a line longer than the limit");
    says(DecodeError::EventTooLong, "the peer sent an event with more data than the limit");
    says(DecodeError::BufferFull, "the event does not fit the decoder's memory");
}

fn says(what: impl Display, expected: &str) {
    assert_eq!(what.to_string(), expected);
}
