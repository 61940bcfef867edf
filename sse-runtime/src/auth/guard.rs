//! The guards before the routes, and the CORS headers behind them.
//!
//! Pure decisions over a request's URI and headers, and one middleware that applies them to an axum router. A driver that
//! answers requests without axum calls [`Guard::check`] and [`Guard::decorate`] itself.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::token::bearer;
use super::{Fields, HostName, Origins, Token, host, text};
use crate::error::ApiError;
use crate::metrics::{Metrics, Refusal};

/// What a route lets its caller do, which decides the guards before it.
///
/// | | host guard | site guard | token | CORS |
/// |---|---|---|---|---|
/// | `Page` | yes | | | |
/// | `Stream` | yes | unless `*` is configured | | `*` when configured, else the listed origins |
/// | `Command` | yes | yes | | the listed origins |
/// | `Privileged` | yes | yes | yes | the listed origins |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads what is no secret: the page, its scripts, metrics.
    Page,
    /// Opens an event stream.
    Stream,
    /// Changes state of the client that is named by its id.
    Command,
    /// Publishes, lists or clears: needs the token when one is configured.
    Privileged,
}

/// The guards of one hub. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    token: Option<Token>,
    origins: Origins,
    allowed_hosts: Vec<HostName>,
    check_host: bool,
    /// Hosts of ours as most write them, so that they need not be taken apart.
    usual_hosts: Vec<String>,
    metrics: Option<Arc<Metrics>>,
}

impl Guard {
    /// Guards for a hub that listens on `listen`.
    ///
    /// The host guard stands on a loopback listener, and on any other when `allowed_hosts` is not empty.
    pub fn new(
        listen: SocketAddr,
        token: Option<Token>,
        origins: Origins,
        allowed_hosts: Vec<HostName>,
        metrics: Option<Arc<Metrics>>,
    ) -> Self {
        let is_loopback = host::is_loopback(listen.ip());
        let check_host = is_loopback || !allowed_hosts.is_empty();
        let mut usual_hosts: Vec<String> = allowed_hosts.iter().map(ToString::to_string).collect();
        if is_loopback {
            usual_hosts.extend([listen.to_string(), format!("localhost:{}", listen.port())]);
        }
        Self(Arc::new(Rules { token, origins, allowed_hosts, check_host, usual_hosts, metrics }))
    }

    /// Puts the guards and the CORS headers for `access` before every route that `router` has now.
    ///
    /// `OPTIONS` is answered here, with 204, for each of them. Refusals carry the CORS headers too, so that an allowed page
    /// can read why. `router` must have a route.
    pub fn protect<S>(&self, access: Access, router: Router<S>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        router.route_layer(from_fn_with_state((self.clone(), access), apply))
    }

    /// Whether the request with this `uri` and these `headers` may pass.
    ///
    /// # Errors
    ///
    /// 401 without the token, 403 for another site's page or a foreign `Host`.
    pub fn check(&self, access: Access, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some((refusal, error)) = self.refusal(access, authority(uri), headers) else {
            return Ok(());
        };
        if let Some(metrics) = &self.0.metrics {
            metrics.refused.of(refusal).inc();
        }
        Err(error)
    }

    /// Whether [`check`](Self::check) would let a request pass whose target names no authority; nothing is counted.
    pub(crate) fn admits(&self, access: Access, headers: &impl Fields) -> bool {
        self.refusal(access, None, headers).is_none()
    }

    fn refusal(&self, access: Access, authority: Option<&str>, headers: &impl Fields) -> Option<(Refusal, ApiError)> {
        let presented = bearer(headers);
        let has_token = match (&self.0.token, presented) {
            (Some(token), Some(presented)) => token.matches(presented),
            _ => false,
        };
        if has_token {
            None
        } else if self.0.check_host && !self.is_host_ours(authority, headers) {
            Some((Refusal::Host, foreign_host()))
        } else if self.is_site_guarded(access) && !self.is_site_ours(authority, headers) {
            Some((Refusal::CrossSite, cross_site()))
        } else if access == Access::Privileged && self.0.token.is_some() {
            Some((Refusal::Token, if presented.is_some() { wrong_token() } else { no_token() }))
        } else {
            None
        }
    }

    /// Whether the request comes from a page of this origin or of an allowed one, from no page at all, or with the token.
    pub fn is_ours(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        self.is_from_us(authority(uri), headers)
    }

    /// [`is_ours`](Self::is_ours), of the authority in a request's target.
    pub(crate) fn is_from_us(&self, authority: Option<&str>, headers: &impl Fields) -> bool {
        let has_token = self.0.token.as_ref().zip(bearer(headers)).is_some_and(|(token, presented)| token.matches(presented));
        has_token || self.is_site_ours(authority, headers)
    }

    /// Adds to `response` the CORS headers that the request with the headers `request` is due.
    pub fn decorate(&self, access: Access, request: &HeaderMap, response: &mut HeaderMap) {
        self.add_cors(access, request, response);
    }

    /// [`decorate`](Self::decorate), however the request was read.
    pub(crate) fn add_cors(&self, access: Access, request: &impl Fields, response: &mut HeaderMap) {
        for (name, value) in self.cors(access, request).into_iter().flatten() {
            let Ok(value) = HeaderValue::from_bytes(value) else {
                continue;
            };
            if name == header::VARY {
                response.append(name, value);
            } else {
                response.insert(name, value);
            }
        }
    }

    /// What [`add_cors`](Self::add_cors) adds.
    pub(crate) fn cors<'a>(&self, access: Access, request: &'a impl Fields) -> [Option<(HeaderName, &'a [u8])>; 3] {
        if access == Access::Page {
            return [None, None, None];
        }
        if access == Access::Stream && self.0.origins.has_any() {
            return [Some((header::ACCESS_CONTROL_ALLOW_ORIGIN, b"*")), None, None];
        }
        let listed = |origin: &&[u8]| text(origin).is_some_and(|origin| self.0.origins.lists(origin));
        let allowed = request.value("origin").filter(listed);
        [
            Some((header::VARY, b"origin")),
            allowed.map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)),
            allowed.map(|_| (header::ACCESS_CONTROL_EXPOSE_HEADERS, &b"retry-after"[..])),
        ]
    }

    /// The answer to `OPTIONS`: 204, with what the hub allows and, to an allowed origin, leave to go on.
    ///
    /// A page of another origin is told nothing that lets its browser go on.
    pub fn preflight(&self, access: Access, request: &HeaderMap) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
        self.decorate(access, request, headers);
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
            headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
            if let Some(wanted) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
        }
        response
    }

    fn is_site_guarded(&self, access: Access) -> bool {
        match access {
            Access::Page => false,
            Access::Stream => !self.0.origins.has_any(),
            Access::Command | Access::Privileged => true,
        }
    }

    /// No browser leaves `Host` out, so a request without one is no page's doing.
    fn is_host_ours(&self, authority: Option<&str>, headers: &impl Fields) -> bool {
        let is_usual = |host: &&[u8]| self.0.usual_hosts.iter().any(|usual| usual.as_bytes() == *host);
        let hosts = headers.values("host").filter(|host| !is_usual(host)).map(text);
        authority.map(Some).into_iter().chain(hosts).all(|host| {
            let Some(host) = host.and_then(host::of_authority) else {
                return false;
            };
            host::is_this_machine(&host) || self.0.allowed_hosts.iter().any(|allowed| allowed.as_str() == host)
        })
    }

    /// A listed origin is ours. Else `Sec-Fetch-Site` decides where the browser sends it: the same origin, or `none` for what
    /// the person typed. `same-site` is not enough: another port of localhost and another customer's subdomain are the same
    /// site. Where it is not sent (old browsers, plain HTTP beyond loopback) `Origin` must name the host that was asked.
    /// What sends neither is no page that a browser guards.
    fn is_site_ours(&self, authority: Option<&str>, headers: &impl Fields) -> bool {
        let origin = headers.value("origin").map(|origin| text(origin).unwrap_or("null"));
        if origin.is_some_and(|origin| self.0.origins.lists(origin)) {
            return true;
        }
        match (headers.value("sec-fetch-site"), origin) {
            (Some(site), _) => site == b"same-origin" || site == b"none",
            (None, Some(origin)) => {
                let asked = authority.or_else(|| headers.value("host").and_then(text));
                match (origin.split_once("://"), asked) {
                    (Some((_, from)), Some(asked)) => from.eq_ignore_ascii_case(asked),
                    _ => false,
                }
            }
            (None, None) => true,
        }
    }
}

fn authority(uri: &Uri) -> Option<&str> {
    uri.authority().map(Authority::as_str)
}

async fn apply(State((guard, access)): State<(Guard, Access)>, request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return guard.preflight(access, request.headers());
    }
    let mut asked = HeaderMap::new();
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        asked.insert(header::ORIGIN, origin.clone());
    }
    let mut response = match guard.check(access, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    guard.decorate(access, &asked, response.headers_mut());
    response
}

fn foreign_host() -> ApiError {
    ApiError::forbidden("this hub does not answer to that Host; ask for localhost, or name the host in allowed_hosts")
        .field("Host")
}

fn cross_site() -> ApiError {
    ApiError::forbidden("a page of another origin may not do this; name its origin in cors_origins, or send the token")
        .field("Origin")
}

fn no_token() -> ApiError {
    ApiError::token_missing("this needs the hub's token; send it as Authorization: Bearer TOKEN").field("Authorization")
}

fn wrong_token() -> ApiError {
    ApiError::token_wrong("that is not the hub's token; see SSE_HUB_TOKEN or token_file").field("Authorization")
}

const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
/// How long a browser may remember a preflight: long enough to save requests, short enough to follow a changed configuration.
const PREFLIGHT_SECONDS: &str = "600";

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::{any, get, put};
    use tower::ServiceExt as _;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";
    const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");
    const APP: (&str, &str) = ("origin", "https://app.example");
    const EVIL: (&str, &str) = ("origin", "https://evil.example");
    const CROSS: (&str, &str) = ("sec-fetch-site", "cross-site");

    fn guard(listen: &str, token: bool, origins: &[&str], hosts: &[&str]) -> Guard {
        Guard::new(
            listen.parse().unwrap(),
            token.then(|| Token::new(TOKEN).unwrap()),
            Origins::new(origins.iter().copied()).unwrap(),
            hosts.iter().map(|host| host.parse().unwrap()).collect(),
            None,
        )
    }

    fn local() -> Guard {
        guard("127.0.0.1:8080", true, &["*", "https://app.example"], &[])
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn status(guard: &Guard, access: Access, pairs: &[(&str, &str)]) -> u16 {
        let (uri, headers) = (Uri::from_static("/sse/x"), headers(pairs));
        let result = guard.check(access, &uri, &headers);
        // However it was read, it is the same request.
        let fields: Vec<_> = pairs.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let fields = &&fields[..];
        assert_eq!(guard.admits(access, fields), result.is_ok(), "{pairs:?}");
        assert_eq!(guard.is_from_us(None, fields), guard.is_ours(&uri, &headers), "{pairs:?}");
        assert_eq!(guard.cors(access, fields), guard.cors(access, &headers), "{pairs:?}");
        result.map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    #[test]
    fn each_access_has_its_guards() {
        let check = |pairs: &[(&str, &str)], page: u16, stream: u16, command: u16, privileged: u16| {
            let all = [Access::Page, Access::Stream, Access::Command, Access::Privileged];
            let found = all.map(|access| status(&local(), access, pairs));
            assert_eq!(found, [page, stream, command, privileged], "{pairs:?}");
        };
        // Not a browser.
        check(&[], 200, 200, 200, 401);
        check(&[("host", "localhost:8080")], 200, 200, 200, 401);
        check(&[BEARER], 200, 200, 200, 200);
        check(&[("authorization", "Bearer wrong-wrong-wrong")], 200, 200, 200, 401);
        // A stranger's page.
        check(&[EVIL], 200, 200, 403, 403);
        check(&[CROSS], 200, 200, 403, 403);
        check(&[CROSS, EVIL], 200, 200, 403, 403);
        check(&[("origin", "null")], 200, 200, 403, 403);
        check(&[("sec-fetch-site", "same-site")], 200, 200, 403, 403);
        check(&[("sec-fetch-site", "whatever")], 200, 200, 403, 403);
        check(&[EVIL, BEARER], 200, 200, 200, 200);
        // A listed page.
        check(&[APP], 200, 200, 200, 401);
        check(&[CROSS, APP], 200, 200, 200, 401);
        check(&[CROSS, APP, BEARER], 200, 200, 200, 200);
        check(&[CROSS, ("origin", "https://app.example:444")], 200, 200, 403, 403);
        // The person, and the hub's own page.
        check(&[("sec-fetch-site", "none")], 200, 200, 200, 401);
        check(&[("sec-fetch-site", "same-origin"), ("origin", "https://hub")], 200, 200, 200, 401);
        check(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], 200, 200, 200, 401);
        check(&[("host", "localhost:8080"), ("origin", "http://localhost:3000")], 200, 200, 403, 403);
        // DNS rebinding.
        check(&[("host", "evil.example")], 403, 403, 403, 403);
        check(&[("host", "evil.example"), ("sec-fetch-site", "same-origin")], 403, 403, 403, 403);
        check(&[("host", "evil.example"), APP], 403, 403, 403, 403);
        check(&[("host", "evil.example"), BEARER], 200, 200, 200, 200);
        check(&[("host", "localhost"), ("host", "evil.example")], 403, 403, 403, 403);
        check(&[("host", "localhost:8080"), ("host", "evil.example")], 403, 403, 403, 403);
        check(&[("host", "")], 403, 403, 403, 403);
    }

    #[test]
    fn a_host_in_the_uri_counts_too() {
        let check = |uri: &'static str, host: &str| {
            local().check(Access::Page, &Uri::from_static(uri), &headers(&[("host", host)])).is_ok()
        };
        assert!(check("http://localhost:8080/x", "localhost:8080"));
        assert!(!check("http://evil.example/x", "localhost:8080"));
        assert!(!check("http://localhost:8080/x", "evil.example"));
    }

    #[test]
    fn hosts_are_checked_beyond_loopback_when_some_are_named() {
        let check = |guard: &Guard, host: &str| status(guard, Access::Page, &[("host", host)]);
        let open = guard("0.0.0.0:80", true, &["*"], &[]);
        assert_eq!(check(&open, "anything.example"), 200);
        let named = guard("0.0.0.0:80", true, &["*"], &["hub.example", "::1"]);
        assert_eq!(check(&named, "hub.example"), 200);
        assert_eq!(check(&named, "HUB.example:8080"), 200);
        assert_eq!(check(&named, "localhost"), 200);
        assert_eq!(check(&named, "other.example"), 403);
    }

    #[test]
    fn without_a_token_privileged_routes_are_guarded_by_site_only() {
        let guard = guard("[::1]:80", false, &["*"], &[]);
        assert_eq!(status(&guard, Access::Privileged, &[]), 200);
        assert_eq!(status(&guard, Access::Privileged, &[CROSS]), 403);
        assert_eq!(status(&guard, Access::Privileged, &[CROSS, BEARER]), 403);
    }

    #[test]
    fn without_a_star_streams_are_guarded_by_site() {
        let guard = guard("127.0.0.1:80", false, &["https://app.example"], &[]);
        assert_eq!(status(&guard, Access::Stream, &[CROSS, EVIL]), 403);
        assert_eq!(status(&guard, Access::Stream, &[CROSS, APP]), 200);
    }

    #[test]
    fn refusals_are_counted() {
        let metrics = Arc::new(Metrics::new());
        let listen = "127.0.0.1:80".parse().unwrap();
        let guard = Guard::new(listen, Token::new(TOKEN).ok(), Origins::any(), Vec::new(), Some(metrics.clone()));
        for pairs in [[("host", "evil.example")], [CROSS], [("accept", "*/*")]] {
            status(&guard, Access::Privileged, &pairs);
        }
        for refusal in [Refusal::Host, Refusal::CrossSite, Refusal::Token] {
            assert_eq!(metrics.refused.of(refusal).get(), 1, "{refusal:?}");
        }
    }

    async fn answer(guard: &Guard, method: &str, path: &str, pairs: &[(&str, &str)]) -> Response {
        let streams = Router::new().route("/events", get(|| async { "stream" }));
        let commands = Router::new().route("/listen/{id}", put(|| async { "ok" })).route("/any", any(|| async { "ok" }));
        let privileged = Router::new().route("/publish", get(|| async { "ok" }));
        let router = guard
            .protect(Access::Stream, streams)
            .merge(guard.protect(Access::Command, commands))
            .merge(guard.protect(Access::Privileged, privileged))
            .merge(guard.protect(Access::Page, Router::new().route("/", get(|| async { "page" }))));
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        *request.headers_mut() = headers(pairs);
        router.oneshot(request).await.unwrap()
    }

    async fn check(method: &str, path: &str, pairs: &[(&str, &str)], status: u16, allow_origin: Option<&str>) {
        let response = answer(&local(), method, path, pairs).await;
        let headers = response.headers();
        assert_eq!(response.status().as_u16(), status, "{method} {path} {pairs:?}");
        let found = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|v| v.to_str().unwrap());
        assert_eq!(found, allow_origin, "{method} {path} {pairs:?}");
        let varies = headers.get_all(header::VARY).iter().any(|vary| vary == "origin");
        assert_eq!(varies, path != "/events" && path != "/", "{method} {path}: vary");
    }

    #[tokio::test]
    async fn m18_cors_opens_streams_to_all_and_commands_to_the_listed() {
        const APP_ORIGIN: Option<&str> = Some("https://app.example");
        check("GET", "/events", &[], 200, Some("*")).await;
        check("GET", "/events", &[EVIL, CROSS], 200, Some("*")).await;
        check("PUT", "/listen/x", &[APP, CROSS], 200, APP_ORIGIN).await;
        check("PUT", "/listen/x", &[EVIL, CROSS], 403, None).await;
        check("PUT", "/listen/x", &[], 200, None).await;
        check("GET", "/publish", &[APP, CROSS, BEARER], 200, APP_ORIGIN).await;
        check("GET", "/", &[APP, CROSS], 200, None).await;
        // Errors can be read by an allowed page too: the guards', the method's.
        check("GET", "/publish", &[APP, CROSS], 401, APP_ORIGIN).await;
        check("POST", "/listen/x", &[APP, CROSS], 405, APP_ORIGIN).await;
        check("GET", "/events", &[("host", "evil.example")], 403, Some("*")).await;
    }

    #[tokio::test]
    async fn m18_options_is_204_for_every_route() {
        let asks = ("access-control-request-headers", "content-type,x-own");
        for path in ["/events", "/listen/x", "/any", "/publish"] {
            let response = answer(&local(), "OPTIONS", path, &[APP, asks, CROSS]).await;
            assert_eq!(response.status(), 204, "{path}");
            let headers = response.headers();
            let allow_origin = if path == "/events" { "*" } else { "https://app.example" };
            assert_eq!(headers["access-control-allow-origin"], allow_origin);
            assert_eq!(headers["access-control-allow-headers"], "content-type,x-own");
            let methods = headers["access-control-allow-methods"].to_str().unwrap();
            for method in ["GET", "POST", "PUT", "DELETE"] {
                assert!(methods.split(", ").any(|m| m == method), "{methods}");
            }
        }
        let response = answer(&local(), "OPTIONS", "/listen/x", &[EVIL, asks]).await;
        assert_eq!(response.status(), 204);
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        assert!(!response.headers().contains_key("access-control-allow-methods"));
        assert_eq!(answer(&local(), "OPTIONS", "/", &[]).await.status(), 204);
        assert_eq!(answer(&local(), "OPTIONS", "/nowhere", &[]).await.status(), 404);
    }
}
