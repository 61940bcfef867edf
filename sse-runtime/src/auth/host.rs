//! Host names, as the `Host` header and the configuration write them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::BadValue;

/// A host name or address without a port, in one spelling: lower case, no final dot, IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostName(String);

impl HostName {
    /// The host of `authority`, which may end in a port; `None` when that is no host.
    pub(super) fn of_authority(authority: &str) -> Option<Self> {
        of_authority(authority).map(|host| Self(host.into_owned()))
    }

    /// The name in its one spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bare_v6 = text.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
        let text = bare_v6.as_deref().unwrap_or(text);
        match Self::of_authority(text) {
            Some(host) if text.ends_with(']') || !text.contains(':') => Ok(host),
            _ => Err(BadValue::new(format!("{text:?} is not a host name; write one without port, such as hub.example.com"))),
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The host of `authority` in its one spelling; see [`HostName::of_authority`].
pub(super) fn of_authority(authority: &str) -> Option<Cow<'_, str>> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (Cow::Owned(format!("[{address}]")), rest)
        }
        None => {
            let end = authority.bytes().position(|b| b == b':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at(end);
            let host = host.strip_suffix('.').unwrap_or(host);
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
                return None;
            }
            let has_capitals = host.bytes().any(|b| b.is_ascii_uppercase());
            (if has_capitals { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }, rest)
        }
    };
    let port_follows = match rest.strip_prefix(':') {
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()),
        None => rest.is_empty(),
    };
    port_follows.then_some(host)
}

/// Whether `host`, in its one spelling, is this machine whatever DNS says: `localhost`, a name below it, 127.0.0.0/8 or `[::1]`.
pub(super) fn is_this_machine(host: &str) -> bool {
    if host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse().is_ok_and(|address: Ipv6Addr| is_loopback(address.into())),
        None => host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback()),
    }
}

/// Whether only this machine reaches `address`; an IPv4 address written as IPv6 counts as what it is.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_what_only_looks_like_it() {
        let check = |authority: &str, loopback: Option<bool>| {
            let host = of_authority(authority);
            assert_eq!(host.map(|host| is_this_machine(&host)), loopback, "{authority:?}");
        };
        for authority in [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "app.localhost:3000",
            "127.0.0.1",
            "127.1.2.3:9",
            "[::1]",
            "[::1]:8080",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "localhost:",
        ] {
            check(authority, Some(true));
        }
        for authority in [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "10.0.0.1",
            "[::2]",
            "127.0.0.1.nip.io:8080",
            "2130706433",
            "127.1",
        ] {
            check(authority, Some(false));
        }
        for authority in [
            "",
            ":80",
            ".",
            "a@localhost",
            "localhost:80:80",
            "localhost:x",
            "[::1",
            "[::1]x",
            "[localhost]",
            "local host",
            "localhost/x",
            "löcalhost",
            "::1",
        ] {
            check(authority, None);
        }
    }

    #[test]
    fn configured_hosts_have_one_spelling() {
        let check = |text: &str, host: &str| assert_eq!(text.parse::<HostName>().unwrap().as_str(), host);
        check("Hub.Example.COM.", "hub.example.com");
        check("::1", "[::1]");
        check("[FE80::1]", "[fe80::1]");
        for bad in ["", "hub:8080", "[::1]:80", "*.example.com", "http://hub", "a b"] {
            let error = bad.parse::<HostName>().unwrap_err().to_string();
            assert!(error.contains("is not a host name"), "{error}");
        }
    }
}
