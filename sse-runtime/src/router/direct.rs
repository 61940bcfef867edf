//! The routes that a shard answers itself: streams, and publishing.
//!
//! The same guards and the same words as the [router](super::router), without a task for each request. What is not so plain is
//! left to the router: everything here that returns `None`.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, Response, StatusCode};
use bytes::Bytes;

use super::publish::{Request, Requested, count_refusal};
use super::{RouterOptions, Web, answer, events, manager};
use crate::auth::Access;
use crate::error::ApiError;
use crate::hub::{Answers, Entropy, Hub, HubError, Published, Register};
use crate::shard::{Shard, Socket};

/// The routes that a shard answers itself.
pub(crate) struct Direct {
    web: Web,
    events: String,
    register_listener: String,
    publish: String,
}

/// What a request's head says to a route.
pub(crate) struct RequestParts<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) fields: &'a [httparse::Header<'a>],
}

/// What a request's head asks for.
pub(crate) enum Wish {
    /// A stream.
    Stream(Register),
    /// To publish the body.
    Publish(Heads),
}

/// What stands in the heads of the answers to publications.
pub(crate) struct Heads {
    /// When it was published.
    pub(crate) published: HeaderMap,
    /// When it was not, beside what the refusal brings.
    pub(crate) refused: HeaderMap,
}

/// What came of a body that was to be published.
pub(crate) enum Publishing {
    Answered(Answered),
    /// Other shards are at it; their answer goes to [`Direct::published`].
    Elsewhere(Request),
    /// To be tried again when other shards have taken what waits for them.
    Later,
}

/// The answer to a publication.
pub(crate) enum Answered {
    /// It was published: the ids as JSON.
    Published(String),
    /// It was not, or not all of it.
    Refused(Response<Bytes>),
}

impl Direct {
    pub(crate) fn new(hub: Hub, options: &RouterOptions) -> Self {
        let at = |rest: &str| options.prefix.join(rest);
        Self {
            events: at("events"),
            register_listener: at("register-listener/"),
            publish: at("publish"),
            web: Web { hub, guard: options.guard.clone(), end_on_disconnect: options.end_on_disconnect },
        }
    }

    /// What stands in the head of every stream.
    pub(crate) fn stream_headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        answer::stream_headers(&mut headers);
        headers
    }

    /// What a request asks for, if it may.
    pub(crate) fn wish(&self, request: &RequestParts<'_>, entropy: &mut Entropy) -> Option<Wish> {
        let &RequestParts { method, path, query, ref fields } = request;
        let guard = &self.web.guard;
        if method == "POST" && path == self.publish {
            guard.admits(Access::Privileged, fields).then_some(())?;
            let mut refused = HeaderMap::new();
            guard.add_cors(Access::Privileged, fields, &mut refused);
            let mut published = answer::json_headers();
            published.extend(refused.clone());
            return Some(Wish::Publish(Heads { published, refused }));
        }
        if method != "GET" || !guard.admits(Access::Stream, fields) {
            return None;
        }
        let is_ours = guard.is_from_us(None, fields);
        if path == self.events {
            return events::wish(&self.web, query, fields, is_ours, |bytes| entropy.fill(bytes)).ok().map(Wish::Stream);
        }
        let id = path.strip_prefix(&self.register_listener)?;
        let is_plain = !id.is_empty() && !id.contains(['%', '/']);
        is_plain.then(|| Wish::Stream(manager::wish(id, fields, is_ours)))
    }

    /// What stands in the head of a stream beside [`stream_headers`](Self::stream_headers).
    pub(crate) fn stream_cors<'a>(&self, request: &'a RequestParts<'_>) -> [Option<(HeaderName, &'a [u8])>; 3] {
        self.web.guard.cors(Access::Stream, &request.fields)
    }

    /// Opens a stream on `socket`, or gives it to `refused`, on the thread of any shard.
    pub(crate) fn open(
        &self,
        shard: &mut Shard,
        register: Register,
        socket: Socket,
        refused: impl FnOnce(Socket) + Send + 'static,
    ) {
        self.web.hub.register_socket(shard, register, socket, refused);
    }

    /// Publishes a request's body.
    pub(crate) fn publish(&self, shard: &mut Shard, body: &[u8], answers: &Arc<Answers>, ticket: u64) -> Option<Publishing> {
        let hub = &self.web.hub;
        let requested = Requested::parse(body);
        if let Ok(Requested::One(publishing)) = &requested
            && let Some(answer) = publishing.publish_here(hub, shard)
        {
            return Some(Publishing::Answered(Answered::Published(answer)));
        }
        let request = match requested.and_then(|requested| requested.prepare(hub)) {
            Ok(request) => request,
            Err(error) => return Some(Publishing::Answered(Answered::Refused(self.refuse(&error)))),
        };
        if request.asks_first() {
            return None;
        }
        Some(match hub.publish_from(shard, &request.batch, answers, ticket) {
            Ok(Published::Here(first)) => Publishing::Answered(self.published(&request, Ok(first))),
            Ok(Published::Elsewhere) => Publishing::Elsewhere(request),
            Ok(Published::Later) => Publishing::Later,
            Err(error) => Publishing::Answered(self.published(&request, Err(error))),
        })
    }

    /// The answer to a request whose events were published, or not.
    pub(crate) fn published(&self, request: &Request, result: Result<u64, (usize, HubError)>) -> Answered {
        let hub = &self.web.hub;
        match result {
            Ok(first) => {
                hub.count_published(&request.batch);
                Answered::Published(request.answer(hub, first))
            }
            Err((index, error)) => Answered::Refused(self.refuse(&request.blame(index, error))),
        }
    }

    /// The answer to a request whose body does not come.
    pub(crate) fn out_of_time(&self) -> Response<Bytes> {
        answer::out_of_time().response()
    }

    /// The answer when the server cannot take one more request.
    pub(crate) fn overloaded(&self) -> Response<Bytes> {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the hub is overloaded; try again in a moment").response()
    }

    fn refuse(&self, error: &ApiError) -> Response<Bytes> {
        count_refusal(&self.web.hub, error);
        error.response()
    }
}
