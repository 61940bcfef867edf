//! Logs: one line an event, to stderr, as text or as JSON.
//!
//! An id is a capability: who knows it can read that client's stream. So no log line holds one whole; [`short`] shows enough
//! to tell two clients apart.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::error::BadValue;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person: aligned, in colour on a terminal.
    #[default]
    Text,
    /// For a collector: one JSON object a line.
    Json,
}

/// A `tracing` filter that is known to parse: `info`, `warn,sse_runtime=debug`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LogFilter(String);

impl LogFilter {
    /// Checks `filter`: directives parted by commas, each a level (`off`, `error`, `warn`, `info`, `debug`, `trace`) or
    /// `target=level`.
    ///
    /// A bare word that is no level is refused, though `tracing` would take it for a target and silence everything else.
    ///
    /// # Errors
    ///
    /// [`BadValue`] with the first directive that does not parse.
    pub fn new(filter: &str) -> Result<Self, BadValue> {
        let directives: Vec<&str> = filter.split(',').map(str::trim).collect();
        // An empty word would be a level, and an empty target any.
        let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
        let parses = |directive: &&str| match directive.split_once('=') {
            Some((target, level)) => !target.is_empty() && !target.contains('[') && is_level(level),
            None => is_level(directive),
        };
        match directives.iter().find(|directive| !parses(directive)) {
            Some(directive) => Err(bad_filter(directive)),
            None => Ok(Self(directives.join(","))),
        }
    }

    /// The filter, without spaces around its commas.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl From<LogFilter> for String {
    fn from(filter: LogFilter) -> Self {
        filter.0
    }
}

impl TryFrom<String> for LogFilter {
    type Error = BadValue;

    fn try_from(filter: String) -> Result<Self, BadValue> {
        Self::new(&filter)
    }
}

/// Sends every `tracing` event of this process that `filter` lets through to stderr.
///
/// # Errors
///
/// [`BadValue`] when the process has a subscriber already.
pub fn init(format: LogFormat, filter: &LogFilter) -> Result<(), BadValue> {
    let filter: Targets = filter.as_str().parse().map_err(|_| bad_filter(filter.as_str()))?;
    let (registry, lines) =
        (tracing_subscriber::registry().with(filter), tracing_subscriber::fmt::layer().with_writer(io::stderr));
    let installed = match format {
        LogFormat::Text => registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    installed.map_err(|_| BadValue::new("logging is set up already; call telemetry::init once a process"))
}

/// Shows `id` as its user name and at most the first four characters of its suffix: `bob_p6ae…`.
///
/// At most half of the suffix is shown, so that a short one is not given away whole. Characters that could forge a log line are
/// escaped, and a name over 32 characters is cut.
pub fn short(id: &str) -> Short<'_> {
    Short(id)
}

/// An id as logs may show it; see [`short`].
#[derive(Clone, Copy)]
pub struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = match self.0.rsplit_once('_') {
            Some((name, suffix)) => {
                write!(f, "{}", Cut { text: name, keep: NAME_SHOWN })?;
                f.write_char('_')?;
                suffix
            }
            None => self.0,
        };
        let keep = SUFFIX_SHOWN.min(suffix.chars().count() / 2);
        for c in suffix.chars().take(keep) {
            write!(f, "{}", c.escape_debug())?;
        }
        f.write_char('…')
    }
}

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Cut<'a> {
    text: &'a str,
    keep: usize,
}

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text.chars();
        for c in rest.by_ref().take(self.keep) {
            write!(f, "{}", c.escape_debug())?;
        }
        if rest.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

fn bad_filter(filter: &str) -> BadValue {
    BadValue::new(format!(
        "{filter:?} is not a log filter; write a level (error, warn, info, debug, trace) or target=level, parted by commas"
    ))
}

const NAME_SHOWN: usize = 32;
const SUFFIX_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_id_tells_apart_but_gives_nothing_away() {
        let check = |id: &str, shown: &str| assert_eq!(short(id).to_string(), shown);
        check("bob_p6ae3u4k9z", "bob_p6ae…");
        check("a_b_p6ae3u4k9z", "a_b_p6ae…");
        check("bob_p6a", "bob_p…");
        check("bob_p", "bob_…");
        check("bob_", "bob_…");
        check("", "…");
        check("550e8400-e29b-41d4", "550e…");
        check("x\ny_\u{1b}[31mabcd", "x\\ny_\\u{1b}[31…");
        check("éééééééé", "éééé…");
        check(&format!("{}_abcdefgh", "n".repeat(40)), &format!("{}…_abcd…", "n".repeat(32)));
        assert_eq!(format!("{:?}", short("bob_p6ae3u4k9z")), "bob_p6ae…");
    }

    #[test]
    fn filters_that_would_silence_everything_are_refused() {
        for good in ["info", "WARN", "off", "warn,sse_runtime=debug"] {
            assert_eq!(LogFilter::new(good).unwrap().as_str(), good);
        }
        assert_eq!(LogFilter::new("info, axum=warn").unwrap().as_str(), "info,axum=warn");
        let bad = ["", "verbose", "info,", "sse_runtime", "sse_runtime=loud", "info,noisy", "[request]=trace", "=info", "a="];
        for bad in bad {
            let error = LogFilter::new(bad).unwrap_err().to_string();
            assert!(error.contains("is not a log filter") && !error.contains('\n'), "{error}");
        }
    }
}
