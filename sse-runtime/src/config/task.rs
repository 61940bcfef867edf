//! The tasks that a server's clients may submit: `[[tasks]]` in the file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::text;
use crate::error::BadValue;

/// One task: a name, and who does it. Exactly one of `url` and `worker = true` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// What clients call it, in `submit-task/:id/:task`.
    pub name: String,
    /// The upstream that each submission is POSTed to; any 2xx accepts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<UpstreamUrl>,
    /// Whether an outside worker reports progress and completion, and the hub calls nobody.
    #[serde(default, skip_serializing_if = "is_false")]
    pub worker: bool,
    /// How long the upstream may take over one answer.
    ///
    /// Default 10 s: it accepts the work, it need not have done it.
    #[serde(default = "timeout", with = "text::as_duration")]
    pub timeout: Duration,
    /// How often the upstream is tried before the task fails. Default 3: a restart of the upstream is survived.
    #[serde(default = "attempts", with = "text::as_count")]
    pub attempts: usize,
    /// How long to wait before the second attempt; twice as long before each further one. Default 500 ms.
    #[serde(default = "backoff", with = "text::as_duration")]
    pub backoff: Duration,
}

impl TaskConfig {
    /// A task whose submissions are POSTed to `url`, with the default patience.
    pub fn upstream(name: impl Into<String>, url: UpstreamUrl) -> Self {
        Self { url: Some(url), worker: false, ..Self::worker(name) }
    }

    /// A task that an outside worker reports on.
    pub fn worker(name: impl Into<String>) -> Self {
        Self { name: name.into(), url: None, worker: true, timeout: timeout(), attempts: attempts(), backoff: backoff() }
    }
}

/// An absolute `http` or `https` URL without credentials in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UpstreamUrl(Uri);

impl UpstreamUrl {
    /// The URL.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for UpstreamUrl {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let uri = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        let Some((uri, authority)) = uri.and_then(|uri| Some((uri.clone(), uri.into_parts().authority?))) else {
            // What does not parse may hold credentials anywhere, so it is not repeated.
            return Err(BadValue::new("that is not an http or https URL; write one such as http://127.0.0.1:9000/tasks"));
        };
        if authority.as_str().contains('@') {
            return Err(BadValue::new("the URL has credentials in it, which would end up in logs; leave them out"));
        }
        if authority.host().is_empty() {
            return Err(BadValue::new("the URL names no host; write one such as http://127.0.0.1:9000/tasks"));
        }
        if text.contains('#') {
            return Err(BadValue::new("the URL has a #fragment, which is never sent; leave it out"));
        }
        Ok(Self(uri))
    }
}

impl TryFrom<String> for UpstreamUrl {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        text.parse()
    }
}

impl From<UpstreamUrl> for String {
    fn from(url: UpstreamUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn attempts() -> usize {
    3
}

fn backoff() -> Duration {
    Duration::from_millis(500)
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_urls() {
        for good in ["http://127.0.0.1:9000/tasks", "https://worker.example/run?kind=a", "http://[::1]:9/x"] {
            assert_eq!(good.parse::<UpstreamUrl>().unwrap().to_string(), good);
        }
        for bad in ["", "/tasks", "worker:9000", "ftp://a/b", "http://", "http://a b/", "http://a/#x"] {
            assert!(bad.parse::<UpstreamUrl>().is_err(), "{bad}");
        }
        for secret in ["http://user:hunter2@a/b", "htp://user:hunter2@a/b", "http://user:hunter2@/b"] {
            let error = secret.parse::<UpstreamUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
