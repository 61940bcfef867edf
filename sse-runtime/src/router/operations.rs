//! What operators and their machines ask.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::hub::Hub;
use crate::metrics::Metrics;

/// The process runs.
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// The hub takes registrations.
pub(super) async fn readyz(State(hub): State<Hub>) -> Response {
    if hub.is_open() { "ready".into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, "shutting down").into_response() }
}

pub(super) async fn metrics(State(hub): State<Hub>) -> Response {
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], hub.render_metrics()).into_response()
}
