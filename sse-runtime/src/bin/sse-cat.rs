//! Follows a stream of Server-Sent Events and prints what comes.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal as _, Read as _, Stdout, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use axum::http::Method;
use clap::Parser;
use clap::error::ErrorKind;
use serde_json::json;
use sse_runtime::client::{BuildError, Closed, Event, EventSource, Interruption, Item};
use tokio::time::Instant;

/// Follow a stream of Server-Sent Events and print what comes.
///
/// It reconnects and resumes by itself. On a terminal, events are shown with their type and id, and
/// what becomes of the connection on stderr. In a pipe there is nothing but data: one event after
/// another, its data and a line end.
#[derive(Debug, Parser)]
#[command(name = "sse-cat", version, after_help = AFTER_HELP, verbatim_doc_comment)]
struct Flags {
    /// What to follow: http:// or https://
    url: String,
    /// Send a header; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// POST this body; @FILE reads it from a file, @- from stdin
    #[arg(short, long, value_name = "BODY|@FILE")]
    data: Option<String>,
    /// The method, if not GET, or POST with --data
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// Resume behind this event
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    last_event_id: String,
    /// Pass over events whose id is among the last N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    remember_ids: usize,
    /// Print one JSON object a line: event, data, id
    #[arg(long, conflicts_with = "pretty")]
    json: bool,
    /// Print as on a terminal, also in a pipe
    #[arg(long)]
    pretty: bool,
    /// Exit after N events
    #[arg(short = 'n', long, value_name = "N")]
    max_events: Option<u64>,
    /// Exit when the stream ends, instead of asking again
    #[arg(long)]
    once: bool,
    /// Reconnect when nothing comes for so long, such as 45s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    liveness: Option<Duration>,
    /// Reconnection time until the stream sets another one
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1s")]
    retry: Duration,
    /// Give up after N failed attempts in a row
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// Show what becomes of the connection on stderr, also where that is not a terminal
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Show nothing but data, on a terminal too
    #[arg(short, long)]
    quiet: bool,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  as wished: --max-events reached, the server said there is no more (204), the stream ended under
     --once, or the reader of the output has gone
  1  the server refused, for good: its status, its content type, or where it redirects to
  2  a mistake on the command line
  3  no attempt is left (--max-attempts), or the stream broke under --once
  4  what came cannot be written, or an event was too long and is lost

Examples:
  sse-cat http://127.0.0.1:8080/sse/events?topic=news
  sse-cat --json -n 1 http://127.0.0.1:8080/sse/events?topic=news | jq .data
  sse-cat --once -H 'Authorization: Bearer …' -H 'Content-Type: application/json' \\
      --data @prompt.json https://api.example.com/v1/chat/completions
";

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = io::stdout().write_all(error.render().to_string().as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let _ = write!(io::stderr(), "sse-cat: {}", error.render().to_string().trim_start_matches("error: "));
            return ExitCode::from(MISTAKE);
        }
    };
    let source = match source(&flags) {
        Ok(source) => source,
        Err(error) => {
            complain(error);
            return ExitCode::from(MISTAKE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(error);
            return ExitCode::from(OUTPUT);
        }
    };
    let code = runtime.block_on(follow(source, &flags));
    // A name that is being looked up cannot be stopped, and nobody waits for it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn source(flags: &Flags) -> Result<EventSource, String> {
    let mut builder = EventSource::builder(&flags.url)
        .last_event_id(flags.last_event_id.as_str())
        .remember_ids(flags.remember_ids)
        .retry(flags.retry)
        .reconnect(!flags.once);
    for header in &flags.headers {
        let (name, value) = header.split_once(':').ok_or_else(|| format!("--header takes \"NAME: VALUE\", not {header:?}"))?;
        builder = builder.header(name.trim(), value.trim());
    }
    if let Some(data) = &flags.data {
        builder = builder.post(body(data)?);
    }
    if let Some(method) = &flags.method {
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("--method takes a method, not {method:?}"))?;
        builder = builder.method(method);
    }
    if let Some(limit) = flags.liveness {
        if limit.is_zero() {
            return Err("--liveness takes a time longer than none; without it, nothing is too long".to_owned());
        }
        builder = builder.liveness(limit);
    }
    if let Some(attempts) = flags.max_attempts {
        builder = builder.max_attempts(attempts);
    }
    builder.build().map_err(|error: BuildError| error.to_string())
}

fn body(data: &str) -> Result<Vec<u8>, String> {
    let Some(path) = data.strip_prefix('@') else { return Ok(data.as_bytes().to_vec()) };
    if path == "-" {
        let mut body = Vec::new();
        io::stdin().read_to_end(&mut body).map_err(|error| format!("stdin cannot be read: {error}"))?;
        return Ok(body);
    }
    std::fs::read(Path::new(path)).map_err(|error| format!("--data: {path:?} cannot be read: {error}"))
}

async fn follow(mut source: EventSource, flags: &Flags) -> u8 {
    let mut output = Output::new(flags);
    let mut left = flags.max_events;
    let mut lost = false;
    let mut opened: Option<Instant> = None;
    if left == Some(0) {
        return WISHED;
    }
    output.state(format_args!("asking {}", source.url()));
    while let Some(item) = source.next().await {
        match item {
            Item::Opened => {
                opened = Some(Instant::now());
                output.state(format_args!("open: {}", source.url()));
            }
            Item::Event(event) => {
                if let Err(error) = output.event(&event) {
                    if error.kind() == io::ErrorKind::BrokenPipe {
                        return WISHED;
                    }
                    complain(format_args!("what came cannot be written: {error}"));
                    return OUTPUT;
                }
                if let Some(left) = &mut left {
                    *left -= 1;
                    if *left == 0 {
                        return if lost { OUTPUT } else { WISHED };
                    }
                }
            }
            Item::Skipped(error) => {
                lost = true;
                complain(format_args!("an event is lost: {error}"));
            }
            Item::Reconnecting { delay, why } => {
                let after = opened.take().map(|since| format!(" after {}", rough(since.elapsed()))).unwrap_or_default();
                output.state(format_args!("{why}{after}; again in {}", rough(delay)));
            }
            Item::Closed(why) => {
                let code = code(why.reason);
                match code {
                    WISHED => output.state(format_args!("{why}")),
                    _ => complain(&why),
                }
                return if lost && code == WISHED { OUTPUT } else { code };
            }
            _ => {}
        }
    }
    WISHED
}

fn code(why: Closed) -> u8 {
    match why {
        Closed::ByCaller | Closed::NoContent | Closed::Over(Interruption::Ended) => WISHED,
        Closed::Attempts(_) | Closed::Over(_) => EXHAUSTED,
        Closed::Status(_) | Closed::ContentType | Closed::Redirect(_) | Closed::TooManyRedirects | Closed::Unsendable => {
            REFUSED
        }
    }
}

/// Where events and states go, and in which form.
struct Output {
    stdout: BufWriter<Stdout>,
    form: Form,
    shows_state: bool,
    paints: bool,
}

#[derive(Clone, Copy)]
enum Form {
    Data,
    Pretty { paints: bool },
    Json,
}

impl Output {
    fn new(flags: &Flags) -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let on_terminal = io::stdout().is_terminal();
        let form = match () {
            () if flags.json => Form::Json,
            () if flags.pretty || on_terminal && !flags.quiet => Form::Pretty { paints: on_terminal && colours },
            () => Form::Data,
        };
        let terminal = io::stderr().is_terminal();
        Self {
            stdout: BufWriter::new(io::stdout()),
            form,
            shows_state: flags.verbose || terminal && !flags.quiet,
            paints: terminal && colours,
        }
    }

    /// Each event is on its way when this returns: a script may wait for it.
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let out = &mut self.stdout;
        match self.form {
            Form::Data => writeln!(out, "{}", event.data)?,
            Form::Json => {
                writeln!(out, "{}", json!({ "event": event.event, "data": event.data, "id": &*event.last_event_id }))?;
            }
            Form::Pretty { paints } => {
                let (name, faint, end) = if paints { ("\x1b[1;36m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
                write!(out, "{name}{}{end}", Plain(&event.event))?;
                if !event.last_event_id.is_empty() {
                    write!(out, " {faint}{}{end}", Plain(&event.last_event_id))?;
                }
                writeln!(out)?;
                for line in event.data.split('\n') {
                    writeln!(out, "  {}", Plain(line))?;
                }
            }
        }
        out.flush()
    }

    fn state(&mut self, state: impl Display) {
        if self.shows_state {
            let (faint, end) = if self.paints { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
            let _ = writeln!(io::stderr(), "{faint}· {state}{end}");
        }
    }
}

/// Text of a stranger on a terminal: what could steer it is shown, not done.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in self.0.split_inclusive(|c: char| c.is_control() && c != '\t') {
            match part.char_indices().next_back() {
                Some((at, last)) if last.is_control() && last != '\t' => write!(f, "{}{}", &part[..at], last.escape_default())?,
                _ => f.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// A duration as one says it: `850ms`, `1.5s`, `2m 5s`.
fn rough(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ ..1_000 => format!("{millis}ms"),
        millis @ 1_000..60_000 => format!("{:.1}s", millis as f64 / 1000.0),
        _ => humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string(),
    }
}

fn complain(what: impl Display) {
    let _ = writeln!(io::stderr(), "sse-cat: {what}");
}

const WISHED: u8 = 0;
const REFUSED: u8 = 1;
const MISTAKE: u8 = 2;
const EXHAUSTED: u8 = 3;
const OUTPUT: u8 = 4;
