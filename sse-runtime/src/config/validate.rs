//! What must hold between values, or of a value that was set in code.

use super::{ConfigError, ServerConfig, TaskConfig};
use crate::auth;

impl ServerConfig {
    /// Checks every bound, and the bounds against each other.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the first key to blame.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_counts()?;
        self.check_durations()?;
        self.check_between()?;
        self.check_tasks()?;
        auth::check_exposure(self.listen, self.token.as_ref()).map_err(|problem| ConfigError::new("listen", problem))
    }

    fn check_counts(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let counts = [
            ("shards", self.shards),
            ("http.max_connections", self.http.max_connections),
            ("http.max_body", self.http.max_body),
            ("limits.connections", limits.connections),
            ("limits.clients", limits.clients),
            ("limits.issued_ids", limits.issued_ids),
            ("limits.connections_per_client", limits.connections_per_client),
            ("limits.topics", limits.topics),
            ("limits.topics_per_client", limits.topics_per_client),
            ("limits.subscriptions", limits.subscriptions),
            ("limits.groups", limits.groups),
            ("limits.tasks_per_client", limits.tasks_per_client),
            ("limits.tasks", limits.tasks),
            ("limits.detail_bytes", limits.detail_bytes),
            ("limits.name_len", limits.name_len),
            ("limits.key_len", limits.key_len),
            ("limits.frame_bytes", limits.frame_bytes),
            ("limits.log_bytes", limits.log_bytes),
            ("limits.log_entries", limits.log_entries),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((key, _)) => Err(ConfigError::new(key, "zero would let nothing through; write at least 1")),
            None if self.shards > MAX_SHARDS => Err(ConfigError::new(
                "shards",
                format!("{} shards are more than any machine can use; write at most {MAX_SHARDS}", self.shards),
            )),
            None => Ok(()),
        }
    }

    fn check_durations(&self) -> Result<(), ConfigError> {
        let timers = &self.timers;
        let durations = [
            ("http.header_timeout", self.http.header_timeout),
            ("http.request_timeout", self.http.request_timeout),
            ("timers.heartbeat", timers.heartbeat.unwrap_or(timers.write_stall)),
            ("timers.write_stall", timers.write_stall),
            ("timers.dormant_after", timers.dormant_after),
            ("timers.sweep_every", timers.sweep_every),
            ("timers.issued_id_ttl", timers.issued_id_ttl),
        ];
        match durations.into_iter().find(|(_, duration)| duration.as_millis() == 0) {
            Some((key, _)) => Err(ConfigError::new(key, "no time at all would end everything at once; write at least 1ms")),
            None => Ok(()),
        }
    }

    fn check_between(&self) -> Result<(), ConfigError> {
        let (http, limits) = (&self.http, &self.limits);
        if limits.frame_bytes > limits.log_bytes / FRAMES_IN_LOG {
            let problem = format!(
                "a log must hold at least {FRAMES_IN_LOG} of the largest frames; make limits.log_bytes at least {}",
                super::text::print_size(limits.frame_bytes.saturating_mul(FRAMES_IN_LOG))
            );
            return Err(ConfigError::new("limits.frame_bytes", problem).and("limits.log_bytes"));
        }
        let smallest = limits.name_len.saturating_add(limits.key_len).saturating_add(FRAME_OVERHEAD);
        if limits.frame_bytes < smallest {
            let problem = format!(
                "a frame must hold the longest name and key and {FRAME_OVERHEAD} bytes around them; make it at least {smallest}"
            );
            return Err(ConfigError::new("limits.frame_bytes", problem).and("limits.name_len").and("limits.key_len"));
        }
        if limits.detail_bytes < limits.frame_bytes {
            let problem = format!(
                "the largest result could not be kept; make it at least limits.frame_bytes, {}",
                super::text::print_size(limits.frame_bytes)
            );
            return Err(ConfigError::new("limits.detail_bytes", problem).and("limits.frame_bytes"));
        }
        if http.max_body < limits.frame_bytes {
            let problem = format!(
                "the largest frame could not be published; make it at least limits.frame_bytes, {}",
                super::text::print_size(limits.frame_bytes)
            );
            return Err(ConfigError::new("http.max_body", problem).and("limits.frame_bytes"));
        }
        if http.max_connections < limits.connections {
            let problem = format!("each stream is a socket; make it more than limits.connections, {}", limits.connections);
            return Err(ConfigError::new("http.max_connections", problem).and("limits.connections"));
        }
        let key = &self.policy.listeners_changed_key;
        check_name(key, limits.key_len).map_err(|problem| ConfigError::new("policy.listeners_changed_key", problem))
    }

    fn check_tasks(&self) -> Result<(), ConfigError> {
        for (at, task) in self.tasks.iter().enumerate() {
            let blame = |field: &str, problem: &str| Err(ConfigError::new(format!("tasks[{at}].{field}"), problem));
            if let Err(problem) = check_name(&task.name, self.limits.key_len) {
                return blame("name", &problem);
            }
            if self.tasks[..at].iter().any(|other| other.name == task.name) {
                return blame("name", &format!("there is another task {:?}; name each once", task.name));
            }
            if self.policy.demo_tasks && DEMO_TASKS.contains(&task.name.as_str()) {
                return blame(
                    "name",
                    &format!("{:?} is built in; name it otherwise, or set policy.demo_tasks = false", task.name),
                );
            }
            match task {
                TaskConfig { url: Some(_), worker: true, .. } => {
                    return blame("worker", "the task has a url too; leave out one of the two");
                }
                TaskConfig { url: None, worker: false, .. } => {
                    return blame("url", "nobody does this task; give it a url, or worker = true when a worker reports on it");
                }
                _ => {}
            }
            if task.timeout.is_zero() {
                return blame("timeout", "no time at all would fail every attempt; write at least 1ms");
            }
            if task.attempts == 0 || task.attempts > MAX_ATTEMPTS {
                return blame("attempts", &format!("write 1 to {MAX_ATTEMPTS}"));
            }
        }
        Ok(())
    }
}

/// A key travels in paths and in payloads that the original client takes apart at `^`, deleting every backslash.
fn check_name(name: &str, longest: usize) -> Result<(), String> {
    let forbidden = |c: &char| c.is_control() || c.is_whitespace() || r#"/?#%^"\"#.contains(*c);
    match name.chars().find(forbidden) {
        _ if name.is_empty() => Err("it is empty; give it a name".to_owned()),
        _ if name.len() > longest => Err(format!("it is longer than limits.key_len, {longest} bytes; shorten it")),
        Some(c) => Err(format!("{name:?} has the character {c:?}, which clients cannot send or read; leave it out")),
        None => Ok(()),
    }
}

/// The tasks that `policy.demo_tasks` provides.
const DEMO_TASKS: [&str; 2] = ["sleep", "progress-demo"];
/// A log that holds fewer frames than this would overrun readers that are only one event behind.
const FRAMES_IN_LOG: usize = 4;
/// What surrounds a name and a key in the longest payload of the hub's own: field names, an event id, a timestamp.
const FRAME_OVERHEAD: usize = 512;
const MAX_SHARDS: usize = 1024;
const MAX_ATTEMPTS: usize = 100;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::Token;

    fn check(change: impl FnOnce(&mut ServerConfig), key: &str, says: &str) {
        let mut config = ServerConfig::default();
        change(&mut config);
        let error = config.validate().unwrap_err();
        assert_eq!(error.key(), key, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(ServerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn nothing_is_zero() {
        check(|c| c.shards = 0, "shards", "at least 1");
        check(|c| c.shards = 5000, "shards", "at most 1024");
        check(|c| c.limits.groups = 0, "limits.groups", "at least 1");
        check(|c| c.limits.log_entries = 0, "limits.log_entries", "at least 1");
        check(|c| c.timers.write_stall = Duration::ZERO, "timers.write_stall", "at least 1ms");
        check(|c| c.timers.sweep_every = Duration::from_micros(5), "timers.sweep_every", "at least 1ms");
        check(|c| c.timers.heartbeat = Some(Duration::ZERO), "timers.heartbeat", "at least 1ms");
        check(|c| c.http.header_timeout = Duration::ZERO, "http.header_timeout", "at least 1ms");
    }

    #[test]
    fn bounds_fit_each_other() {
        check(|c| c.limits.frame_bytes = (4 << 20) + 1, "limits.frame_bytes", "at least 16777220B");
        check(|c| c.limits.frame_bytes = 895, "limits.frame_bytes", "at least 896");
        check(|c| c.limits.name_len = usize::MAX, "limits.frame_bytes", "longest name");
        check(|c| c.limits.detail_bytes = 65_535, "limits.detail_bytes", "64KiB");
        check(|c| c.http.max_body = 65_535, "http.max_body", "64KiB");
        check(|c| c.http.max_connections = 99_999, "http.max_connections", "100000");
        let mut edge = ServerConfig::default();
        edge.limits.log_bytes = 256 << 10;
        edge.limits.detail_bytes = 64 << 10;
        edge.http.max_body = 64 << 10;
        edge.http.max_connections = 100_000;
        assert_eq!(edge.validate(), Ok(()));
    }

    #[test]
    fn beyond_loopback_a_token_is_needed() {
        let open = |c: &mut ServerConfig| c.listen = "0.0.0.0:80".parse().unwrap();
        check(open, "listen", "SSE_HUB_TOKEN");
        let mut config = ServerConfig { token: Token::new("0123456789abcdef").ok(), ..ServerConfig::default() };
        open(&mut config);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn tasks_are_named_once_and_done_by_one() {
        let check = |tasks: &[TaskConfig], key: &str, says: &str| check(|c| c.tasks = tasks.to_vec(), key, says);
        let worker = |name: &str| TaskConfig::worker(name);
        let url = || "http://127.0.0.1:9000/".parse().ok();
        check(&[worker("")], "tasks[0].name", "empty");
        check(&[worker("a^b")], "tasks[0].name", "'^'");
        check(&[worker("a b")], "tasks[0].name", "' '");
        check(&[worker(&"x".repeat(257))], "tasks[0].name", "256");
        check(&[worker("a"), worker("b"), worker("a")], "tasks[2].name", "another task");
        check(&[worker("sleep")], "tasks[0].name", "built in");
        check(&[TaskConfig { url: url(), ..worker("a") }], "tasks[0].worker", "url too");
        check(&[TaskConfig { worker: false, ..worker("a") }], "tasks[0].url", "nobody does");
        check(&[TaskConfig { attempts: 0, ..worker("a") }], "tasks[0].attempts", "1 to 100");
        check(&[TaskConfig { timeout: Duration::ZERO, ..worker("a") }], "tasks[0].timeout", "1ms");
        let mut config = ServerConfig::default();
        config.policy.demo_tasks = false;
        config.tasks = vec![worker("sleep"), TaskConfig { worker: false, url: url(), ..worker("b") }];
        assert_eq!(config.validate(), Ok(()));
        config.policy.listeners_changed_key = String::new();
        assert_eq!(config.validate().unwrap_err().key(), "policy.listeners_changed_key");
    }
}
