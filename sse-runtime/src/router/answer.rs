//! From what the hub says to what HTTP says.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::hub::{EventError, HubError};
use crate::stream::EventStream;

/// After how long to try again when the hub is full or shutting down.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl From<HubError> for ApiError {
    fn from(error: HubError) -> Self {
        let message = error.to_string();
        match error {
            HubError::Closed | HubError::ShuttingDown | HubError::Busy | HubError::Overloaded | HubError::Full(_) => {
                Self::unavailable(message, RETRY_AFTER)
            }
            HubError::Broken | HubError::NoEntropy => Self::new(StatusCode::INTERNAL_SERVER_ERROR, message),
            HubError::UnknownClient | HubError::UnknownStream | HubError::UnknownTask => Self::not_found(message),
            HubError::TaskPending | HubError::TaskEnded => Self::conflict(message),
            HubError::Name { what, .. } => Self::malformed(message).field(what),
            HubError::TooLong { what, .. } => Self::too_large(message).field(what),
            HubError::TooLarge { .. } => Self::too_large(message).field("data"),
            HubError::Event(EventError::Field { field, .. }) => Self::malformed(message).field(field),
            HubError::Event(EventError::Json(_)) => Self::malformed(message).field("data"),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::malformed(format!("the path cannot be read: {}", rejection.body_text()))
    }
}

/// The answer of system M to a command that was carried out.
pub(super) fn ok() -> Response {
    text("ok".to_owned())
}

pub(super) fn text(text: String) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], text).into_response()
}

/// JSON that no cache keeps.
pub(super) fn json(json: String) -> Response {
    (json_headers(), json).into_response()
}

/// What stands in the head of such an answer.
pub(super) fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

/// A stream, or what a stream route says instead: 204 once the hub is closed, which tells a browser to stay away.
pub(super) fn stream(registered: Result<EventStream, HubError>) -> Response {
    match registered {
        Ok(stream) => event_stream(Body::new(stream)),
        Err(HubError::Closed) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// The head of a stream alone: whoever asks for it registers nobody.
pub(super) async fn stream_head() -> Response {
    event_stream(Body::empty())
}

fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    stream_headers(response.headers_mut());
    response
}

/// What stands in the head of every stream.
pub(super) fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Nginx passes the stream on as it comes.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

/// A body that may be left out.
pub(super) fn optional_json<T: serde::de::DeserializeOwned + Default>(body: &Bytes) -> Result<T, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { crate::error::parse_json(body) }
}

pub(super) async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}; the routes are listed in the README", uri.path()))
}

pub(super) fn out_of_time() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "the request took longer than http.request_timeout allows; send its body at once, or try again later",
    )
}

pub(super) async fn no_such_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this route does not take this method; see the Allow header")
}
