//! One HTTP request after another, each on a connection of its own.

use std::fmt::Display;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::TokioExecutor;

use super::resolve::same_origin;

/// What every request of a client has in common.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Where it began: what its credentials are for.
    pub(super) url: Uri,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Makes the connections. No connection is used twice: what a stream leaves behind is not worth keeping.
#[derive(Debug)]
pub(super) struct Transport {
    plain: Client<HttpConnector, Full<Bytes>>,
    /// Made when first needed: it reads the certificates this machine trusts.
    encrypted: Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
}

/// A request under way, or why it cannot be.
pub(super) enum Asking {
    UnderWay(ResponseFuture),
    Failed(Option<String>),
}

impl Transport {
    pub(super) fn new() -> Self {
        Self { plain: builder().build(connector()), encrypted: None }
    }

    /// Reads the certificates, unless that was done.
    pub(super) fn prepare_encryption(&mut self) -> io::Result<&Client<HttpsConnector<HttpConnector>, Full<Bytes>>> {
        if self.encrypted.is_none() {
            let mut tcp = connector();
            tcp.enforce_http(false);
            let tls = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().wrap_connector(tcp);
            self.encrypted = Some(builder().build(tls));
        }
        Ok(self.encrypted.get_or_insert_with(|| unreachable!("made above")))
    }

    /// Asks `url`; `None` when such a request cannot be put into HTTP.
    pub(super) fn ask(&mut self, template: &Template, url: &Uri, as_get: bool, last_event_id: &str) -> Option<Asking> {
        let body = if as_get { Bytes::new() } else { template.body.clone() };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = if as_get { Method::GET } else { template.method.clone() };
        *request.uri_mut() = url.clone();
        *request.headers_mut() = template.headers_for(url, as_get);
        if !last_event_id.is_empty() {
            let value = HeaderValue::from_bytes(last_event_id.as_bytes()).ok()?;
            request.headers_mut().insert(LAST_EVENT_ID, value);
        }
        Some(if url.scheme_str() == Some("https") {
            match self.prepare_encryption() {
                Ok(client) => Asking::UnderWay(client.request(request)),
                Err(error) => Asking::Failed(Some(format!("this machine's certificates cannot be read: {error}"))),
            }
        } else {
            Asking::UnderWay(self.plain.request(request))
        })
    }
}

impl Asking {
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<Incoming>, String>> {
        match self {
            Self::UnderWay(future) => Pin::new(future).poll(context).map_err(|error| innermost(&error)),
            Self::Failed(why) => Poll::Ready(Err(why.take().unwrap_or_default())),
        }
    }
}

impl Template {
    /// Without what is the first origin's alone, and without what describes a body that does not go along.
    fn headers_for(&self, url: &Uri, as_get: bool) -> HeaderMap {
        let mut headers = self.headers.clone();
        if as_get {
            for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_LANGUAGE] {
                headers.remove(name);
            }
        }
        if !same_origin(&self.url, url) {
            let secret: Vec<HeaderName> = headers
                .iter()
                .filter(|(name, value)| value.is_sensitive() || [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name))
                .map(|(name, _)| name.clone())
                .collect();
            for name in secret {
                headers.remove(name);
            }
        }
        headers
    }
}

/// What an error comes down to: the outer layers only say that there is one.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost: &dyn Display = error;
    let mut source = error.source();
    while let Some(error) = source {
        innermost = error;
        source = error.source();
    }
    innermost.to_string()
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(0).http1_max_buf_size(READ_BUFFER).retry_canceled_requests(false);
    builder
}

/// A peer that is gone without a word is found out by the kernel, also where no liveness limit is set.
fn connector() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE / 4));
    tcp
}

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Up to what a connection reads ahead, and the longest response head.
const READ_BUFFER: usize = 64 * 1024;

const KEEPALIVE: Duration = Duration::from_secs(60);
