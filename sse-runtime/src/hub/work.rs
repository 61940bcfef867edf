//! Tasks: submitting them, running them, and telling how they end.

use std::sync::Arc;

use serde_json::Value;
use sse_proto::{ClientId, ClientKey, TaskError};
use tokio::sync::oneshot;

use super::{ClientRef, Hub, HubError, Shard, TaskEnd, TaskStatus, error, single, to_its_end};
use crate::metrics::TaskOutcome;
use crate::tasks::{Task, TaskRun};
use crate::telemetry::short;

impl Hub {
    /// `client` submits `task`: the application's handler, an upstream or an outside worker does it. Returns once it was accepted.
    /// A task that was accepted is done, whether or not the caller still waits for that.
    ///
    /// # Errors
    ///
    /// [`HubError`]: no such task, the client is not registered or waits for it already, or too many run.
    pub async fn submit_task(&self, client: impl Into<ClientRef>, task: &str, params: Value) -> Result<(), HubError> {
        let client = client.into();
        error::name("task", task, self.inner.config.engine.limits.name_bytes)?;
        let kind = self.inner.tasks.get(task).cloned().ok_or(HubError::UnknownTask)?;
        let permit = match kind {
            Task::Worker => None,
            _ => Some(self.inner.running.clone().try_acquire_owned().map_err(|_| HubError::Busy)?),
        };
        let name = task.to_owned();
        let home = client.clone();
        let submit = move |shard: &mut Shard| {
            let key = find(shard, &home).ok_or(HubError::UnknownClient)?;
            shard.engine.submit(shard.now(), key, &name).map_err(HubError::from)
        };
        let run = TaskRun { hub: self.clone(), client, task: task.into(), params };
        let (answer, accepted) = oneshot::channel();
        tokio::spawn(async move {
            let _permit = permit;
            let submitted = run.hub.call_home(&run.client, submit).await;
            let submitted = submitted.and_then(|submitted| submitted);
            let goes_on = submitted.is_ok();
            if goes_on {
                run.hub.inner.metrics.tasks_submitted.inc();
                tracing::debug!(client = %short(&run.client.id), task = &*run.task, "task submitted");
            }
            // The caller may have lost interest.
            let _ = answer.send(submitted);
            if goes_on {
                run.perform(kind).await;
            }
        });
        accepted.await.map_err(|_| HubError::Closed)?
    }

    /// `task` of `client` came along.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the client does not wait for it, it has ended, or the progress is too large for a frame.
    pub async fn progress(&self, client: impl Into<ClientRef>, task: &str, progress: &Value) -> Result<(), HubError> {
        self.progress_json(client.into(), task, progress.to_string()).await
    }

    /// As [`progress`](Self::progress), with JSON that is told as it was written.
    pub(crate) async fn progress_json(&self, client: ClientRef, task: &str, progress: String) -> Result<(), HubError> {
        let (home, task) = (client.clone(), task.to_owned());
        let tell = move |shard: &mut Shard, sequence: u64| {
            let key = find(shard, &client).ok_or(HubError::UnknownClient)?;
            let told = shard.engine.progress_at(shard.now(), sequence, key, &task, &progress);
            told.map_err(|error| self::task_error(error, shard))
        };
        let (_, results) = self.sequenced(single(self.shard_of(&home.group, &home.id)), 1, tell).await?;
        results.into_iter().collect()
    }

    /// `task` of `client` ended: every client of its user name in its group is told so, and `client` alone with what result or
    /// why. The completion is kept for `client` until it arrived; a gap stands for one that was sent to who cannot tell what it has.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the client is not registered, the task has ended already, or the result is too large for a frame.
    pub async fn complete(&self, client: impl Into<ClientRef>, task: &str, end: TaskEnd) -> Result<(), HubError> {
        let client = client.into();
        self.end_task(&client, task, &end, false).await?;
        let outcome = match end {
            TaskEnd::Completed(_) => TaskOutcome::Completed,
            TaskEnd::Failed(_) => TaskOutcome::Failed,
        };
        self.inner.metrics.tasks.of(outcome).inc();
        Ok(())
    }

    /// Tells every client of the user name of `client` that `task` completed, as system M's `notifyCompletions`: whether the
    /// task was submitted or not, and as often as it is called.
    ///
    /// # Errors
    ///
    /// [`HubError`]: a name cannot be one, or the hub is closed.
    pub async fn notify_completions(&self, client: impl Into<ClientRef>, task: &str) -> Result<(), HubError> {
        self.end_task(&client.into(), task, &TaskEnd::Completed(None), true).await
    }

    /// What `client` waits for, and what it may not have received yet.
    ///
    /// # Errors
    ///
    /// [`HubError::UnknownClient`] when it is not registered.
    pub async fn tasks(&self, client: impl Into<ClientRef>) -> Result<Vec<TaskStatus>, HubError> {
        let client = client.into();
        let home = client.clone();
        let list = move |shard: &mut Shard| {
            let key = find(shard, &client).ok_or(HubError::UnknownClient)?;
            let tasks = shard.engine.tasks(key).map(|task| TaskStatus {
                name: task.name.to_owned(),
                state: task.state,
                detail: task.detail.map(str::to_owned),
            });
            Ok(tasks.collect())
        };
        self.call_home(&home, list).await?
    }

    /// The owner's shard first: it knows whether the task can end. Then, under a number of its own, the others, where clients of
    /// the same user name may be. All of them are told, even if the caller does not wait for it.
    async fn end_task(&self, client: &ClientRef, task: &str, end: &TaskEnd, anyway: bool) -> Result<(), HubError> {
        let limits = &self.inner.config.engine.limits;
        error::name("id", &client.id, limits.name_bytes)?;
        error::name("task", task, limits.name_bytes)?;
        let home = self.shard_of(&client.group, &client.id);
        let (client, task, end): (_, Arc<str>, _) = (client.clone(), task.into(), Arc::new(end.clone()));
        let operation = move |shard: &mut Shard, sequence: u64, at_home: bool| {
            let owner = find(shard, &client).filter(|_| at_home);
            if at_home && owner.is_none() && !anyway {
                return Err(HubError::UnknownClient);
            }
            let owner = owner.filter(|&key| !anyway || !has_ended(shard, key, &task));
            let name = ClientId::new(&client.id).map_err(|error| HubError::Name { what: "id", error })?.user_name();
            let now = shard.now();
            let ended = shard.engine.complete_at(now, sequence, owner, &client.group, name, &task, end.as_outcome());
            ended.map_err(|error| self::task_error(error, shard))
        };
        let hub = self.clone();
        to_its_end(async move {
            let first = operation.clone();
            let (_, results) = hub.sequenced(single(home), 1, move |shard, sequence| first(shard, sequence, true)).await?;
            results.into_iter().collect::<Result<(), _>>()?;
            for others in [0..home, home + 1..hub.inner.shards.len()] {
                if others.is_empty() {
                    continue;
                }
                let next = operation.clone();
                let (_, results) = hub.sequenced(others, 1, move |shard, sequence| next(shard, sequence, false)).await?;
                results.into_iter().collect::<Result<(), _>>()?;
            }
            Ok(())
        })
        .await
    }
}

fn find(shard: &Shard, client: &ClientRef) -> Option<ClientKey> {
    shard.engine.find(&client.group, &client.id)
}

fn has_ended(shard: &Shard, client: ClientKey, task: &str) -> bool {
    shard.engine.tasks(client).any(|known| known.name == task && known.state.has_ended())
}

fn task_error(error: TaskError, shard: &Shard) -> HubError {
    match error {
        TaskError::TooLarge => HubError::TooLarge { limit: shard.engine.config().limits.frame_bytes as usize },
        other => other.into(),
    }
}
