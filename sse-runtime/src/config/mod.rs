//! The server's configuration: every bound in one place, each default with its reason.
//!
//! [`ServerConfig`] is plain data. [`load`] fills it from the flags, the environment and a file, in that order of strength;
//! [`ServerConfig::from_toml`] reads a file's text alone. What is not a bound of the server (routes, payload formats) is not
//! here.
//!
//! In the file the keys are those of the fields, in the sections `[http]`, `[shutdown]`, `[limits]`, `[timers]`, `[policy]`
//! and any number of `[[tasks]]`. A key `limits.clients` is the environment variable `SSE_HUB_LIMITS_CLIENTS` and the flag
//! `--set limits.clients=N`.

mod hub;
mod load;
mod prefix;
mod task;
#[cfg(test)]
mod tests;
mod text;
mod validate;

use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::load::{Command, Loaded, load};
pub use self::prefix::Prefix;
pub use self::task::{TaskConfig, UpstreamUrl};
use crate::auth::{HostName, Origins, Token};
use crate::telemetry::{LogFilter, LogFormat};

/// Everything that can be set about a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where to listen. Port 0 picks a free one.
    ///
    /// Default 127.0.0.1:8080: nothing is open to the network until a person says so.
    #[serde(with = "text::as_address")]
    pub listen: SocketAddr,
    /// The path that every route of the hub begins with. Default `/sse/`, as in the original system.
    pub prefix: Prefix,
    /// The secret of privileged requests. It is never printed, and no flag sets it, since others can read a process's flags.
    ///
    /// Default none, which only a loopback listener accepts.
    #[serde(skip_serializing)]
    pub token: Option<Token>,
    /// A file that holds the token, and nothing else but white space around it. Relative to the working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The origins whose pages may use the hub. `*` opens the streams alone; a listed origin may use every route.
    ///
    /// Default `["*"]`: any page may listen, as in the original system; no foreign page may change anything.
    pub cors_origins: Origins,
    /// The `Host` names, besides those of loopback, that requests may ask for.
    ///
    /// Default none: on loopback any other name is DNS rebinding. Name the public host here when a reverse proxy on this
    /// machine passes it on. Beyond loopback every `Host` is accepted until one is named.
    pub allowed_hosts: Vec<HostName>,
    /// How many shards drive the connections, each a thread with a log of its own.
    ///
    /// Default: as many as the machine can run at once, which is where more would only take turns.
    #[serde(with = "text::as_count")]
    pub shards: usize,
    /// What is logged. Default `info`: starts, stops and what an operator should act on.
    pub log: LogFilter,
    /// How log lines are written. Default `text`.
    #[serde(deserialize_with = "text::as_word")]
    pub log_format: LogFormat,
    /// How HTTP is spoken.
    pub http: HttpConfig,
    /// How the server ends.
    pub shutdown: ShutdownConfig,
    /// How much of everything there may be.
    pub limits: LimitsConfig,
    /// How long everything may take.
    pub timers: TimersConfig,
    /// What to do where systems differ.
    pub policy: PolicyConfig,
    /// The tasks that clients may submit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskConfig>,
}

impl ServerConfig {
    /// Reads and validates the text of a configuration file.
    ///
    /// A `token_file` is not opened: only [`load`] reads files.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the key and the line to blame.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config = load::parse_file(text, "the file")?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as a file's text, without the token. Reading it back gives the same configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a path in it is not UTF-8, so that no TOML can hold it.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::new("token_file", error.to_string()))
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            prefix: Prefix::default(),
            token: None,
            token_file: None,
            cors_origins: Origins::any(),
            allowed_hosts: Vec::new(),
            shards: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            log: LogFilter::default(),
            log_format: LogFormat::default(),
            http: HttpConfig::default(),
            shutdown: ShutdownConfig::default(),
            limits: LimitsConfig::default(),
            timers: TimersConfig::default(),
            policy: PolicyConfig::default(),
            tasks: Vec::new(),
        }
    }
}

/// How HTTP is spoken: the section `[http]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The most sockets open at once; more wait in the listener's queue.
    ///
    /// Default 110,000: every stream of `limits.connections`, and a tenth more for commands, health checks and the page.
    #[serde(with = "text::as_count")]
    pub max_connections: usize,
    /// The largest request body.
    ///
    /// Default 1 MiB: a dozen of the largest frames in one publish request, though their JSON is longer than they are.
    #[serde(with = "text::as_size")]
    pub max_body: usize,
    /// How long a socket may take over sending a request's head.
    ///
    /// Default 10 s: many round trips of a bad mobile network, while a peer that trickles bytes holds nothing for long.
    #[serde(with = "text::as_duration")]
    pub header_timeout: Duration,
    /// How long a command may take from its head to its answer. Streams are not bound by it.
    ///
    /// Default 30 s: under the 60 s after which common proxies give up, so that the client sees our error and not theirs.
    #[serde(with = "text::as_duration")]
    pub request_timeout: Duration,
    /// Whether several streams are written in one system call, by io_uring. Needs Linux 6.1 or newer; where it is missing or forbidden, as
    /// in most containers, streams are written one by one, and the server says so when it starts.
    ///
    /// Default true: it takes a few percent off what a delivery costs.
    pub io_uring: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_connections: 110_000,
            max_body: 1 << 20,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            io_uring: true,
        }
    }
}

/// How the server ends: the section `[shutdown]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long streams may take to receive what is being written, after a signal. Zero ends them at once.
    ///
    /// Default 8 s: container runtimes kill 10 s after they asked.
    #[serde(with = "text::as_duration")]
    pub grace: Duration,
    /// The shortest `retry:` that streams are told on shutdown. Default 1 s: about what a restart takes.
    #[serde(with = "text::as_duration")]
    pub retry: Duration,
    /// How much more than `retry`, at most, a stream is told, spread evenly over the streams.
    ///
    /// Default 9 s: 100,000 streams come back at 11,000 a second, and nobody waits longer than 10 s.
    #[serde(with = "text::as_duration")]
    pub retry_spread: Duration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { grace: Duration::from_secs(8), retry: Duration::from_secs(1), retry_spread: Duration::from_secs(9) }
    }
}

/// How much of everything there may be: the section `[limits]`. Each is at least one.
///
/// `connections` holds for the whole hub; everything else for one shard, which has the tables and the log of its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Streams open at once.
    ///
    /// Default 100,000: beyond what one process is usually allowed to open, so the operating system's limit comes first.
    #[serde(with = "text::as_count")]
    pub connections: usize,
    /// Clients registered at once, those without a stream included.
    ///
    /// Default 200,000: as many again as can be connected, for those who left within `timers.dormant_after`.
    #[serde(with = "text::as_count")]
    pub clients: usize,
    /// Ids given out and not registered yet.
    ///
    /// Default 100,000: every connection may be about to register. Anyone can ask for ids, so they must be bounded; each
    /// is forgotten after `timers.issued_id_ttl`.
    #[serde(with = "text::as_count")]
    pub issued_ids: usize,
    /// Streams of one client.
    ///
    /// Default 8: a browser opens no more than six to one host over HTTP/1.1, and a dead one may linger beside its successor.
    #[serde(with = "text::as_count")]
    pub connections_per_client: usize,
    /// Topics that somebody listens to.
    ///
    /// Default 100,000: one for each connection, for applications that name a topic after a user or document.
    #[serde(with = "text::as_count")]
    pub topics: usize,
    /// Topics that one client listens to. Default 128: more than a page shows at once; a broader interest is a broader topic.
    #[serde(with = "text::as_count")]
    pub topics_per_client: usize,
    /// Topics that all clients together listen to, each counted for itself.
    ///
    /// Default 1,000,000: ten for each stream.
    #[serde(with = "text::as_count")]
    pub subscriptions: usize,
    /// Groups that have a client. Default 1,000: a group is a tenant or an application, not a user.
    #[serde(with = "text::as_count")]
    pub groups: usize,
    /// Tasks of one client that are running or whose end was not delivered. Default 64: what one person can have started.
    #[serde(with = "text::as_count")]
    pub tasks_per_client: usize,
    /// Tasks of all clients together.
    ///
    /// Default 100,000: one for each stream.
    #[serde(with = "text::as_count")]
    pub tasks: usize,
    /// Bytes of progress, results and reasons that a shard keeps with tasks until their clients have them.
    ///
    /// Default 64 MiB: 1,000 of the largest results, or 670 bytes for each task.
    #[serde(with = "text::as_size")]
    pub detail_bytes: usize,
    /// Bytes of a user name. Default 128: e-mail addresses and UUIDs fit.
    #[serde(with = "text::as_count")]
    pub name_len: usize,
    /// Bytes of a topic, a task's name or a group's. Default 256: a path of a few segments fits.
    #[serde(with = "text::as_count")]
    pub key_len: usize,
    /// Bytes of one encoded event.
    ///
    /// Default 64 KiB: events tell what changed; what is larger is better fetched by those who want it.
    #[serde(with = "text::as_size")]
    pub frame_bytes: usize,
    /// Bytes of encoded events that a shard keeps, for slow readers and for those who come back.
    ///
    /// Default 16 MiB: at 1,000 events of 250 bytes a second, a minute of history. It is `shards` times this in all.
    #[serde(with = "text::as_size")]
    pub log_bytes: usize,
    /// Events that a shard keeps. Default 65,536: `log_bytes` of events of 256 bytes.
    #[serde(with = "text::as_count")]
    pub log_entries: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 100_000,
            clients: 200_000,
            issued_ids: 100_000,
            connections_per_client: 8,
            topics: 100_000,
            topics_per_client: 128,
            subscriptions: 1_000_000,
            groups: 1_000,
            tasks_per_client: 64,
            tasks: 100_000,
            detail_bytes: 64 << 20,
            name_len: 128,
            key_len: 256,
            frame_bytes: 64 << 10,
            log_bytes: 16 << 20,
            log_entries: 65_536,
        }
    }
}

/// How long everything may take: the section `[timers]`. Whole milliseconds, at least one, at most a year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimersConfig {
    /// How long a stream may be idle before it gets a comment. `off`, zero or a negative number: never.
    ///
    /// Default 15 s, which the HTML standard recommends: proxies close connections that are idle for 30 s or more.
    #[serde(with = "text::as_duration_or_off")]
    pub heartbeat: Option<Duration>,
    /// How long a stream may take nothing while something waits for it. For a peer that vanished Linux counts from when it sends
    /// again for the first time, 0.2 s or two round trips after it wrote; it counts in steps of 0.5 s when our own link is down.
    ///
    /// Default 30 s: two heartbeats; a phone that changes networks is back by then, or has opened another connection.
    #[serde(with = "text::as_duration")]
    pub write_stall: Duration,
    /// How long a client is kept after it was last active (see `policy.age`). Default 1 h, as in the original system.
    #[serde(with = "text::as_duration")]
    pub dormant_after: Duration,
    /// How often dormant clients are looked for. Default 4 min, as in the original system.
    #[serde(with = "text::as_duration")]
    pub sweep_every: Duration,
    /// How long an id that was given out waits for its registration.
    ///
    /// Default 5 min: clients register at once; a person who is asked something in between is still in time.
    #[serde(with = "text::as_duration")]
    pub issued_id_ttl: Duration,
}

impl Default for TimersConfig {
    fn default() -> Self {
        Self {
            heartbeat: Some(Duration::from_secs(15)),
            write_stall: Duration::from_secs(30),
            dormant_after: Duration::from_secs(3_600),
            sweep_every: Duration::from_secs(240),
            issued_id_ttl: Duration::from_secs(300),
        }
    }
}

/// What to do where systems differ: the section `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// What becomes of a reader that the log has overtaken.
    #[serde(deserialize_with = "text::as_word")]
    pub overrun: Overrun,
    /// What a client's age is counted from.
    #[serde(deserialize_with = "text::as_word")]
    pub age: Age,
    /// What new ids look like.
    #[serde(deserialize_with = "text::as_word")]
    pub id_form: IdForm,
    /// What the payloads of the original system look like.
    #[serde(deserialize_with = "text::as_word")]
    pub payloads: Payloads,
    /// The topic that is notified when clients come or go. Default `listeners-changed`, as in the original system.
    pub listeners_changed_key: String,
    /// Whether `disconnect-registrant` also ends the client's streams.
    ///
    /// Default false: the original browser client never closes its `EventSource`, so an ended stream comes back as a ghost.
    pub end_on_disconnect: bool,
    /// Whether the tasks `sleep` and `progress-demo` can be submitted. Default true: the page shows them.
    pub demo_tasks: bool,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            overrun: Overrun::default(),
            age: Age::default(),
            id_form: IdForm::default(),
            payloads: Payloads::default(),
            listeners_changed_key: "listeners-changed".to_owned(),
            end_on_disconnect: false,
            demo_tasks: true,
        }
    }
}

/// What becomes of a reader that the log has overtaken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overrun {
    /// Its stream ends; the client comes back, resumes, and is told of the gap.
    ///
    /// The default: a reader this slow is better off with a new connection.
    #[default]
    Close,
    /// It is told of the gap in the stream, and goes on with the oldest event there is.
    Skip,
}

/// What a client's age is counted from, when dormant clients are swept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Age {
    /// From when it was last active; an open stream is active.
    ///
    /// The default: the original's rule turns healthy streams into zombies.
    #[default]
    Activity,
    /// From its registration, as in the original system.
    Registration,
}

/// What new ids look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdForm {
    /// At least 128 random bits. The default: an id is a capability.
    #[default]
    Secure,
    /// Short, as in the original system. It can be guessed.
    Compatible,
}

/// What the payloads of the original system look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payloads {
    /// `notify^listeners-changed` and `completed^{…}`. The default: the original's own client reads them.
    #[default]
    Current,
    /// The bare forms `listeners-changed` and `ad-hoc` of the original's first version.
    Legacy,
}

/// Why a configuration cannot be used. One line that names the key, where it was set, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    keys: Vec<String>,
    source: Option<String>,
    problem: String,
}

impl ConfigError {
    fn new(key: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { keys: vec![key.into()], source: None, problem: problem.to_string() }
    }

    /// Blames another key too: the contradiction is between the two.
    fn and(mut self, key: &str) -> Self {
        self.keys.push(key.to_owned());
        self
    }

    fn set_by(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The key to blame, such as `limits.clients` or `tasks[0].url`.
    pub fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.problem.trim().replace(['\n', '\r'], " ");
        match (self.key(), &self.source) {
            ("", None) => write!(f, "{problem}"),
            ("", Some(source)) => write!(f, "{source}: {problem}"),
            (key, None) => write!(f, "{key}: {problem}"),
            (key, Some(source)) if key == source => write!(f, "{key}: {problem}"),
            (key, Some(source)) => write!(f, "{key} (set by {source}): {problem}"),
        }
    }
}

impl Error for ConfigError {}
