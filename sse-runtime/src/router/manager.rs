//! The routes of system M, as its browser client calls them.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::Version;
use axum::response::Response;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Web, answer};
use crate::auth::Fields;
use crate::error::ApiError;
use crate::hub::{Register, Registrant, StartAt, StreamAbort};

type OnePart = Result<Path<String>, PathRejection>;
type TwoParts = Result<Path<(String, String)>, PathRejection>;

/// M2, M3: an id of one's own.
pub(super) async fn make_id(State(web): State<Web>, name: OnePart) -> Result<Response, ApiError> {
    let Path(name) = name?;
    Ok(answer::text(web.hub.allocate_id(&name).await?))
}

/// M4, M5: the stream of an id, whoever made it up.
pub(super) async fn register_listener(State(web): State<Web>, id: OnePart, request: Request) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let mut register = wish(&id, request.headers(), web.guard.is_ours(request.uri(), request.headers()));
    if let Some(abort) = stream_abort(&request) {
        register = register.abort(abort);
    }
    Ok(answer::stream(web.hub.register(register).await))
}

/// The registration that a request asks for; `is_ours` says that no other site's page does.
pub(super) fn wish(id: &str, headers: &impl Fields, is_ours: bool) -> Register {
    // Nothing is kept of an id that another site's page brings, which has no use for it.
    Register::new(id).manager().start_at(start_at(headers, None)).passing(!is_ours)
}

/// M6: the id is given up.
pub(super) async fn disconnect_registrant(State(web): State<Web>, id: OnePart) -> Result<Response, ApiError> {
    let Path(id) = id?;
    web.hub.unregister(&id, web.end_on_disconnect).await?;
    Ok(answer::ok())
}

/// M10: the id listens to a key.
pub(super) async fn listen(State(web): State<Web>, parts: TwoParts) -> Result<Response, ApiError> {
    let Path((id, key)) = parts?;
    web.hub.listen(&id, &key).await?;
    Ok(answer::ok())
}

/// The id listens to a key no longer.
pub(super) async fn unlisten(State(web): State<Web>, parts: TwoParts) -> Result<Response, ApiError> {
    let Path((id, key)) = parts?;
    web.hub.unlisten(&id, &key).await?;
    Ok(answer::ok())
}

/// M13: who is here, in the order they came.
pub(super) async fn list_registrants(State(web): State<Web>) -> Result<Response, ApiError> {
    let registrants = web.hub.list().await?;
    let json = serde_json::to_string(&Registrants(&registrants));
    Ok(answer::json(json.map_err(|error| ApiError::malformed(error.to_string()))?))
}

/// M14: nobody is here.
pub(super) async fn clear_registrants(State(web): State<Web>) -> Result<Response, ApiError> {
    web.hub.clear(web.end_on_disconnect).await?;
    Ok(answer::ok())
}

/// M15: sweeps now.
pub(super) async fn trigger_cleanup(State(web): State<Web>) -> Result<Response, ApiError> {
    web.hub.sweep().await?;
    Ok(answer::ok())
}

/// M16: one frame to one id.
pub(super) async fn trigger_ad_hoc(State(web): State<Web>, id: OnePart) -> Result<Response, ApiError> {
    let Path(id) = id?;
    web.hub.notify_ad_hoc(&id).await?;
    Ok(answer::ok())
}

/// Where a stream starts: a client that comes back says it in a header, one that comes first can say it in the query.
pub(super) fn start_at(headers: &impl Fields, query: Option<String>) -> StartAt {
    let header = headers.value("last-event-id").map(|value| String::from_utf8_lossy(value).into_owned());
    match header.filter(|id| !id.is_empty()).or(query) {
        None => StartAt::Live,
        Some(earliest) if earliest == "earliest" => StartAt::Earliest,
        Some(id) => StartAt::After(id),
    }
}

/// How the connection under a request can be ended. An HTTP/2 connection carries other streams too, and flow control for each.
pub(super) fn stream_abort(request: &Request) -> Option<StreamAbort> {
    let single = matches!(request.version(), Version::HTTP_10 | Version::HTTP_11);
    request.extensions().get::<StreamAbort>().filter(|_| single).cloned()
}

/// A JSON map from id to keys and time, in order.
struct Registrants<'a>(&'a [Registrant]);

impl Serialize for Registrants<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for registrant in self.0 {
            // Ids hold no slash: the same id in two groups is two keys.
            match &*registrant.client.group {
                "" => map.serialize_entry(&*registrant.client.id, &Row(registrant))?,
                group => map.serialize_entry(&format!("{group}/{}", registrant.client.id), &Row(registrant))?,
            }
        }
        map.end()
    }
}

struct Row<'a>(&'a Registrant);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("listenKeys", &self.0.topics)?;
        map.serialize_entry("registered-ts", &self.0.registered.as_millis())?;
        map.end()
    }
}
