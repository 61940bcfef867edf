//! Web origins, as the `Origin` header and the configuration write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::HostName;
use crate::error::BadValue;

/// One web origin, `scheme://host[:port]`, spelled as browsers send it: lower case, no default port, no path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// The origin as browsers send it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || {
            BadValue::new(format!(
                "{text:?} is not an origin; write scheme://host or scheme://host:port without a path, such as \
                 https://app.example.com"
            ))
        };
        let (scheme, authority) = text.split_once("://").ok_or_else(bad)?;
        let scheme = scheme.to_ascii_lowercase();
        let named = scheme.starts_with(|c: char| c.is_ascii_lowercase());
        if !named || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return Err(bad());
        }
        let host = HostName::of_authority(authority).ok_or_else(bad)?;
        let after_host = authority.rfind(']').unwrap_or(0);
        let port = match authority[after_host..].split_once(':') {
            None => None,
            Some((_, port)) => Some(port.parse::<u16>().map_err(|_| bad())?),
        };
        Ok(Self(match (scheme.as_str(), port) {
            (_, None) | ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}://{host}"),
            (_, Some(port)) => format!("{scheme}://{host}:{port}"),
        }))
    }
}

impl TryFrom<String> for Origin {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origins whose pages may use the hub from a browser.
///
/// `*` opens the streams to every origin, and nothing else; a listed origin may use every route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct Origins {
    any: bool,
    listed: Vec<Origin>,
}

impl Origins {
    /// Every origin for streams, none for other routes: the default.
    pub fn any() -> Self {
        Self { any: true, listed: Vec::new() }
    }

    /// No origin but the hub's own.
    pub fn none() -> Self {
        Self { any: false, listed: Vec::new() }
    }

    /// Reads a list of origins, in which `*` stands for every origin's streams.
    ///
    /// # Errors
    ///
    /// [`BadValue`] with the first that is no origin.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, BadValue> {
        let mut all = Self::none();
        for origin in origins {
            if origin == "*" {
                all.any = true;
            } else {
                all.listed.push(origin.parse()?);
            }
        }
        Ok(all)
    }

    /// Whether `*` is among them.
    pub fn has_any(&self) -> bool {
        self.any
    }

    /// Whether the value of an `Origin` header is one of those listed; `*` lists none.
    pub fn lists(&self, origin: &str) -> bool {
        self.listed.iter().any(|listed| listed.as_str() == origin)
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self::any()
    }
}

impl TryFrom<Vec<String>> for Origins {
    type Error = BadValue;

    fn try_from(origins: Vec<String>) -> Result<Self, BadValue> {
        Self::new(origins.iter().map(String::as_str))
    }
}

impl From<Origins> for Vec<String> {
    fn from(origins: Origins) -> Self {
        let any = origins.any.then(|| "*".to_owned());
        any.into_iter().chain(origins.listed.into_iter().map(String::from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_spelled_as_browsers_send_it() {
        let check = |text: &str, origin: &str| assert_eq!(text.parse::<Origin>().unwrap().as_str(), origin);
        check("https://App.Example.com", "https://app.example.com");
        check("HTTPS://app.example.com:443", "https://app.example.com");
        check("http://app.example.com:80", "http://app.example.com");
        check("https://app.example.com:80", "https://app.example.com:80");
        check("http://localhost:3000", "http://localhost:3000");
        check("http://[::1]:3000", "http://[::1]:3000");
        check("http://[::1]", "http://[::1]");
        check("capacitor://localhost", "capacitor://localhost");
        for bad in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "https://a:x",
            "https://a:",
            "https://a:99999",
            "1://a",
            "https://*.a",
            "https://a b",
        ] {
            let error = bad.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains("is not an origin"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_star_lists_nobody() {
        assert!(!Origins::any().lists("https://a"));
        let both = Origins::new(["*", "https://a"]).unwrap();
        assert!(both.has_any() && both.lists("https://a") && !both.lists("https://b") && !both.lists("*"));
        assert_eq!(Vec::from(both), ["*", "https://a"]);
    }
}
