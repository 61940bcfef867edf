//! Who may do what: the token, and the guards against strangers' web pages.
//!
//! The hub's commands change state, some by GET, so a page of any site could have a visitor's browser send them. Three guards
//! stand before the routes, see [`Guard`]:
//!
//! - the **token** guard: privileged routes need `Authorization: Bearer TOKEN` when a token is configured;
//! - the **site** guard: what a browser marks as another origin's request is refused unless that origin is allowed;
//! - the **host** guard: on loopback a foreign `Host` is refused, which is what DNS rebinding looks like.
//!
//! A request with the right token passes all of them: a page that knows the token is no stranger.
//!
//! This module reads no clock and no configuration, and holds no state but what it was built with.

mod guard;
mod host;
mod origin;
mod token;

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderValue};

pub use self::guard::{Access, Guard};
pub use self::host::HostName;
pub use self::origin::{Origin, Origins};
pub use self::token::Token;
use crate::error::BadValue;

/// The header fields of a request, however it was read.
pub(crate) trait Fields {
    /// The values under `name`, which is in lower case, in the order they came.
    fn values(&self, name: &'static str) -> impl Iterator<Item = &[u8]>;

    /// The first of them.
    fn value(&self, name: &'static str) -> Option<&[u8]> {
        self.values(name).next()
    }
}

impl Fields for HeaderMap {
    fn values(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

impl Fields for &[httparse::Header<'_>] {
    fn values(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }
}

/// The value of a field as text, unless there is more in it than visible ASCII.
fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')))
}

/// Checks that a hub on `listen` is not open to the network without a token.
///
/// # Errors
///
/// [`BadValue`] that says how to configure a token, when `listen` is not a loopback address and there is none.
pub fn check_exposure(listen: SocketAddr, token: Option<&Token>) -> Result<(), BadValue> {
    if token.is_some() || host::is_loopback(listen.ip()) {
        return Ok(());
    }
    Err(BadValue::new(format!(
        "{listen} can be reached from other machines, so a token is needed: set SSE_HUB_TOKEN or --token-file PATH \
         (openssl rand -hex 32 makes one), or listen on 127.0.0.1"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_a_token_is_needed() {
        let token = Token::new("0123456789abcdef").unwrap();
        let check = |listen: &str, allowed: bool| {
            let listen = listen.parse().unwrap();
            assert_eq!(check_exposure(listen, None).is_ok(), allowed, "{listen}");
            assert_eq!(check_exposure(listen, Some(&token)), Ok(()));
        };
        check("127.0.0.1:8080", true);
        check("127.9.9.9:0", true);
        check("[::1]:8080", true);
        check("[::ffff:127.0.0.1]:8080", true);
        check("0.0.0.0:8080", false);
        check("[::]:8080", false);
        check("10.0.0.1:8080", false);
        check("[::ffff:10.0.0.1]:8080", false);
    }
}
