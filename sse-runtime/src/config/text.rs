//! How single values are written: in flags, in the environment, in the file.
//!
//! One function reads each kind of value and one prints it, whatever the source, so a value is accepted everywhere or nowhere
//! and its error reads the same.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserializer;
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};

use crate::error::BadValue;

/// An address and a port. `localhost` stands for 127.0.0.1.
pub(super) fn address(text: &str) -> Result<SocketAddr, BadValue> {
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| {
        BadValue::new(format!(
            "{text:?} is not an address to listen on; write ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080"
        ))
    })
}

/// A whole number; `_` may part its digits.
pub(super) fn count(text: &str) -> Result<usize, BadValue> {
    let digits = text.replace('_', "");
    match digits.parse() {
        Ok(count) if !text.starts_with(['_', '+']) => Ok(count),
        _ => Err(BadValue::new(format!("{text:?} is not a whole number; write one such as 1000"))),
    }
}

/// A number of bytes: `65536`, `64KiB`, `1MB`, `64 MiB`.
pub(super) fn size(text: &str) -> Result<usize, BadValue> {
    let bad = || BadValue::new(format!("{text:?} is not a size; write a whole number and B, KiB, MiB or GiB, such as 64KiB"));
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(bad()),
    };
    count(number).ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)
}

/// Prints `bytes` with the largest unit that keeps it whole.
pub(super) fn print_size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(factor, _)| bytes != 0 && bytes.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// A length of time with its unit: `250ms`, `15s`, `1h 30m`. Whole milliseconds, at most a year.
pub(super) fn duration(text: &str) -> Result<Duration, BadValue> {
    let bad = |why: &str| {
        Err(BadValue::new(format!(
            "{text:?} is not a duration{why}; write a number and its unit, such as 250ms, 15s, 4m or 1h"
        )))
    };
    match humantime::parse_duration(text) {
        Ok(duration) if duration.subsec_nanos() % 1_000_000 != 0 => bad(" of whole milliseconds"),
        Ok(duration) if duration > YEAR => bad(" of at most a year"),
        Ok(duration) => Ok(duration),
        Err(_) => bad(""),
    }
}

/// Prints `duration` as [`duration`] reads it.
pub(super) fn print_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A length of time, or `None` for `off`, zero and negative numbers.
pub(super) fn duration_or_off(text: &str) -> Result<Option<Duration>, BadValue> {
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if text == "off" || text.strip_prefix('-').is_some_and(is_number) {
        return Ok(None);
    }
    Ok(Some(duration(text)?).filter(|duration| !duration.is_zero()))
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, BadValue> {
    text.parse().map_err(|_| BadValue::new(format!("{text:?} is neither true nor false")))
}

/// Values parted by commas; `none` is the empty list.
pub(super) fn list(text: &str) -> Vec<&str> {
    if text == "none" { Vec::new() } else { text.split(',').map(str::trim).collect() }
}

/// One of a few words, as the file writes them.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, BadValue> {
    let deserializer: de::value::StrDeserializer<'_, de::value::Error> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| BadValue::new(error.to_string()))
}

/// [`word`], in the file: a word of another kind is one that is not known.
pub(super) fn as_word<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Written(word))
}

/// Gives a reader and a printer the shape that serde's `with` expects.
macro_rules! with {
    ($name:ident, $type:ty, $read:expr, $print:expr) => {
        pub(super) mod $name {
            use super::*;

            pub(crate) fn serialize<S: serde::Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(&$print(value), serializer)
            }

            pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                deserializer.deserialize_any(Written($read))
            }
        }
    };
}

with!(as_address, SocketAddr, address, |value: &SocketAddr| value.to_string());
with!(as_count, usize, count, |value: &usize| *value);
with!(as_size, usize, size, |value: &usize| print_size(*value));
with!(as_duration, Duration, duration, |value: &Duration| { print_duration(*value) });
with!(as_duration_or_off, Option<Duration>, duration_or_off, |value: &Option<Duration>| {
    value.map_or_else(|| "off".to_owned(), print_duration)
});

/// Reads a string or a number of the file as if it had been written in a flag.
struct Written<T>(fn(&str) -> Result<T, BadValue>);

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.0(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, millis: Option<u64>| {
            let found = duration(text);
            assert_eq!(found.clone().ok(), millis.map(Duration::from_millis), "{text:?}: {found:?}");
            if let Ok(found) = found {
                assert_eq!(duration(&print_duration(found)), Ok(found), "{text:?} printed and read again");
            }
        };
        check("250ms", Some(250));
        check("15s", Some(15_000));
        check("4m", Some(240_000));
        check("1h", Some(3_600_000));
        check("1h 30m", Some(5_400_000));
        check("1s 5ms", Some(1_005));
        check("1.5s", Some(1_500));
        check("0s", Some(0));
        for bad in ["", "15", "s", "15 parsecs", "-1s", "0.0001s", "1us", "2 years", "999999999999999999999s"] {
            check(bad, None);
        }
    }

    #[test]
    fn a_heartbeat_can_be_off() {
        for off in ["off", "0", "0s", "-1", "-15s"] {
            assert_eq!(duration_or_off(off), Ok(None), "{off}");
        }
        assert_eq!(duration_or_off("15s"), Ok(Some(Duration::from_secs(15))));
        assert!(duration_or_off("-").is_err() && duration_or_off("15").is_err());
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: Option<usize>| {
            let found = size(text);
            assert_eq!(found.clone().ok(), bytes, "{text:?}: {found:?}");
            if let Ok(found) = found {
                assert_eq!(size(&print_size(found)), Ok(found), "{text:?} printed and read again");
            }
        };
        check("0", Some(0));
        check("65536", Some(65_536));
        check("64KiB", Some(65_536));
        check("64 mib", Some(64 << 20));
        check("1GiB", Some(1 << 30));
        check("1MB", Some(1_000_000));
        check("1_500B", Some(1_500));
        for bad in ["", "KiB", "-1", "1.5MiB", "1TiB", "1K", "99999999999999999999", "99999999999GiB"] {
            check(bad, None);
        }
    }

    #[test]
    fn addresses_and_counts() {
        assert_eq!(address("localhost:0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(address("[::1]:8080").unwrap().to_string(), "[::1]:8080");
        for bad in ["", "8080", ":8080", "127.0.0.1", "localhost", "localhost:99999", "hub.example:80"] {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert_eq!(count("100_000"), Ok(100_000));
        for bad in ["", "-1", "+1", "_1", "1e3", "1.0", "many"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }
}
