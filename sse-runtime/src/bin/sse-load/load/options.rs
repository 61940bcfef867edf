//! What a person asks for, checked.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Parser;

use super::failure::Failure;
use super::template::LEAST_SIZE;

/// Loads a server of Server-Sent Events on this machine, and accounts for every delivery.
///
/// Placeholders: in URL, [n] is the connection's number modulo --topics. In --publish, --body: [n] is the number of the topic that
/// is next in turn, {data} the payload of --size bytes by which a message is found again, {seq} its number, {time} when it was
/// sent, in nanoseconds.
///
/// Exit codes: 0, every delivery is accounted for; 1, something is lost, repeated, out of order or was refused; 2, a mistake, or
/// a server that cannot be used.
#[derive(Debug, Parser)]
#[command(name = "sse-load", version, verbatim_doc_comment, after_help = EXAMPLE)]
pub(crate) struct Options {
    /// The URL of the streams. Loopback only, http only
    #[arg(value_parser = url)]
    pub(crate) url: Url,
    /// How many streams to open
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    pub(crate) connections: u32,
    /// How many topics the streams are spread over
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) topics: u32,
    /// A header of the streams' requests. May be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<String>,
    /// How many connections may be in the making at once
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connecting: u32,
    /// How long nothing may happen while streams are opened
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) open_timeout: Duration,
    /// How many of the streams are never read, spread evenly
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) stalled: u32,

    /// Where to publish. Without it the streams are opened and held for --seconds
    #[arg(long, value_name = "URL", value_parser = url)]
    pub(crate) publish: Option<Url>,
    /// The method of publishing
    #[arg(long, default_value = "POST", value_name = "METHOD", value_parser = method)]
    pub(crate) method: String,
    /// The body of a publication
    #[arg(long, default_value = "{data}", value_name = "TEXT")]
    pub(crate) body: String,
    /// A header of publications. May be repeated
    #[arg(long = "publish-header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) publish_headers: Vec<String>,
    /// Bytes that {data} becomes
    #[arg(long, default_value_t = 150, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(LEAST_SIZE as i64..=1 << 24))]
    pub(crate) size: u32,

    /// Each message to all its readers before the next is published [this is the default]
    #[arg(long, group = "pace")]
    pub(crate) lockstep: bool,
    /// Up to N messages published and not yet with all their readers
    #[arg(long, group = "pace", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) outstanding: Option<u32>,
    /// Up to N requests at once, waiting for nothing but their answers [16]
    #[arg(long, group = "pace", value_name = "N", num_args = 0..=1, default_missing_value = "16", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) flood: Option<u32>,
    /// So many messages a second, at even distances. Latencies then count from when a message was due
    #[arg(long, group = "pace", value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Stop publishing after so many messages
    #[arg(short, long, value_name = "N")]
    pub(crate) messages: Option<u32>,
    /// Stop publishing after so many seconds [10, unless --messages is given]
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,
    /// How long nothing may happen before what is missing counts as lost
    #[arg(long, default_value = "3", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) patience: Duration,

    /// The server's process, whose processor time and memory are measured with its children's
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// The processor to stay on
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<usize>,
    /// Exit with 0 even when something is lost, repeated, out of order or refused
    #[arg(long)]
    pub(crate) allow_loss: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// An http URL on loopback, perhaps with placeholders in its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
}

/// When the next message is published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// When fewer than so many are on their way to a reader or an answer.
    Outstanding(u32),
    /// When fewer than so many are not answered.
    Flood(u32),
    /// At even distances.
    Rate(Duration),
}

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let options = Self::try_parse_from(args)?;
        options.check().map_err(|failure| {
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{failure}\n"))
                .with_cmd(&Self::command_for_errors())
        })?;
        Ok(options)
    }

    /// What clap says, help or a complaint. clap takes `{n}` for a line end, so help is written with another sign for it.
    pub(crate) fn said(error: &clap::Error) -> String {
        error.render().to_string().replace("[n]", "{n}")
    }

    pub(crate) fn pace(&self) -> Pace {
        match (self.outstanding, self.flood, self.rate) {
            (Some(most), _, _) => Pace::Outstanding(most),
            (_, Some(most), _) => Pace::Flood(most),
            (_, _, Some(rate)) => Pace::Rate(Duration::from_secs_f64(1.0 / rate)),
            _ => Pace::Outstanding(1),
        }
    }

    /// How long messages are published, or streams held.
    pub(crate) fn duration(&self) -> Duration {
        match (self.seconds, self.messages) {
            (Some(seconds), _) => seconds,
            (None, Some(_)) => Duration::MAX,
            (None, None) => DEFAULT_DURATION,
        }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.stalled > self.connections {
            return Err(Failure::new(format!("--stalled {} is more than --connections {}", self.stalled, self.connections)));
        }
        if self.publish.is_none() && self.messages.is_some() {
            return Err(Failure::new("--messages needs --publish: where are they to be published?"));
        }
        Ok(())
    }

    fn command_for_errors() -> clap::Command {
        <Self as clap::CommandFactory>::command()
    }
}

fn url(text: &str) -> Result<Url, String> {
    let rest = text.strip_prefix("http://").ok_or("only http:// is spoken")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if path.bytes().any(|byte| byte <= b' ' || byte == 127) {
        return Err("a space or control character stands in the URL: write it as %20 or the like".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| format!("{port:?} is not a port"))?),
        _ => (authority, 80),
    };
    let ip = match host {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| not_loopback(host))?,
    };
    if !ip.is_loopback() {
        return Err(not_loopback(host));
    }
    Ok(Url { address: SocketAddr::new(ip, port), authority: authority.to_owned(), path })
}

fn not_loopback(host: &str) -> String {
    format!("{host:?} is not on loopback: nothing but this machine is loaded. Use 127.0.0.1")
}

fn header(text: &str) -> Result<String, String> {
    let sound = text.split_once(':').is_some_and(|(name, _)| !name.is_empty() && !name.contains(' '));
    if !sound || text.bytes().any(|byte| byte < b' ' && byte != b'\t') {
        return Err("a header is \"name: value\"".to_owned());
    }
    Ok(text.to_owned())
}

fn method(text: &str) -> Result<String, String> {
    match text.bytes().all(|byte| byte.is_ascii_uppercase()) && !text.is_empty() {
        true => Ok(text.to_owned()),
        false => Err("a method is upper-case letters".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=1e6).contains(&rate) { Ok(rate) } else { Err("a rate is from 0.001 to 1000000".to_owned()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err("at most a day".to_owned()) }
}

const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const EXAMPLE: &str = "\
Example, against sse-hub:
  sse-load -n 1000 'http://127.0.0.1:8080/sse/events?topic=t[n]' --outstanding 16 --seconds 2 \\
    --publish http://127.0.0.1:8080/sse/publish --body '{\"to\":{\"topic\":\"t[n]\"},\"data\":\"{data}\"}' \\
    --server-pid $(pidof sse-hub)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_loopback_or_nowhere() {
        let check = |text: &str, address: &str, path: &str| {
            let url = url(text).unwrap();
            assert_eq!((url.address.to_string().as_str(), url.path.as_str()), (address, path), "{text}");
        };
        check("http://127.0.0.1:8080/sse/events?topic=t{n}", "127.0.0.1:8080", "/sse/events?topic=t{n}");
        check("http://localhost", "127.0.0.1:80", "/");
        check("http://127.9.9.9:1?x", "127.9.9.9:1", "/?x");
        check("http://[::1]:99/", "[::1]:99", "/");
        check("http://[::1]/a:b", "[::1]:80", "/a:b");
        for text in
            ["http://example.com/", "http://192.168.0.1/", "https://127.0.0.1/", "127.0.0.1:80", "http://127.0.0.1:99999/"]
        {
            assert!(url(text).is_err(), "{text}");
        }
        assert!(url("http://127.0.0.1/a b").is_err());
    }

    #[test]
    fn the_command_is_well_formed() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }
}
