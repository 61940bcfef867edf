//! Publishing over HTTP.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sse_proto::wire;

use super::{Web, answer};
use crate::error::{ApiError, parse_json};
use crate::event::{self, Target};
use crate::hub::{Hub, HubError, Publication, to_its_end};
use crate::metrics::PublishError;

/// One event to publish.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Publishing<'a> {
    to: To,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    retry: Option<u32>,
}

/// Whom it is for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    All,
    Topic(String),
    Client(String),
    Name(String),
    Group(String),
}

/// What the body of one request asks for, checked and encoded.
pub(crate) struct Request {
    pub(crate) batch: Arc<[Publication]>,
    is_array: bool,
}

/// Publishes one event, or an array of them in order. All are checked before the first is published.
pub(super) async fn publish(State(web): State<Web>, body: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
    let hub = web.hub.clone();
    let published = publish_body(&hub, body).await;
    if let Err(error) = &published {
        count_refusal(&hub, error);
    }
    published
}

async fn publish_body(hub: &Hub, body: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
    let request = Request::parse(hub, &body?)?;
    // Only an array has an event before the one whose client is not known.
    if request.is_array {
        for (index, publication) in request.batch.iter().enumerate() {
            if let Some(client) = publication.client()
                && !hub.is_registered(client).await
            {
                return Err(request.blame(index, HubError::UnknownClient));
            }
        }
    }
    let (of_request, batch) = (hub.clone(), request.batch.clone());
    let published = to_its_end(async move { Ok(of_request.publish_batch(batch).await) }).await?;
    let first = published.map_err(|(index, error)| request.blame(index, error))?;
    Ok(answer::json(request.answer(hub, first)))
}

/// Counts a request that published nothing, or not everything.
pub(super) fn count_refusal(hub: &Hub, error: &ApiError) {
    let reason = match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => PublishError::TooLarge,
        StatusCode::NOT_FOUND => PublishError::UnknownTarget,
        status if status.is_server_error() => PublishError::Unavailable,
        _ => PublishError::Malformed,
    };
    hub.metrics().publish_errors.of(reason).inc();
}

impl Request {
    /// Reads and checks a request's body, all of it, as far as can be told without asking the shards.
    pub(super) fn parse(hub: &Hub, body: &[u8]) -> Result<Self, ApiError> {
        let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let prepare = |index: usize, publishing: Publishing<'_>| {
            let at = |field: &str| place(is_array, index, field);
            publishing.prepare(hub).map_err(|error| locate(error, &at))
        };
        let batch: Arc<[Publication]> = if is_array {
            let publications = parse_json::<Vec<Publishing<'_>>>(body)?.into_iter().enumerate();
            publications.map(|(index, publishing)| prepare(index, publishing)).collect::<Result<_, _>>()?
        } else {
            [prepare(0, parse_json(body)?)?].into()
        };
        Ok(Self { batch, is_array })
    }

    /// Whether it must be asked first who is registered: nothing of it may be published then if someone is not.
    pub(super) fn asks_first(&self) -> bool {
        self.is_array && self.batch.iter().any(|publication| publication.client().is_some())
    }

    /// The ids of what was published from number `first` on, as JSON.
    pub(super) fn answer(&self, hub: &Hub, first: u64) -> String {
        let mut json = String::with_capacity(ID_JSON * self.batch.len() + "[]".len());
        if self.is_array {
            json.push('[');
        }
        for (index, publication) in self.batch.iter().enumerate() {
            json.push_str(if index == 0 { "{\"id\":" } else { ",{\"id\":" });
            // Writing to a string does not fail.
            let _ = match publication.own_id() {
                Some(own_id) => write!(json, "{}", Value::from(own_id)),
                None => write!(json, "\"{}\"", hub.event_id(first + index as u64)),
            };
            json.push('}');
        }
        if self.is_array {
            json.push(']');
        }
        json
    }

    /// What to answer when the event at `index` was not published.
    pub(super) fn blame(&self, index: usize, error: HubError) -> ApiError {
        locate(error, &|field| place(self.is_array, index, field))
    }
}

/// About as long as what is answered for one event.
const ID_JSON: usize = 40;

fn place(is_array: bool, index: usize, field: &str) -> String {
    if is_array { format!("[{index}].{field}") } else { field.to_owned() }
}

/// M11 over HTTP: tells all who listen to a key.
pub(super) async fn notify(State(web): State<Web>, key: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Path(key) = key?;
    let id = web.hub.notify_listeners(&key).await?;
    Ok(answer::json(json!({ "id": id.to_string() }).to_string()))
}

impl Publishing<'_> {
    /// Checks it and encodes it.
    fn prepare(self, hub: &Hub) -> Result<Publication, HubError> {
        let data = self.data.map(text_of);
        let fields = event::fields(self.event.as_deref(), self.id.as_deref(), self.retry)?;
        let event = wire::Event { data: data.as_deref(), ..fields };
        let target = match self.to {
            To::All => Target::All,
            To::Topic(topic) => Target::Topic(topic),
            To::Client(id) => Target::client(&id),
            To::Name(name) => Target::UserName(name),
            To::Group(group) => Target::Group(group),
        };
        hub.prepare(target, event)
    }
}

/// The text of a JSON string; what is none, as the publisher wrote it: no key moves, no number changes.
fn text_of(json: &RawValue) -> Cow<'_, str> {
    let json = json.get();
    match json.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) if text.contains('\\') => serde_json::from_str(json).map_or(Cow::Borrowed(json), Cow::Owned),
        Some(text) => Cow::Borrowed(text),
        None => Cow::Borrowed(json),
    }
}

/// Says which field of which publication is to blame.
fn locate(error: HubError, at: &impl Fn(&str) -> String) -> ApiError {
    let field = match &error {
        HubError::Name { what, .. } | HubError::TooLong { what, .. } if *what != "id" => Some(at(&format!("to.{what}"))),
        HubError::UnknownClient => Some(at("to.client")),
        _ => None,
    };
    let error = ApiError::from(error);
    let field = field.or_else(|| error.field_name().map(at));
    match field {
        Some(field) => error.field(field),
        None => error,
    }
}

/// Tells `"data": null` from no data.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
