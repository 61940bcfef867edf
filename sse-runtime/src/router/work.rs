//! Tasks over HTTP: submitted by clients, reported on by whoever does them.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sse_proto::TaskState;

use super::{Web, answer};
use crate::error::ApiError;
use crate::hub::{TaskEnd, TaskStatus};

type TwoParts = Result<Path<(String, String)>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

/// How a task ended, as it is reported.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object such as {\"status\": \"completed\"}")]
struct Report {
    status: Status,
    result: Option<Box<RawValue>>,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    #[default]
    Completed,
    Failed,
}

/// A task as it is listed. What was reported as JSON is passed on as it was written.
#[derive(Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    status: &'static str,
    task: String,
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
        Report { status: Status::Completed, result, .. } => {
            TaskEnd::Completed(result.map(|result| String::from(Box::<str>::from(result))))
        }
        Report { status: Status::Failed, reason, .. } => TaskEnd::Failed(reason.unwrap_or_default()),
    };
    web.hub.complete(&id, &task, end).await?;
    Ok(answer::ok())
}

/// A task came along; the body is any JSON.
pub(super) async fn progress(State(web): State<Web>, parts: TwoParts, body: Body) -> Result<Response, ApiError> {
    let Path((id, task)) = parts?;
    let progress: Option<Box<RawValue>> = answer::optional_json(&body?)?;
    let progress = progress.map_or_else(|| "null".to_owned(), |progress| String::from(Box::<str>::from(progress)));
    web.hub.progress_json((&id).into(), &task, progress).await?;
    Ok(answer::ok())
}

/// What a client waits for.
pub(super) async fn tasks(State(web): State<Web>, id: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let tasks: Vec<Row> = web.hub.tasks(&id).await?.into_iter().map(row).collect();
    let json = serde_json::to_string(&tasks);
    Ok(answer::json(json.map_err(|error| ApiError::malformed(error.to_string()))?))
}

fn row(TaskStatus { name: task, state, detail }: TaskStatus) -> Row {
    let mut row = Row { progress: None, reason: None, result: None, status: state.name(), task };
    match state {
        TaskState::Failed => row.reason = detail,
        TaskState::Completed => row.result = detail.and_then(raw),
        TaskState::Submitted | TaskState::Progress => row.progress = detail.and_then(raw),
    }
    row
}

/// What the application calls JSON and is none is listed as a text.
fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json.clone()).or_else(|_| to_raw_value(&json)).ok()
}
