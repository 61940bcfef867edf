//! Where values come from: flags, then the environment, then the file, then the defaults.
//!
//! One table, [`SETTINGS`], names every key once and says how its value is written; the environment variables and `--set`
//! follow from it. The file goes through serde, which uses the same readers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{ConfigError, ServerConfig, text};
use crate::auth::{Origins, Token};
use crate::error::BadValue;
use crate::telemetry::LogFilter;

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run with this configuration.
    Run(Box<Loaded>),
    /// Write this text to stdout and exit with code 0: the answer to `--help`, `--version` or `--print-config`.
    Say(String),
}

/// A valid configuration, and where its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: ServerConfig,
    sources: Sources,
}

impl Loaded {
    /// What set the key, such as `--listen`, `SSE_HUB_LISTEN` or a file's name; `None` for a default.
    pub fn source(&self, key: &str) -> Option<&str> {
        self.sources.of(key)
    }

    /// The configuration as a file's text: what [`ServerConfig::to_toml`] gives, with comments that say what set each value.
    ///
    /// # Errors
    ///
    /// As [`ServerConfig::to_toml`].
    pub fn print(&self) -> Result<String, ConfigError> {
        let mut out = String::from("# The configuration in force; --config FILE reads it back.\n");
        if self.config.token.is_some() && self.config.token_file.is_none() {
            let source = self.source("token").unwrap_or("the program");
            out.push_str(&format!("# token: set by {source}, not shown\n"));
        }
        let mut section = String::new();
        for line in self.config.to_toml()?.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = format!("{}.", name.trim_matches(['[', ']']));
            }
            out.push_str(line);
            let key = line.split(" = ").next().unwrap_or(line);
            if let Some(source) = self.source(&format!("{section}{key}")) {
                out.push_str(&format!(" # {source}"));
            }
            out.push('\n');
        }
        Ok(out)
    }
}

/// Fills a configuration from the command line `args` (the program's name first), the environment `env` and the file that
/// either names, and validates it.
///
/// # Errors
///
/// [`ConfigError`], whose text is one line for stderr. The exit code for it is 2.
pub fn load<A, E>(args: A, env: E) -> Result<Command, ConfigError>
where
    A: IntoIterator<Item = OsString>,
    E: IntoIterator<Item = (OsString, OsString)>,
{
    let flags = match Flags::try_parse_from(args) {
        Ok(flags) => flags,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Command::Say(error.render().to_string()));
        }
        Err(error) => return Err(bad_flags(&error)),
    };
    let mut env = own_variables(env)?;
    let file_in_env = env.remove(CONFIG_VARIABLE).map(PathBuf::from);

    let mut config = ServerConfig::default();
    let mut sources = Sources::default();
    if let Some(path) = flags.config.as_ref().or(file_in_env.as_ref()) {
        let named_by = if flags.config.is_some() { "--config" } else { CONFIG_VARIABLE };
        (config, sources) = read_file(path, named_by)?;
    }
    apply_environment(&mut config, &mut sources, &env)?;
    flags.apply(&mut config, &mut sources)?;
    if let Some(path) = &config.token_file {
        let token = read_token(path).map_err(|error| sources.blame(error))?;
        config.token = Some(token);
    }
    config.validate().map_err(|error| sources.blame(error))?;

    let loaded = Loaded { config, sources };
    if flags.print_config { Ok(Command::Say(loaded.print()?)) } else { Ok(Command::Run(Box::new(loaded))) }
}

/// A hub for Server-Sent Events: clients listen to topics and wait for tasks, applications publish.
#[derive(Debug, clap::Parser)]
#[command(name = "sse-hub", version, after_help = AFTER_HELP, disable_help_flag = true)]
#[command(disable_version_flag = true)]
struct Flags {
    /// Where to listen; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Listening")]
    listen: Option<String>,
    /// The path that every route begins with [default: /sse/]
    #[arg(long, value_name = "PATH", help_heading = "Listening")]
    prefix: Option<String>,
    /// How many shards drive the connections [default: one a core]
    #[arg(long, value_name = "N", help_heading = "Listening")]
    shards: Option<String>,
    /// Read the token of privileged requests from here (or set SSE_HUB_TOKEN)
    #[arg(long, value_name = "PATH", help_heading = "Security")]
    token_file: Option<String>,
    /// Pages of this origin may use all routes; * opens streams [default: *]
    #[arg(long, value_name = "ORIGIN", help_heading = "Security")]
    cors_origin: Vec<String>,
    /// Answer to this Host too, besides localhost
    #[arg(long, value_name = "HOST", help_heading = "Security")]
    allowed_host: Vec<String>,
    /// How often an idle stream gets a comment, or off [default: 15s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Streams")]
    heartbeat: Option<String>,
    /// The most streams at once [default: 100000]
    #[arg(long, value_name = "N", help_heading = "Streams")]
    max_streams: Option<String>,
    /// Events kept by a shard for slow and returning readers [default: 16MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Streams")]
    log_bytes: Option<String>,
    /// error, warn, info, debug, trace, or target=level [default: info]
    #[arg(long, value_name = "FILTER", help_heading = "Logging")]
    log: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Logging")]
    log_format: Option<String>,
    /// Read a configuration file (TOML)
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    config: Option<PathBuf>,
    /// Set any key of the configuration, such as limits.topics=500
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Configuration")]
    set: Vec<String>,
    /// Print the configuration in force, with what set each value, and exit
    #[arg(long, help_heading = "Configuration")]
    print_config: bool,
    /// Print this help and exit
    #[arg(short, long, action = clap::ArgAction::Help, help_heading = "Configuration")]
    help: Option<bool>,
    /// Print the version and exit
    #[arg(short = 'V', long, action = clap::ArgAction::Version, help_heading = "Configuration")]
    version: Option<bool>,
}

const AFTER_HELP: &str = "\
Flags are stronger than the environment, the environment than the file, the file than the defaults.
A key such as limits.topics is SSE_HUB_LIMITS_TOPICS in the environment and `topics` in the section
[limits] of the file; --print-config shows all keys. Tasks are set in the file, by [[tasks]].

Examples:
  sse-hub --listen 127.0.0.1:0
  sse-hub --listen 0.0.0.0:8080 --token-file /run/secrets/sse-hub
  sse-hub --cors-origin https://app.example.com --print-config > hub.toml";

impl Flags {
    fn apply(&self, config: &mut ServerConfig, sources: &mut Sources) -> Result<(), ConfigError> {
        let many = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
        let given = [
            ("listen", "--listen", self.listen.clone()),
            ("prefix", "--prefix", self.prefix.clone()),
            ("shards", "--shards", self.shards.clone()),
            ("token_file", "--token-file", self.token_file.clone()),
            ("cors_origins", "--cors-origin", many(&self.cors_origin)),
            ("allowed_hosts", "--allowed-host", many(&self.allowed_host)),
            ("timers.heartbeat", "--heartbeat", self.heartbeat.clone()),
            ("limits.connections", "--max-streams", self.max_streams.clone()),
            ("limits.log_bytes", "--log-bytes", self.log_bytes.clone()),
            ("log", "--log", self.log.clone()),
            ("log_format", "--log-format", self.log_format.clone()),
        ];
        for (key, flag, value) in given {
            let (Some(value), Some(setting)) = (value, Setting::find(key)) else {
                continue;
            };
            setting.apply(config, sources, &value, flag)?;
        }
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(ConfigError::new(
                    "--set",
                    format!("{pair:?} has no =; write KEY=VALUE, such as limits.topics=500"),
                ));
            };
            if key == "token" {
                return Err(ConfigError::new(
                    "--set",
                    "others can read flags; use SSE_HUB_TOKEN or --token-file for the token",
                ));
            }
            let Some(setting) = Setting::find(key) else {
                return Err(ConfigError::new(key, unknown("key", key)).set_by("--set"));
            };
            if sources.of(key).is_some_and(|source| source.starts_with("--")) {
                return Err(ConfigError::new(key, "it is set by another flag too; leave out one of the two").set_by("--set"));
            }
            setting.apply(config, sources, value, "--set")?;
        }
        Ok(())
    }
}

/// A key, and how its value is read.
struct Setting {
    key: &'static str,
    set: fn(&mut ServerConfig, &str) -> Result<(), BadValue>,
}

impl Setting {
    fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.key.replace('.', "_").to_uppercase())
    }

    fn apply(&self, config: &mut ServerConfig, sources: &mut Sources, value: &str, source: &str) -> Result<(), ConfigError> {
        let blame = |problem: BadValue| ConfigError::new(self.key, problem).set_by(source);
        if value.is_empty() {
            // An empty list of origins would be read as the default by some and as "none" by others.
            return Err(blame(BadValue::new("it is empty; leave it out for the default, or write none for an empty list")));
        }
        (self.set)(config, value).map_err(blame)?;
        sources.0.insert(self.key.to_owned(), source.to_owned());
        Ok(())
    }
}

macro_rules! settings {
    ($($key:literal => $($field:ident).+ = $read:expr;)+) => {
        const SETTINGS: &[Setting] = &[$(Setting {
            key: $key,
            set: |config, text| {
                config.$($field).+ = $read(text)?;
                Ok(())
            },
        }),+, Setting { key: "token", set: set_token }, Setting { key: "token_file", set: set_token_file }];
    };
}

settings! {
    "listen" => listen = text::address;
    "prefix" => prefix = str::parse;
    "cors_origins" => cors_origins = |text| Origins::new(text::list(text));
    "allowed_hosts" => allowed_hosts = |text| text::list(text).into_iter().map(str::parse).collect::<Result<_, _>>();
    "shards" => shards = text::count;
    "log" => log = LogFilter::new;
    "log_format" => log_format = text::word;
    "http.max_connections" => http.max_connections = text::count;
    "http.max_body" => http.max_body = text::size;
    "http.header_timeout" => http.header_timeout = text::duration;
    "http.request_timeout" => http.request_timeout = text::duration;
    "http.io_uring" => http.io_uring = text::switch;
    "shutdown.grace" => shutdown.grace = text::duration;
    "shutdown.retry" => shutdown.retry = text::duration;
    "shutdown.retry_spread" => shutdown.retry_spread = text::duration;
    "limits.connections" => limits.connections = text::count;
    "limits.clients" => limits.clients = text::count;
    "limits.issued_ids" => limits.issued_ids = text::count;
    "limits.connections_per_client" => limits.connections_per_client = text::count;
    "limits.topics" => limits.topics = text::count;
    "limits.topics_per_client" => limits.topics_per_client = text::count;
    "limits.subscriptions" => limits.subscriptions = text::count;
    "limits.groups" => limits.groups = text::count;
    "limits.tasks_per_client" => limits.tasks_per_client = text::count;
    "limits.tasks" => limits.tasks = text::count;
    "limits.detail_bytes" => limits.detail_bytes = text::size;
    "limits.name_len" => limits.name_len = text::count;
    "limits.key_len" => limits.key_len = text::count;
    "limits.frame_bytes" => limits.frame_bytes = text::size;
    "limits.log_bytes" => limits.log_bytes = text::size;
    "limits.log_entries" => limits.log_entries = text::count;
    "timers.heartbeat" => timers.heartbeat = text::duration_or_off;
    "timers.write_stall" => timers.write_stall = text::duration;
    "timers.dormant_after" => timers.dormant_after = text::duration;
    "timers.sweep_every" => timers.sweep_every = text::duration;
    "timers.issued_id_ttl" => timers.issued_id_ttl = text::duration;
    "policy.overrun" => policy.overrun = text::word;
    "policy.age" => policy.age = text::word;
    "policy.id_form" => policy.id_form = text::word;
    "policy.payloads" => policy.payloads = text::word;
    "policy.listeners_changed_key" => policy.listeners_changed_key = |text: &str| Ok::<_, BadValue>(text.to_owned());
    "policy.end_on_disconnect" => policy.end_on_disconnect = text::switch;
    "policy.demo_tasks" => policy.demo_tasks = text::switch;
}

fn set_token(config: &mut ServerConfig, text: &str) -> Result<(), BadValue> {
    config.token = Some(Token::new(text)?);
    config.token_file = None;
    Ok(())
}

fn set_token_file(config: &mut ServerConfig, text: &str) -> Result<(), BadValue> {
    config.token_file = Some(PathBuf::from(text));
    config.token = None;
    Ok(())
}

/// Every key that the environment and `--set` know.
#[cfg(test)]
pub(super) fn setting_keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key)
}

/// What set each key that is not a default.
#[derive(Debug, Default)]
struct Sources(BTreeMap<String, String>);

impl Sources {
    fn of(&self, key: &str) -> Option<&str> {
        let table = key.split('[').next().unwrap_or(key);
        self.0.get(table).map(String::as_str)
    }

    /// Adds to `error` what set its first key that somebody set.
    fn blame(&self, mut error: ConfigError) -> ConfigError {
        if let Some((at, source)) = error.keys.iter().enumerate().find_map(|(at, key)| Some((at, self.of(key)?))) {
            error.source = Some(source.to_owned());
            error.keys.swap(0, at);
        }
        error
    }
}

/// The variables that are meant for this program.
fn own_variables(env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut own = BTreeMap::new();
    for (name, value) in env {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else {
            continue;
        };
        // Kubernetes sets these in every pod beside a service that is called sse-hub.
        let of_a_service = ["SSE_HUB_SERVICE_", "SSE_HUB_PORT_"].iter().any(|prefix| name.starts_with(prefix));
        if of_a_service || name == "SSE_HUB_PORT" {
            continue;
        }
        match value.into_string() {
            Ok(value) => own.insert(name.to_owned(), value),
            Err(_) => {
                return Err(ConfigError::new(name, "the value is not UTF-8; write it in UTF-8"));
            }
        };
    }
    Ok(own)
}

fn apply_environment(
    config: &mut ServerConfig,
    sources: &mut Sources,
    env: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    if env.contains_key("SSE_HUB_TOKEN") && env.contains_key("SSE_HUB_TOKEN_FILE") {
        return Err(ConfigError::new("SSE_HUB_TOKEN", "SSE_HUB_TOKEN_FILE is set too; unset one of the two"));
    }
    for (name, value) in env {
        match SETTINGS.iter().find(|setting| setting.variable() == *name) {
            Some(setting) => setting.apply(config, sources, value, name)?,
            None => return Err(ConfigError::new(name, unknown("variable", name))),
        }
    }
    Ok(())
}

fn read_file(path: &Path, named_by: &str) -> Result<(ServerConfig, Sources), ConfigError> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| ConfigError::new(named_by, format!("{name} cannot be read: {error}; name a readable TOML file")))?;
    let config = parse_file(&text, &name)?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| ConfigError::new(&name, error.message()))?;
    let mut sources = Sources::default();
    for (key, value) in table {
        match value {
            toml::Value::Table(section) => {
                sources.0.extend(section.into_iter().map(|(inner, _)| (format!("{key}.{inner}"), name.clone())));
            }
            _ => {
                sources.0.insert(key, name.clone());
            }
        }
    }
    Ok((config, sources))
}

/// Reads the text of a file that errors call `name`.
pub(super) fn parse_file(text: &str, name: &str) -> Result<ServerConfig, ConfigError> {
    let at = |error: &toml::de::Error| match error.span() {
        Some(span) => format!("{name} line {}", line_of(text, span.start)),
        None => name.to_owned(),
    };
    let deserializer =
        toml::Deserializer::parse(text).map_err(|error| ConfigError::new("", error.message()).set_by(at(&error)))?;
    let config: ServerConfig = serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = error.path().to_string();
        let inner = error.into_inner();
        let source = at(&inner);
        let problem = match inner.message() {
            message if message.starts_with("unknown field") => unknown("key", &key),
            message => message.to_owned(),
        };
        let key = if key == "." { String::new() } else { key };
        ConfigError::new(key, problem).set_by(source)
    })?;
    if config.token.is_some() && config.token_file.is_some() {
        return Err(ConfigError::new("token_file", "the file has a token too; leave out one of the two").set_by(name));
    }
    Ok(config)
}

fn read_token(path: &Path) -> Result<Token, ConfigError> {
    let blame = |problem: String| ConfigError::new("token_file", problem);
    let shown = path.display();
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST_TOKEN_FILE).read_to_string(&mut text))
        .map_err(|error| blame(format!("{shown} cannot be read: {error}; name a file that holds the token")))?;
    Token::new(text.trim()).map_err(|problem| blame(format!("{shown}: {problem}")))
}

/// Says that `name` is not known, and which known one it resembles.
fn unknown(what: &str, name: &str) -> String {
    let known = SETTINGS.iter().map(|setting| if what == "variable" { setting.variable() } else { setting.key.to_owned() });
    let tables = TASK_KEYS.iter().map(|key| match name.rsplit_once('.') {
        Some((task, _)) if task.starts_with("tasks[") => format!("{task}.{key}"),
        _ => String::new(),
    });
    let lower = name.to_lowercase();
    let resembling = known
        .chain(tables)
        .map(|known| (distance(&lower, &known.to_lowercase()), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 3);
    match resembling {
        Some((_, known)) => format!("there is no such {what}; did you mean {known}?"),
        None => format!("there is no such {what}; sse-hub --print-config shows all keys"),
    }
}

/// How many characters must be inserted, removed or replaced to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// clap's error, of several paragraphs, as one line.
fn bad_flags(error: &clap::Error) -> ConfigError {
    let rendered = error.render().to_string();
    let first = rendered.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first).trim_end_matches(':');
    let advice = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => format!("did you mean {flag}?"),
        _ => "see sse-hub --help".to_owned(),
    };
    ConfigError::new("", format!("{first}; {advice}"))
}

const VARIABLE_PREFIX: &str = "SSE_HUB_";
const CONFIG_VARIABLE: &str = "SSE_HUB_CONFIG";
const LARGEST_TOKEN_FILE: u64 = 4096;
const TASK_KEYS: [&str; 6] = ["name", "url", "worker", "timeout", "attempts", "backoff"];
