//! Who does a client's tasks: a handler in this process, an upstream over HTTP, or a worker outside that reports by itself.

pub mod demo;
mod upstream;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

pub use self::upstream::Upstream;
use crate::event::ClientRef;
use crate::hub::{Hub, HubError, TaskEnd};
use crate::metrics::TaskOutcome;
use crate::telemetry::short;

/// A task at work: its result, or the reason why it failed.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// Who does a task.
#[derive(Clone)]
pub(crate) enum Task {
    Handler(Arc<dyn Fn(TaskRun) -> Work + Send + Sync>),
    Upstream(Arc<Upstream>),
    Worker,
}

/// One submission of a task, as its handler sees it.
#[derive(Clone)]
pub struct TaskRun {
    pub(crate) hub: Hub,
    pub(crate) client: ClientRef,
    pub(crate) task: Arc<str>,
    pub(crate) params: Value,
}

impl TaskRun {
    /// The client that submitted it.
    pub fn client(&self) -> &ClientRef {
        &self.client
    }

    /// The task's name.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// What came with the submission; `null` when nothing did.
    pub fn params(&self) -> &Value {
        &self.params
    }

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Tells the client how far the task is.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the client is gone, or the progress is too large for a frame.
    pub async fn progress(&self, progress: &Value) -> Result<(), HubError> {
        self.hub.progress(&self.client, &self.task, progress).await
    }

    /// Does the task, or has it done, and tells its end if that is known here.
    pub(crate) async fn perform(self, kind: Task) {
        let end = match kind {
            Task::Worker => return,
            Task::Upstream(upstream) => match upstream.submit(&self).await {
                // The upstream reports the end.
                Ok(()) => return,
                Err(reason) => {
                    self.hub.metrics().tasks.of(TaskOutcome::Undeliverable).inc();
                    TaskEnd::Failed(reason)
                }
            },
            Task::Handler(handler) => {
                // A task of its own: a handler that panics fails alone, be it before its first await.
                let run = self.clone();
                match tokio::spawn(async move { handler(run).await }).await {
                    Ok(Ok(Value::Null)) => TaskEnd::Completed(None),
                    Ok(Ok(result)) => TaskEnd::Completed(Some(result.to_string())),
                    Ok(Err(reason)) => TaskEnd::Failed(reason),
                    Err(_) => TaskEnd::Failed("the task's handler broke down".to_owned()),
                }
            }
        };
        let mut ended = self.hub.complete(&self.client, &self.task, end).await;
        if let Err(error @ (HubError::TooLarge { .. } | HubError::Full(_))) = ended {
            let reason = format!("the result could not be kept: {error}");
            ended = self.hub.complete(&self.client, &self.task, TaskEnd::Failed(reason)).await;
        }
        if let Err(error) = ended {
            self.hub.metrics().tasks.of(TaskOutcome::Abandoned).inc();
            tracing::debug!(client = %short(&self.client.id), task = &*self.task, %error, "a task ended for nobody");
        }
    }
}

impl fmt::Debug for TaskRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = format!("{}", short(&self.client.id));
        f.debug_struct("TaskRun").field("client", &client).field("task", &self.task).finish_non_exhaustive()
    }
}
