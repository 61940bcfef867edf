//! Tasks: submitted, coming along, ended.

use sse_proto::{ClientId, Instant, Outcome};

use super::Hub;
use crate::error::{self, Failure};
use crate::hub::record::Writer;
use crate::record::Reader;

impl Hub {
    pub(super) fn check_task(&self, task: &str) -> Result<(), Failure> {
        error::name("task", task, self.engine.config().limits.name_bytes)
    }

    pub(super) fn submit(&mut self, now: Instant, record: &mut Reader<'_>) -> Result<(), Failure> {
        let limits = self.engine.config().limits;
        let key = self.client(record.text()?, record.text()?)?;
        self.touch(key);
        self.engine.submit(now, key, record.text()?).map_err(|error| error::task(error, limits.frame_bytes))
    }

    pub(super) fn progress(&mut self, now: Instant, record: &mut Reader<'_>) -> Result<(), Failure> {
        let key = self.client(record.text()?, record.text()?)?;
        self.touch(key);
        let (task, progress) = (record.text()?, record.text()?);
        let sequence = self.engine.last_event_id().sequence + 1;
        let told = self.engine.progress_at(now, sequence, key, task, progress);
        told.map_err(|error| error::task(error, self.engine.config().limits.frame_bytes))
    }

    /// `how` it ended: 0 well, with JSON or nothing; 1 badly, with a reason; 2 for every client of the user name, whether it was submitted
    /// or not. Group, id, task, and what comes with it.
    pub(super) fn complete(&mut self, now: Instant, how: f64, record: &mut Reader<'_>) -> Result<(), Failure> {
        let (group, id, task, detail) = (record.text()?, record.text()?, record.text()?, record.text_or_none()?);
        let outcome = if how == 1.0 { Outcome::Failed(detail.unwrap_or("")) } else { Outcome::Completed(detail) };
        let anyway = how == 2.0;
        let limits = self.engine.config().limits;
        error::name("id", id, limits.name_bytes)?;
        self.check_task(task)?;
        let name = ClientId::new(id).map_err(|error| error::name_error("id", error))?.user_name();
        let owner = self.engine.find(group, id);
        if owner.is_none() && !anyway {
            return Err(error::unknown_client());
        }
        let has_ended = |key| self.engine.tasks(key).any(|known| known.name == task && known.state.has_ended());
        let owner = owner.filter(|&key| !anyway || !has_ended(key));
        if let Some(owner) = owner {
            self.touch(owner);
        }
        let sequence = self.engine.last_event_id().sequence + 1;
        let ended = self.engine.complete_at(now, sequence, owner, group, name, task, outcome);
        ended.map_err(|error| error::task(error, limits.frame_bytes))
    }

    /// How many, and of each the name, status, and detail.
    pub(super) fn tasks_of(&self, record: &mut Reader<'_>, answer: &mut Writer) -> Result<f64, Failure> {
        let mut count = 0;
        for task in self.engine.tasks(self.client(record.text()?, record.text()?)?) {
            count += 1;
            for text in [task.name, task.state.name(), task.detail.unwrap_or("")] {
                answer.text(text);
            }
        }
        Ok(f64::from(count))
    }
}
