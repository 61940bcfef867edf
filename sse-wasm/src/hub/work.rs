//! Tasks: submitted, coming along, ended.

use alloc::string::String;
use alloc::vec::Vec;

use sse_proto::{ClientId, Outcome};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::{Hub, instant};
use crate::error;

#[wasm_bindgen]
impl Hub {
    /// Whether `task` can be the name of one.
    ///
    /// # Errors
    ///
    /// `invalid-name` or `too-long`.
    #[wasm_bindgen(js_name = checkTask)]
    pub fn check_task(&self, task: &str) -> Result<(), JsValue> {
        Ok(error::name("task", task, self.engine.config().limits.name_bytes)?)
    }

    /// A client waits for `task` from now on.
    ///
    /// # Errors
    ///
    /// `unknown-client`, `task-pending`, or a limit is reached.
    pub fn submit(&mut self, now: f64, group: &str, id: &str, task: &str) -> Result<(), JsValue> {
        let limits = self.engine.config().limits;
        let key = self.client(group, id)?;
        self.touch(key);
        let submitted = self.engine.submit(instant(now), key, task);
        Ok(submitted.map_err(|error| error::task(error, limits.frame_bytes))?)
    }

    /// A task came along; `progress` is JSON.
    ///
    /// # Errors
    ///
    /// `unknown-client`, `unknown-task`, `task-ended`, or the progress is too large.
    pub fn progress(&mut self, now: f64, group: &str, id: &str, task: &str, progress: &str) -> Result<(), JsValue> {
        let key = self.client(group, id)?;
        self.touch(key);
        let sequence = self.engine.last_event_id().sequence + 1;
        let told = self.engine.progress_at(instant(now), sequence, key, task, progress);
        Ok(told.map_err(|error| error::task(error, self.engine.config().limits.frame_bytes))?)
    }

    /// A task ended: well, with JSON as `detail` or nothing, or badly, with the reason.
    ///
    /// # Errors
    ///
    /// `unknown-client`, `task-ended`, or the result is too large.
    #[expect(clippy::needless_pass_by_value, reason = "what wasm-bindgen converts to")]
    pub fn complete(
        &mut self,
        now: f64,
        group: &str,
        id: &str,
        task: &str,
        failed: bool,
        detail: Option<String>,
    ) -> Result<(), JsValue> {
        let detail = detail.as_deref();
        let outcome = if failed { Outcome::Failed(detail.unwrap_or("")) } else { Outcome::Completed(detail) };
        self.end(now, group, id, task, outcome, false)
    }

    /// Tells every client of the user name of `id` that `task` completed, whether it was submitted or not.
    ///
    /// # Errors
    ///
    /// A name cannot be one.
    #[wasm_bindgen(js_name = notifyCompletions)]
    pub fn notify_completions(&mut self, now: f64, group: &str, id: &str, task: &str) -> Result<(), JsValue> {
        self.end(now, group, id, task, Outcome::Completed(None), true)
    }

    /// What a client waits for: name, status, and detail of each.
    ///
    /// # Errors
    ///
    /// `unknown-client`.
    #[wasm_bindgen(js_name = tasksOf)]
    pub fn tasks_of(&self, group: &str, id: &str) -> Result<Vec<String>, JsValue> {
        let tasks = self.engine.tasks(self.client(group, id)?);
        Ok(tasks.flat_map(|task| [task.name, task.state.name(), task.detail.unwrap_or("")].map(String::from)).collect())
    }
}

impl Hub {
    fn end(&mut self, now: f64, group: &str, id: &str, task: &str, outcome: Outcome<'_>, anyway: bool) -> Result<(), JsValue> {
        let limits = self.engine.config().limits;
        error::name("id", id, limits.name_bytes)?;
        error::name("task", task, limits.name_bytes)?;
        let name = ClientId::new(id).map_err(|error| error::name_error("id", error))?.user_name();
        let owner = self.engine.find(group, id);
        if owner.is_none() && !anyway {
            return Err(error::unknown_client().into());
        }
        let has_ended = |key| self.engine.tasks(key).any(|known| known.name == task && known.state.has_ended());
        let owner = owner.filter(|&key| !anyway || !has_ended(key));
        if let Some(owner) = owner {
            self.touch(owner);
        }
        let sequence = self.engine.last_event_id().sequence + 1;
        let ended = self.engine.complete_at(instant(now), sequence, owner, group, name, task, outcome);
        Ok(ended.map_err(|error| error::task(error, limits.frame_bytes))?)
    }
}
