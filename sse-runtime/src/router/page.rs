//! The page at `/`, on which a person sees the hub work.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::config::Prefix;

const INDEX: &str = include_str!("../web/index.html");
const SCRIPT: &str = include_str!("../web/app.js");
const STYLE: &str = include_str!("../web/style.css");

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its two files.
pub(super) fn routes(prefix: &Prefix) -> Router {
    // A prefix holds nothing that HTML would take for markup.
    let index = INDEX.replace("{{prefix}}", prefix.as_str());
    Router::new()
        .route("/", get(move || async move { file("text/html; charset=utf-8", index.clone()) }))
        .route("/app.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT.to_owned()) }))
        .route("/style.css", get(|| async { file("text/css; charset=utf-8", STYLE.to_owned()) }))
}

fn file(content_type: &'static str, content: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, content).into_response()
}
