//! Every bound and every choice of the engine, in one place.

use core::fmt;
use core::time::Duration;

use crate::id::IdForm;
use crate::storage::Storage;

/// How an engine behaves. Nothing in it changes after [`Engine::new`](crate::Engine::new).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How much of everything.
    pub limits: Limits,
    /// After how long without a frame a connection gets a comment; `None` never. Default 15 s: proxies drop a silent stream after
    /// 30 to 60 s.
    pub heartbeat: Option<Duration>,
    /// The comment a heartbeat consists of. Default `heartbeat`.
    pub heartbeat_comment: &'static str,
    /// After how long without a byte taken a connection that has bytes waiting is closed; `None` never. Default 30 s.
    pub write_stall: Option<Duration>,
    /// The age after which a sweep drops a client; exactly this age stays. Default one hour, as system M.
    pub dormant_after: Duration,
    /// The time between two sweeps, counted from the first registration; zero sweeps at the first possible moment. Default 240 s, as
    /// system M.
    pub sweep_every: Duration,
    /// How long an id that was allocated but not registered stays reserved. Default 10 minutes: a page registers within seconds.
    pub issued_id_ttl: Duration,
    /// What [`dormant_after`](Self::dormant_after) is the age of. Default [`Age::SinceLeft`].
    pub age: Age,
    /// What happens to a connection whose next frame has left the log. Default [`Overrun::Close`].
    pub overrun: Overrun,
    /// The shape of allocated ids. Default [`IdForm::Secure`].
    pub id_form: IdForm,
    /// Reconnection time told with each greeting, in milliseconds; `None` leaves the client's own. Default 1,000.
    pub retry: Option<u32>,
    /// Which ids stand in frames. Default [`EventIds::Numbered`].
    pub event_ids: EventIds,
}

impl Config {
    /// The default, for constants.
    pub const DEFAULT: Self = Self {
        limits: Limits::DEFAULT,
        heartbeat: Some(Duration::from_secs(15)),
        heartbeat_comment: "heartbeat",
        write_stall: Some(Duration::from_secs(30)),
        dormant_after: Duration::from_secs(3600),
        sweep_every: Duration::from_secs(240),
        issued_id_ttl: Duration::from_secs(600),
        age: Age::SinceLeft,
        overrun: Overrun::Close,
        id_form: IdForm::Secure,
        retry: Some(1000),
        event_ids: EventIds::Numbered,
    };

    /// What an engine has that has not begun.
    pub(crate) const NOTHING: Self = Self {
        limits: Limits::NOTHING,
        heartbeat: None,
        heartbeat_comment: "",
        write_stall: None,
        dormant_after: Duration::ZERO,
        sweep_every: Duration::ZERO,
        issued_id_ttl: Duration::ZERO,
        age: Age::SinceLeft,
        overrun: Overrun::Close,
        id_form: IdForm::Secure,
        retry: None,
        event_ids: EventIds::Numbered,
    };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How much of everything an engine may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. Default 100,000.
    pub connections: u32,
    /// Clients, with a connection or without. Default 200,000: each connection's, and as many that are away.
    pub clients: u32,
    /// Ids that are allocated and not registered, never more than `clients`, which they are counted among; the oldest gives way to a new
    /// one. Default 10,000.
    pub issued_ids: u32,
    /// Open connections of one client. Default 16.
    pub connections_per_client: u32,
    /// Groups. Default 10,000.
    pub groups: u32,
    /// Topics that someone listens to or that the log has frames for. Default 200,000.
    pub topics: u32,
    /// Topics of one client. Default 64: each is looked at when one of its connections passes a topic's frame.
    pub topics_per_client: u32,
    /// Topics of all clients together. Default 400,000.
    pub subscriptions: u32,
    /// Tasks of one client, those kept for a client that is away included. Default 64.
    pub tasks_per_client: u32,
    /// Tasks of all clients together. Default 100,000.
    pub tasks: u32,
    /// Bytes of progress, results and reasons that are kept with tasks, all together. Default 64 MiB.
    pub detail_bytes: u32,
    /// Bytes of a user name, a client id, a group or a task's name. Default 128.
    pub name_bytes: u32,
    /// Bytes of a topic. Default 256.
    pub topic_bytes: u32,
    /// Bytes of one frame, its id included. Default 256 KiB.
    pub frame_bytes: u32,
    /// Bytes of the log: how much history there is. Default 16 MiB.
    pub log_bytes: u32,
    /// Frames in the log. Default 65,536.
    pub log_entries: u32,
}

impl Limits {
    /// The most that [`name_bytes`](Self::name_bytes) may be.
    pub const MAX_NAME_BYTES: usize = 1024;

    pub(crate) const NOTHING: Self = Self {
        connections: 0,
        clients: 0,
        issued_ids: 0,
        connections_per_client: 0,
        groups: 0,
        topics: 0,
        topics_per_client: 0,
        subscriptions: 0,
        tasks_per_client: 0,
        tasks: 0,
        detail_bytes: 0,
        name_bytes: 0,
        topic_bytes: 0,
        frame_bytes: 0,
        log_bytes: 0,
        log_entries: 0,
    };

    /// The default, for constants.
    pub const DEFAULT: Self = Self {
        connections: 100_000,
        clients: 200_000,
        issued_ids: 10_000,
        connections_per_client: 16,
        groups: 10_000,
        topics: 200_000,
        topics_per_client: 64,
        subscriptions: 400_000,
        tasks_per_client: 64,
        tasks: 100_000,
        detail_bytes: 64 * 1024 * 1024,
        name_bytes: 128,
        topic_bytes: 256,
        frame_bytes: 256 * 1024,
        log_bytes: 16 * 1024 * 1024,
        log_entries: 65_536,
    };

    /// The name of a limit that is above the one in `most`.
    const fn first_above(&self, most: &Self) -> Option<&'static str> {
        macro_rules! each {
            ($($limit:ident)+) => {
                $(if self.$limit > most.$limit {
                    return Some(stringify!($limit));
                })+
            };
        }
        each!(connections clients issued_ids connections_per_client groups topics topics_per_client subscriptions);
        each!(tasks_per_client tasks detail_bytes name_bytes topic_bytes frame_bytes log_bytes log_entries);
        None
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a client's age is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Age {
    /// From when its last connection left: a client with an open stream is not swept.
    #[default]
    SinceLeft,
    /// From its last registration, as system M: an open stream does not keep a client.
    SinceRegistered,
}

/// What happens to a connection whose next frame has left the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overrun {
    /// It is closed. It reconnects, resumes, and is told of the gap then.
    #[default]
    Close,
    /// It is told of the gap and goes on with the oldest frame there is. In mid-frame it is closed all the same.
    Skip,
}

/// Which ids stand in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventIds {
    /// The application's; an event without one carries its number, and notices carry positions: who was cut off can resume.
    #[default]
    Numbered,
    /// The application's alone, as systems M, S and G: only after an event that had one can a client resume.
    Given,
}

/// Bytes of a frame that tells of a task, at most, but for two names and what is told.
pub(crate) const AROUND_NAMES: u32 = 160;

impl Config {
    /// Checks that the limits fit each other.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the limit and what it must be.
    pub const fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        macro_rules! each_has_some {
            ($($limit:ident)+) => {
                $(if limits.$limit == 0 {
                    return Err(ConfigError { limit: stringify!($limit), must_be: "at least 1" });
                })+
            };
        }
        each_has_some!(connections clients issued_ids connections_per_client groups topics subscriptions name_bytes topic_bytes);
        each_has_some!(log_entries);
        let times = [("heartbeat", self.heartbeat), ("write_stall", self.write_stall)];
        let mut at = 0;
        while at < times.len() {
            if let Some(time) = times[at].1
                && time.as_millis() == 0
            {
                return Err(ConfigError { limit: times[at].0, must_be: "at least 1 ms, or none" });
            }
            at += 1;
        }
        let comment = self.heartbeat_comment.as_bytes();
        let mut at = 0;
        while at < comment.len() {
            if comment[at] == b'\r' || comment[at] == b'\n' {
                return Err(ConfigError { limit: "heartbeat_comment", must_be: "one line" });
            }
            at += 1;
        }
        if limits.name_bytes as usize > Limits::MAX_NAME_BYTES {
            return Err(ConfigError { limit: "name_bytes", must_be: "at most 1,024" });
        }
        if limits.frame_bytes < 256 || limits.frame_bytes < 2 * limits.name_bytes + AROUND_NAMES {
            return Err(ConfigError { limit: "frame_bytes", must_be: "at least 256, and 2 * name_bytes + 160" });
        }
        if limits.frame_bytes > limits.log_bytes / 2 {
            return Err(ConfigError { limit: "frame_bytes", must_be: "at most log_bytes / 2" });
        }
        if comment.len() + ":\n\n".len() > limits.frame_bytes as usize {
            return Err(ConfigError { limit: "heartbeat_comment", must_be: "shorter than frame_bytes" });
        }
        Ok(())
    }

    /// Checks that the limits fit each other, as [`check`](Self::check), and the storage `S`. They are refused rather than lowered: an
    /// engine holds what its configuration says, or none is made.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the limit and what it must be.
    pub const fn check_for<S: Storage>(&self) -> Result<(), ConfigError> {
        if let Some(limit) = self.limits.first_above(&S::CAPACITY) {
            return Err(ConfigError { limit, must_be: "within the capacity of the storage" });
        }
        self.check()
    }
}

/// A limit that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Which limit.
    pub limit: &'static str,
    /// What it must be.
    pub must_be: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit {} must be {}", self.limit, self.must_be)
    }
}

impl core::error::Error for ConfigError {}
