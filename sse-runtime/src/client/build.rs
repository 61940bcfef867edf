//! What to follow, and how: checked before the first request.

use std::fmt;
use std::time::Duration;

use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, TRANSFER_ENCODING, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use bytes::Bytes;
use sse_proto::client as machine;
use sse_proto::wire::{IdField, Limits};

use super::EventSource;
use super::resolve::usable;
use super::transport::{LAST_EVENT_ID, Template, Transport};

/// Makes an [`EventSource`]. Everything but the URL has a default.
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before `build`"]
pub struct Builder {
    url: String,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    last_event_id: String,
    remembered: usize,
    config: machine::Config,
    error: Option<BuildError>,
}

/// Why there is nothing to follow: the caller's mistake, or a machine without certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError(String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            method: Method::GET,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            last_event_id: String::new(),
            remembered: 0,
            config: machine::Config::default(),
            error: None,
        }
    }

    /// Adds a header. `Accept`, `Cache-Control` and `User-Agent` have values that this replaces.
    ///
    /// `Authorization`, `Cookie`, `Proxy-Authorization` and values marked as sensitive go to the URL's own origin only, not where a
    /// redirect leads away from it.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
        V: TryInto<HeaderValue, Error: fmt::Display>,
    {
        match (name.try_into(), value.try_into()) {
            (Ok(name), _) if name == LAST_EVENT_ID => {
                self.error
                    .get_or_insert(BuildError("last-event-id is not a header to set: say where to resume instead".to_owned()));
            }
            (Ok(name), _) if name == CONTENT_LENGTH || name == TRANSFER_ENCODING => {
                self.error.get_or_insert(BuildError(format!("{name} is not a header to set: it follows from the body")));
            }
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            (Err(error), _) => {
                self.error.get_or_insert(BuildError(format!("not a header's name: {error}")));
            }
            (Ok(name), Err(error)) => {
                self.error.get_or_insert(BuildError(format!("not a value for the header {name}: {error}")));
            }
        }
        self
    }

    /// The method; GET by default.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The body, sent with every request.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// POSTs `body`.
    pub fn post(self, body: impl Into<Bytes>) -> Self {
        self.method(Method::POST).body(body)
    }

    /// Resumes behind this event.
    pub fn last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// Remembers the ids of that many past events, 65,536 at most since each event is compared with all of them, and passes over an event that repeats one: for servers that send the event of
    /// `Last-Event-ID` again, or some before it. Default 0, none; not for servers that give several events one id. 8 bytes each.
    pub fn remember_ids(mut self, count: usize) -> Self {
        self.remembered = count;
        self
    }

    /// Everything about waiting and giving up at once. Its method is taken from [`method`](Self::method).
    pub fn config(mut self, config: machine::Config) -> Self {
        self.config = config;
        self
    }

    /// The longest line and the most data of one event; what is over it comes as [`Item::Skipped`](super::Item::Skipped). Default
    /// 16 MiB each.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// The reconnection time, until the stream sets another one. Default 1 s.
    pub fn retry(mut self, retry: Duration) -> Self {
        self.config.retry = retry;
        self
    }

    /// After how long without a byte to reconnect. Default: never.
    pub fn liveness(mut self, limit: Duration) -> Self {
        self.config.liveness = Some(limit);
        self
    }

    /// How many failed attempts in a row to make before giving up. Default: no limit.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = Some(attempts);
        self
    }

    /// Whether to connect again when an open stream ends or breaks. Default true; false for one streamed answer.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.config.reconnect = reconnect;
        self
    }

    /// Checks everything. The first request is made when the [`EventSource`] is first polled.
    ///
    /// # Errors
    ///
    /// [`BuildError`], one line for a person: a URL that is not `http` or `https` or holds a password, a header or an id that cannot
    /// be sent, more ids to remember than there may be, or certificates that cannot be read where the URL is `https`.
    pub fn build(mut self) -> Result<EventSource, BuildError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.remembered > MOST_REMEMBERED {
            return Err(BuildError(format!("at most {MOST_REMEMBERED} ids can be remembered, not {}", self.remembered)));
        }
        let without_fragment = self.url.split('#').next().unwrap_or_default();
        let url: Uri = without_fragment.parse().map_err(|error| BuildError(format!("{:?} is not a URL: {error}", self.url)))?;
        if !usable(&url) {
            let why = "a URL begins with http:// or https:// and a host with or without a port, without a user or a password (send an \
                 Authorization header)";
            return Err(BuildError(format!("{:?} cannot be asked: {why}", self.url)));
        }
        let id = IdField::new(&self.last_event_id).map_err(|error| BuildError(format!("the last event id: {error}")))?;
        if HeaderValue::from_bytes(id.as_str().as_bytes()).is_err() {
            return Err(BuildError("the last event id: a control character cannot be sent in a header".to_owned()));
        }
        let mut transport = Transport::new();
        if url.scheme_str() == Some("https") {
            let unreadable = |error| BuildError(format!("this machine's certificates cannot be read: {error}"));
            transport.prepare_encryption().map_err(unreadable)?;
        }
        for (name, value) in DEFAULT_HEADERS {
            self.headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        self.config.method = match self.method {
            Method::GET => machine::Method::Get,
            Method::POST => machine::Method::Post,
            _ => machine::Method::Other,
        };
        let template = Template { url, method: self.method, headers: self.headers, body: self.body };
        Ok(EventSource::new(template, transport, self.config, self.remembered, id))
    }
}

const MOST_REMEMBERED: usize = 1 << 16;

const DEFAULT_HEADERS: [(HeaderName, &str); 3] = [
    (ACCEPT, "text/event-stream"),
    (CACHE_CONTROL, "no-cache"),
    (USER_AGENT, concat!("sse-runtime/", env!("CARGO_PKG_VERSION"))),
];
