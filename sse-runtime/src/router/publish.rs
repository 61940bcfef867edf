//! Publishing over HTTP.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Web, answer};
use crate::error::{ApiError, parse_json};
use crate::event::{Event, Target};
use crate::hub::{Hub, HubError, to_its_end};
use crate::metrics::PublishError;

/// One event to publish.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
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

/// Publishes one event, or an array of them in order. All are checked before the first is published.
pub(super) async fn publish(State(web): State<Web>, body: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
    let hub = web.hub.clone();
    let published = publish_body(web, body).await;
    if let Err(error) = &published {
        hub.metrics().publish_errors.of(refusal(error.status())).inc();
    }
    published
}

/// What kind of refusal a status stands for.
fn refusal(status: StatusCode) -> PublishError {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => PublishError::TooLarge,
        StatusCode::NOT_FOUND => PublishError::UnknownTarget,
        status if status.is_server_error() => PublishError::Unavailable,
        _ => PublishError::Malformed,
    }
}

async fn publish_body(web: Web, body: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
    let body = body?;
    let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let publications = if is_array { parse_json(&body)? } else { vec![parse_json::<Publication>(&body)?] };
    let mut events = Vec::with_capacity(publications.len());
    let at = |index: usize, field: &str| {
        if is_array { format!("[{index}].{field}") } else { field.to_owned() }
    };
    for (index, publication) in publications.into_iter().enumerate() {
        let at = |field: &str| at(index, field);
        let (target, event) = publication.into_event().map_err(|error| locate(error, &at))?;
        web.hub.check_event(&target, &event).map_err(|error| locate(error, &at))?;
        // Only an array has an event before this one.
        if let Target::Client(client) = &target
            && is_array
            && !web.hub.is_registered(client).await
        {
            return Err(locate(HubError::UnknownClient, &at));
        }
        events.push((target, event));
    }
    let published = to_its_end(publish_all(web.hub, events)).await?;
    let mut ids = published.map_err(|(index, error)| locate(error, &|field| at(index, field)))?;
    let answer = if is_array { Value::Array(ids) } else { ids.pop().unwrap_or_default() };
    Ok(answer::json(answer.to_string()))
}

/// Publishes one after the other; an error comes with the index of the event it concerns.
async fn publish_all(hub: Hub, events: Vec<(Target, Event)>) -> Result<Result<Vec<Value>, (usize, HubError)>, HubError> {
    let mut ids = Vec::with_capacity(events.len());
    for (index, (target, event)) in events.into_iter().enumerate() {
        let own_id = event.own_id().map(str::to_owned);
        match hub.publish(target, event).await {
            Ok(id) => ids.push(json!({ "id": own_id.unwrap_or_else(|| id.to_string()) })),
            Err(error) => return Ok(Err((index, error))),
        }
    }
    Ok(Ok(ids))
}

/// M11 over HTTP: tells all who listen to a key.
pub(super) async fn notify(State(web): State<Web>, key: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Path(key) = key?;
    let id = web.hub.notify_listeners(&key).await?;
    Ok(answer::json(json!({ "id": id.to_string() }).to_string()))
}

impl Publication {
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
