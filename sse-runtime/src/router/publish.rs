//! Publishing over HTTP.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::{Web, answer};
use crate::error::{ApiError, parse_json};
use crate::event::{Event, Target};
use crate::hub::{Hub, HubError, Publication, to_its_end};
use crate::metrics::PublishError;

/// One event to publish.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Publishing {
    to: To,
    event: Option<String>,
    #[serde(default, deserialize_with = "given")]
    data: Option<Box<RawValue>>,
    id: Option<String>,
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
    /// The ids that events brought themselves.
    own_ids: Vec<Option<String>>,
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
        let publications = if is_array { parse_json(body)? } else { vec![parse_json::<Publishing>(body)?] };
        let mut own_ids = Vec::with_capacity(publications.len());
        let mut batch = Vec::with_capacity(publications.len());
        for (index, publishing) in publications.into_iter().enumerate() {
            let at = |field: &str| place(is_array, index, field);
            let (target, event) = publishing.into_event().map_err(|error| locate(error, &at))?;
            batch.push(hub.prepare(target, &event).map_err(|error| locate(error, &at))?);
            own_ids.push(event.own_id().map(str::to_owned));
        }
        Ok(Self { batch: batch.into(), own_ids, is_array })
    }

    /// Whether it must be asked first who is registered: nothing of it may be published then if someone is not.
    pub(super) fn asks_first(&self) -> bool {
        self.is_array && self.batch.iter().any(|publication| publication.client().is_some())
    }

    /// The ids of what was published from number `first` on, as JSON.
    pub(super) fn answer(&self, hub: &Hub, first: u64) -> String {
        let ids = self.own_ids.iter().zip(first..).map(|(own_id, sequence)| match own_id {
            Some(own_id) => PublishedId { id: Cow::Borrowed(own_id) },
            None => PublishedId { id: hub.event_id(sequence).to_string().into() },
        });
        let mut ids: Vec<PublishedId<'_>> = ids.collect();
        let json = match ids.pop() {
            Some(id) if !self.is_array => serde_json::to_string(&id),
            last => {
                ids.extend(last);
                serde_json::to_string(&ids)
            }
        };
        // Text always has JSON.
        json.unwrap_or_default()
    }

    /// What to answer when the event at `index` was not published.
    pub(super) fn blame(&self, index: usize, error: HubError) -> ApiError {
        locate(error, &|field| place(self.is_array, index, field))
    }
}

/// What is answered for one event.
#[derive(Serialize)]
struct PublishedId<'a> {
    id: Cow<'a, str>,
}

fn place(is_array: bool, index: usize, field: &str) -> String {
    if is_array { format!("[{index}].{field}") } else { field.to_owned() }
}

/// M11 over HTTP: tells all who listen to a key.
pub(super) async fn notify(State(web): State<Web>, key: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Path(key) = key?;
    let id = web.hub.notify_listeners(&key).await?;
    Ok(answer::json(json!({ "id": id.to_string() }).to_string()))
}

impl Publishing {
    fn into_event(self) -> Result<(Target, Event), HubError> {
        let mut event = match self.data {
            None => Event::default(),
            Some(json) => match serde_json::from_str::<String>(json.get()) {
                Ok(text) => Event::data(text),
                // As the publisher wrote it: no key moves, no number changes.
                Err(_) => Event::data(json.get()),
            },
        };
        if let Some(name) = self.event {
            event = event.event(name)?;
        }
        if let Some(id) = self.id {
            event = event.id(id)?;
        }
        if let Some(retry) = self.retry {
            event = event.retry(retry);
        }
        let target = match self.to {
            To::All => Target::All,
            To::Topic(topic) => Target::Topic(topic),
            To::Client(id) => Target::client(&id),
            To::Name(name) => Target::UserName(name),
            To::Group(group) => Target::Group(group),
        };
        Ok((target, event))
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
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}
