//! Frames by the book, put together with `format!`.

use sse_proto::wire::Event;
use sse_proto::{Dialect, TaskState};

/// The frame that tells of a task, without its id.
pub(super) fn task_body(dialect: Dialect, client: &str, task: &str, state: TaskState, at: u64, detail: Option<&str>) -> String {
    if dialect == Dialect::Manager {
        let mut payload = format!("completed^{{\"timestamp\":{at},\"id\":\"{client}\",\"taskid\":\"{task}\"");
        if state == TaskState::Failed {
            let bad = |c: char| matches!(c, '^' | '"' | '\\') || c.is_control();
            let reason = detail.unwrap_or("").replace(bad, " ");
            payload += &format!(",\"status\":\"failed\",\"reason\":\"{reason}\"");
        }
        return format!("data:{}\n\n", json(&(payload + "}")));
    }
    let detail = match (state, detail) {
        (TaskState::Failed, reason) => format!(",\"reason\":{}", json(reason.unwrap_or(""))),
        (TaskState::Completed, Some(result)) => {
            format!(",\"result\":{}", result.replace(['\r', '\n'], " "))
        }
        (_, Some(progress)) => format!(",\"progress\":{}", progress.replace(['\r', '\n'], " ")),
        (_, None) => String::new(),
    };
    let name = state.name();
    let data = format!("{{\"task\":\"{task}\",\"client\":\"{client}\",\"timestamp\":{at}{detail}}}");
    serde_json::from_str::<serde_json::Value>(&data).expect("what is sent is JSON");
    format!("event:{name}\ndata:{data}\n\n")
}

pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An event by the book, without its id.
pub(super) fn encode_body(event: &Event<'_>) -> String {
    let lines = |text: &str| -> Vec<String> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        text.split('\n').map(Into::into).collect()
    };
    let mut body = String::new();
    if let Some(name) = event.event {
        body += &field("event", name.as_str());
    }
    if let Some(retry) = event.retry {
        body += &format!("retry:{retry}\n");
    }
    let data = event.data.or(event.event.map(|_| ""));
    for line in data.into_iter().flat_map(lines) {
        body += &field("data", &line);
    }
    for line in event.comment.into_iter().flat_map(lines) {
        body += &field("", &line);
    }
    body + "\n"
}

pub(super) fn field(name: &str, value: &str) -> String {
    let pad = if value.starts_with(' ') { " " } else { "" };
    format!("{name}:{pad}{value}\n")
}
