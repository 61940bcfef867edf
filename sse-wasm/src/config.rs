//! Options by name.

use alloc::format;
use core::time::Duration;

use sse_proto::{Age, Config, EventIds, IdForm, Overrun};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::Failure;

/// The options of a hub, set one after the other.
#[wasm_bindgen]
#[derive(Default)]
pub struct Options {
    pub(crate) config: Config,
}

#[wasm_bindgen]
impl Options {
    /// The defaults.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a number: a limit, or a time in milliseconds, of which a negative one means never.
    ///
    /// # Errors
    ///
    /// `invalid-option`: there is no such option, or the number cannot be one.
    #[wasm_bindgen(js_name = setNumber)]
    pub fn set_number(&mut self, name: &str, value: f64) -> Result<(), JsValue> {
        let config = &mut self.config;
        let limits = &mut config.limits;
        let limit = match name {
            "connections" => &mut limits.connections,
            "clients" => &mut limits.clients,
            "issuedIds" => &mut limits.issued_ids,
            "connectionsPerClient" => &mut limits.connections_per_client,
            "groups" => &mut limits.groups,
            "topics" => &mut limits.topics,
            "topicsPerClient" => &mut limits.topics_per_client,
            "subscriptions" => &mut limits.subscriptions,
            "tasksPerClient" => &mut limits.tasks_per_client,
            "tasks" => &mut limits.tasks,
            "nameBytes" => &mut limits.name_bytes,
            "topicBytes" => &mut limits.topic_bytes,
            "frameBytes" => &mut limits.frame_bytes,
            "logBytes" => &mut limits.log_bytes,
            "logEntries" => &mut limits.log_entries,
            _ => return self.set_time(name, value),
        };
        if !(0.0..=f64::from(u32::MAX)).contains(&value) || value % 1.0 != 0.0 {
            return Err(invalid(name, "a whole number, at most 4,294,967,295"));
        }
        *limit = value as u32;
        Ok(())
    }

    /// Sets a choice.
    ///
    /// # Errors
    ///
    /// `invalid-option`: there is no such option, or no such choice.
    #[wasm_bindgen(js_name = setChoice)]
    pub fn set_choice(&mut self, name: &str, value: &str) -> Result<(), JsValue> {
        let config = &mut self.config;
        match (name, value) {
            ("age", "activity") => config.age = Age::SinceLeft,
            ("age", "registration") => config.age = Age::SinceRegistered,
            ("overrun", "close") => config.overrun = Overrun::Close,
            ("overrun", "skip") => config.overrun = Overrun::Skip,
            ("idForm", "secure") => config.id_form = IdForm::Secure,
            ("idForm", "compatible") => config.id_form = IdForm::Short,
            ("heartbeatComment", "heartbeat") => config.heartbeat_comment = "heartbeat",
            ("heartbeatComment", "keep-alive") => config.heartbeat_comment = "keep-alive",
            ("eventIds", "numbered") => config.event_ids = EventIds::Numbered,
            ("eventIds", "given") => config.event_ids = EventIds::Given,
            ("age", _) => return Err(invalid(name, "activity or registration")),
            ("overrun", _) => return Err(invalid(name, "close or skip")),
            ("idForm", _) => return Err(invalid(name, "secure or compatible")),
            ("eventIds", _) => return Err(invalid(name, "numbered or given")),
            ("heartbeatComment", _) => return Err(invalid(name, "heartbeat or keep-alive")),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

impl Options {
    fn set_time(&mut self, name: &str, value: f64) -> Result<(), JsValue> {
        if !value.is_finite() {
            return Err(invalid(name, "a number of milliseconds; a negative one means never"));
        }
        let config = &mut self.config;
        let some = (value >= 0.0).then(|| Duration::from_millis(value as u64));
        match (name, some) {
            ("heartbeat", some) => config.heartbeat = some,
            ("writeStall", some) => config.write_stall = some,
            ("retry", some) => config.retry = some.map(|retry| u32::try_from(retry.as_millis()).unwrap_or(u32::MAX)),
            ("dormantAfter", Some(time)) => config.dormant_after = time,
            ("sweepEvery", Some(time)) => config.sweep_every = time,
            ("issuedIdTtl", Some(time)) => config.issued_id_ttl = time,
            ("dormantAfter" | "sweepEvery" | "issuedIdTtl", None) => return Err(invalid(name, "at least 0 ms")),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

fn invalid(name: &str, must_be: &str) -> JsValue {
    Failure::new("invalid-option", name, format!("the option {name} must be {must_be}")).into()
}

fn unknown(name: &str) -> JsValue {
    Failure::new("invalid-option", name, format!("there is no option {name}; see HubOptions")).into()
}
