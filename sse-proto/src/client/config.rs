//! What a client does when things go wrong: every choice in one place.

use core::time::Duration;

use crate::wire::Limits;

/// How an [`EventSource`](super::EventSource) behaves. Nothing in it changes after it was made.
///
/// The default is for programs: what may pass by itself is tried again. [`Config::browser`] is the standard to the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The method of the request. Default [`Method::Get`].
    pub method: Method,
    /// How long a line and an event may be. An event over it is reported and passed over.
    pub limits: Limits,
    /// The reconnection time until the stream sets another one. Default 1 s.
    pub retry: Duration,
    /// The shortest time between two attempts, whatever the stream sets: a server that ends every stream at once and says
    /// `retry: 0` would be asked in a loop otherwise. Default 50 ms.
    pub shortest_wait: Duration,
    /// Up to where the reconnection time is doubled, attempt after attempt that fails; one that is longer by itself stays. Default
    /// 30 s.
    pub backoff_ceiling: Duration,
    /// What the server may ask for at most, by `retry` or by `Retry-After`. Default one hour: a slip of the pen at the server is not
    /// the end of the client.
    pub longest_wait: Duration,
    /// By how many per cent a wait is lengthened at most, at random: a thousand clients cut off together do not come back together.
    /// Waits are never shortened, since the server named the time. Default 50.
    pub jitter_percent: u8,
    /// How long an answer may take, from the request to its head; `None` for ever. Default 30 s.
    pub answer_timeout: Option<Duration>,
    /// After how long without a byte, comments included, an open stream counts as dead; `None` never. Default `None`: only who knows
    /// that the server sends heartbeats can tell dead from quiet.
    pub liveness: Option<Duration>,
    /// After how many failed attempts in a row to give up; `None` never. Default `None`.
    pub max_attempts: Option<u32>,
    /// How many redirects in a row are followed. Default 20, as the Fetch standard.
    pub max_redirects: u32,
    /// Whether 429 and 5xx are tried again, not sooner than their `Retry-After`. Default true: it is what a proxy answers while its
    /// server restarts.
    pub retry_statuses: bool,
    /// Whether to connect again when an open stream ends or breaks. Default true; false for one answer that is streamed, such as a
    /// completion: asking again would begin it anew.
    pub reconnect: bool,
}

impl Config {
    /// What a browser does: no answer but 200 is tried again, no time limit, no limit on attempts.
    pub fn browser() -> Self {
        Self { retry: Duration::from_secs(3), answer_timeout: None, retry_statuses: false, ..Self::default() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            method: Method::Get,
            limits: Limits::default(),
            retry: Duration::from_secs(1),
            shortest_wait: Duration::from_millis(50),
            backoff_ceiling: Duration::from_secs(30),
            longest_wait: Duration::from_secs(3600),
            jitter_percent: 50,
            answer_timeout: Some(Duration::from_secs(30)),
            liveness: None,
            max_attempts: None,
            max_redirects: 20,
            retry_statuses: true,
            reconnect: true,
        }
    }
}

/// The method of a request, as far as redirects tell methods apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// GET, without a body.
    #[default]
    Get,
    /// POST. A redirect by 301, 302 or 303 makes it a GET, as in browsers.
    Post,
    /// Any other one the caller knows of. A redirect by 303 makes it a GET.
    Other,
}
