//! What a host of the engine brings besides its sockets: arguments, a clock, random numbers, and some HTTP.

pub(crate) mod http;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use sse_proto::{Config, Instant};

/// `[ADDRESS [HEARTBEAT]]`: where to listen, by default on any free port of this machine, and the milliseconds between heartbeats.
pub(crate) fn arguments() -> (String, Config) {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let heartbeat = arguments.next().map(|millis| Duration::from_millis(millis.parse().expect("HEARTBEAT is in milliseconds")));
    (address, Config { heartbeat: heartbeat.or(Config::DEFAULT.heartbeat), ..Config::DEFAULT })
}

/// Milliseconds since 1970 by a clock that is not set: what carries a time reads as wall-clock time, and no wait is lengthened by a
/// clock that steps back.
pub(crate) fn now() -> Instant {
    static START: LazyLock<(Duration, std::time::Instant)> =
        LazyLock::new(|| (SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(), std::time::Instant::now()));
    let (since_1970, start) = *START;
    Instant::from_millis((since_1970 + start.elapsed()).as_millis() as u64)
}

/// The standard library keys its hashers at random.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
