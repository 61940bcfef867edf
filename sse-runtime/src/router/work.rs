//! Tasks over HTTP: submitted by clients, reported on by whoever does them.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use sse_proto::TaskState;

use super::{Web, answer};
use crate::error::ApiError;
use crate::hub::{TaskEnd, TaskStatus};

type TwoParts = Result<Path<(String, String)>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

/// How a task ended, as it is reported.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Report {
    status: Status,
    result: Option<Value>,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    #[default]
    Completed,
    Failed,
}

/// M9: a client submits a task; the body, if there is one, is JSON for whoever does it.
pub(super) async fn submit(State(web): State<Web>, parts: TwoParts, body: Body) -> Result<Response, ApiError> {
    let Path((id, task)) = parts?;
    let params = answer::optional_json(&body?)?;
    web.hub.submit_task(&id, &task, params).await?;
    Ok(answer::ok())
}

/// A task ended.
pub(super) async fn complete(State(web): State<Web>, parts: TwoParts, body: Body) -> Result<Response, ApiError> {
    let Path((id, task)) = parts?;
    let report: Report = answer::optional_json(&body?)?;
    let end = match report {
        Report { status: Status::Completed, reason: Some(_), .. } => {
            return Err(ApiError::malformed("only a failed task has a reason").field("reason"));
        }
        Report { status: Status::Failed, result: Some(_), .. } => {
            return Err(ApiError::malformed("a failed task has no result; give a reason").field("result"));
        }
        Report { status: Status::Completed, result, .. } => TaskEnd::Completed(result.map(|result| result.to_string())),
        Report { status: Status::Failed, reason, .. } => TaskEnd::Failed(reason.unwrap_or_default()),
    };
    web.hub.complete(&id, &task, end).await?;
    Ok(answer::ok())
}

/// A task came along; the body is any JSON.
pub(super) async fn progress(State(web): State<Web>, parts: TwoParts, body: Body) -> Result<Response, ApiError> {
    let Path((id, task)) = parts?;
    let progress: Value = answer::optional_json(&body?)?;
    web.hub.progress(&id, &task, &progress).await?;
    Ok(answer::ok())
}

/// What a client waits for.
pub(super) async fn tasks(State(web): State<Web>, id: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let tasks: Vec<Value> = web.hub.tasks(&id).await?.into_iter().map(row).collect();
    Ok(answer::json(Value::Array(tasks).to_string()))
}

fn row(task: TaskStatus) -> Value {
    let mut row = json!({ "task": task.name, "status": task.state.name() });
    if let Some(detail) = task.detail {
        let (key, value) = match task.state {
            TaskState::Failed => ("reason", Value::String(detail)),
            TaskState::Completed => ("result", raw(&detail)),
            TaskState::Submitted | TaskState::Progress => ("progress", raw(&detail)),
        };
        row[key] = value;
    }
    row
}

fn raw(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned()))
}
