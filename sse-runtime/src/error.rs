//! What goes wrong at the edges, in words that a person can act on.
//!
//! [`ApiError`] is the answer to a request that cannot be served; [`BadValue`] says why a written value cannot be used.
//! Neither ever holds a secret: both end up in front of strangers or in a log.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A request's failure: a status and the JSON body `{"error": "…", "field": "…"}`.
///
/// The message says what was wrong and what to do. `field` names the JSON path or parameter to blame, when one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
}

impl ApiError {
    /// A failure with any `status`.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), field: None, retry_after: None, challenge: None }
    }

    /// 400: the request cannot be understood.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: no token came with the request. The answer carries a `WWW-Authenticate` challenge (RFC 6750, section 3).
    pub fn token_missing(message: impl Into<Cow<'static, str>>) -> Self {
        Self { challenge: Some(r#"Bearer realm="sse-hub""#), ..Self::new(StatusCode::UNAUTHORIZED, message) }
    }

    /// 401: a token came with the request, and it is not the right one.
    pub fn token_wrong(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            challenge: Some(r#"Bearer realm="sse-hub", error="invalid_token""#),
            ..Self::new(StatusCode::UNAUTHORIZED, message)
        }
    }

    /// 403: a cross-site request, or a foreign `Host`.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: no such id, task or route.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409: the request contradicts what is already so.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 413: larger than a limit allows.
    pub fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// 503: full, or shutting down. The answer carries `Retry-After` in whole seconds, rounded up, at least one.
    pub fn unavailable(message: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// Names the JSON path or parameter to blame.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What was wrong and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The JSON path or parameter to blame, when one is.
    pub fn field_name(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ApiError {}

impl ApiError {
    /// The answer, for who writes it without axum.
    pub(crate) fn response(&self) -> Response<Bytes> {
        let body = Body { error: &self.message, field: self.field.as_deref() };
        let mut response = Response::new(Bytes::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1000).clamp(1, u128::from(u32::MAX));
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        self.response().map(axum::body::Body::from)
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::too_large("the request body is larger than http.max_body allows; send less at once")
            }
            status => Self::new(status, rejection.body_text()),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

/// Reads `body` as JSON, one value and nothing after it.
///
/// # Errors
///
/// 400 that names the path of the value to blame (`to.topic`, `[2].data`), or the line and column where `body` is not JSON.
pub fn parse_json<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ApiError> {
    // Keeping track of the path costs as much as parsing, and only errors need it.
    serde_json::from_slice(body).or_else(|_| parse_json_with_path(body))
}

#[cold]
fn parse_json_with_path<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        // Of some values of a wrong kind it is said that there is none.
        if !inner.is_data() && serde_json::from_slice::<&RawValue>(body).is_err() {
            return ApiError::malformed(format!("the request body is not JSON: {inner}"));
        }
        let message = if inner.is_data() { inner.to_string() } else { format!("this cannot stand here: {inner}") };
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let field = match (path.as_str(), missing) {
            (".", None) => "body".to_owned(),
            (".", Some(missing)) => missing.to_owned(),
            (_, None) => path,
            (_, Some(missing)) => format!("{path}.{missing}"),
        };
        ApiError::malformed(message).field(field)
    })?;
    deserializer.end().map_err(|error| ApiError::malformed(format!("there is something after the JSON value: {error}")))?;
    Ok(value)
}

/// Why a value that a person wrote cannot be used, and what to write instead. One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue(Cow<'static, str>);

impl BadValue {
    /// An error that says `problem`.
    pub fn new(problem: impl Into<Cow<'static, str>>) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for BadValue {}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde::Deserialize;

    use super::*;

    async fn check(error: ApiError, status: u16, headers: &[(&str, &str)], body: &str) {
        let response = error.into_response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["content-type"], "application/json");
        for (name, value) in headers {
            assert_eq!(response.headers()[*name], value);
        }
        let bytes = to_bytes(response.into_body(), 4096).await.unwrap();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), body);
    }

    #[tokio::test]
    async fn answers_are_json_with_the_field_to_blame() {
        check(ApiError::malformed("no \"to\""), 400, &[], r#"{"error":"no \"to\""}"#).await;
        let error = ApiError::not_found("no such task").field("task");
        check(error, 404, &[], r#"{"error":"no such task","field":"task"}"#).await;
        check(ApiError::conflict("x"), 409, &[], r#"{"error":"x"}"#).await;
        check(ApiError::too_large("x"), 413, &[], r#"{"error":"x"}"#).await;
        check(ApiError::forbidden("x"), 403, &[], r#"{"error":"x"}"#).await;
    }

    #[tokio::test]
    async fn unavailable_rounds_up_to_whole_seconds() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (90_000, "90")] {
            let error = ApiError::unavailable("full", Duration::from_millis(millis));
            check(error, 503, &[("retry-after", seconds)], r#"{"error":"full"}"#).await;
        }
    }

    #[tokio::test]
    async fn a_challenge_tells_missing_from_wrong() {
        let missing = [("www-authenticate", r#"Bearer realm="sse-hub""#)];
        check(ApiError::token_missing("x"), 401, &missing, r#"{"error":"x"}"#).await;
        let wrong = [("www-authenticate", r#"Bearer realm="sse-hub", error="invalid_token""#)];
        check(ApiError::token_wrong("x"), 401, &wrong, r#"{"error":"x"}"#).await;
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Publish {
        #[expect(dead_code, reason = "only its type matters")]
        retry: Option<u64>,
    }

    #[test]
    fn json_errors_name_the_path() {
        let check = |body: &str, field: Option<&str>, says: &str| {
            let error = parse_json::<Vec<Publish>>(body.as_bytes()).unwrap_err();
            assert_eq!((error.status().as_u16(), error.field_name()), (400, field), "{error}");
            assert!(error.message().contains(says), "{error}");
        };
        check(r#"[{}, {"retry": "x"}]"#, Some("[1].retry"), "invalid type");
        check(r#"[{"retri": 1}]"#, Some("[0].retri"), "unknown field");
        check("[{]", None, "column 3");
        check("", None, "EOF");
        check("[] []", None, "after the JSON value");
        assert_eq!(parse_json::<Vec<Publish>>(b" [{}] \n").unwrap().len(), 1);
    }
}
