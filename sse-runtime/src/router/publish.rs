//! Publishing over HTTP.

mod plain;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sse_proto::{EventId, wire};

use super::{Web, answer};
use crate::error::{ApiError, parse_json};
use crate::event::{self, Target, TargetRef};
use crate::hub::{EventError, Hub, HubError, Publication, to_its_end};
use crate::metrics::PublishError;
use crate::shard::Shard;

/// One event to publish.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub(super) struct Publishing<'a> {
    #[serde(borrow)]
    to: To<'a>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    data: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    id: Option<Cow<'a, str>>,
    retry: Option<u32>,
}

/// Whom it is for.
#[derive(Debug)]
enum To<'a> {
    All,
    Topic(Cow<'a, str>),
    Client(Cow<'a, str>),
    Name(Cow<'a, str>),
    Group(Cow<'a, str>),
}

/// What the body of a request says.
pub(super) enum Requested<'a> {
    One(Publishing<'a>),
    Array(Vec<Publishing<'a>>),
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
    let body = body?;
    let request = Requested::parse(&body)?.prepare(hub)?;
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

impl<'a> Requested<'a> {
    /// Reads a request's body.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        if let Some(publishing) = plain::read(body) {
            return Ok(Self::One(publishing));
        }
        let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        if is_array { parse_json(body).map(Self::Array) } else { parse_json(body).map(Self::One) }
    }

    /// Checks and encodes all of it, as far as can be told without asking the shards.
    pub(super) fn prepare(self, hub: &Hub) -> Result<Request, ApiError> {
        let prepare = |is_array: bool, index: usize, publishing: Publishing<'_>| {
            publishing.prepare(hub).map_err(|error| locate(error, &|field| place(is_array, index, field)))
        };
        Ok(match self {
            Self::One(publishing) => Request { batch: [prepare(false, 0, publishing)?].into(), is_array: false },
            Self::Array(publishings) => {
                let publications = publishings.into_iter().enumerate();
                let batch = publications.map(|(index, publishing)| prepare(true, index, publishing));
                Request { batch: batch.collect::<Result<_, _>>()?, is_array: true }
            }
        })
    }
}

impl Request {
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
            if index > 0 {
                json.push(',');
            }
            push_id(&mut json, publication.own_id(), hub.event_id(first + index as u64));
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

/// Appends what is answered for an event that was published: the id it brought, or the one it got.
fn push_id(json: &mut String, own_id: Option<&str>, id: EventId) {
    json.push_str("{\"id\":");
    match own_id {
        Some(own_id) => json.push_str(&Value::from(own_id).to_string()),
        None => {
            json.push('"');
            json.push_str(id.write(&mut [0; EventId::MAX_LEN]));
            json.push('"');
        }
    }
    json.push('}');
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

impl Publishing<'_> {
    /// Publishes it on the thread of a shard, if it concerns no other one and nothing is in the way: the answer. Whatever is wrong with it,
    /// [preparing](Requested::prepare) it tells.
    pub(super) fn publish_here(&self, hub: &Hub, shard: &mut Shard) -> Option<String> {
        let number = hub.publish_here(shard, self.to.by_ref(), &self.event().ok()?)?;
        let mut json = String::with_capacity(ID_JSON);
        push_id(&mut json, self.id.as_deref(), hub.event_id(number));
        Some(json)
    }

    /// Checks it and encodes it.
    fn prepare(self, hub: &Hub) -> Result<Publication, HubError> {
        let event = self.event()?;
        let target = match self.to {
            To::All => Target::All,
            To::Topic(ref topic) => Target::topic(&**topic),
            To::Client(ref id) => Target::client(&**id),
            To::Name(ref name) => Target::UserName(name.to_string()),
            To::Group(ref group) => Target::Group(group.to_string()),
        };
        hub.prepare(target, event)
    }

    fn event(&self) -> Result<wire::Event<'_>, EventError> {
        let fields = event::fields(self.event.as_deref(), self.id.as_deref(), self.retry)?;
        Ok(wire::Event { data: self.data.as_deref(), ..fields })
    }
}

impl To<'_> {
    fn by_ref(&self) -> TargetRef<'_> {
        match self {
            Self::All => TargetRef::All,
            Self::Topic(topic) => TargetRef::Topic(topic),
            Self::Client(id) => TargetRef::Client { group: "", id },
            Self::Name(name) => TargetRef::UserName(name),
            Self::Group(group) => TargetRef::Group(group),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Publishing<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PublishingVisitor)
    }
}

/// Takes an object. What is derived takes an array of all fields, too.
struct PublishingVisitor;

impl<'de> Visitor<'de> for PublishingVisitor {
    type Value = Publishing<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"an object such as {"to": "all", "data": "text"}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Publishing::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for To<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ToVisitor)
    }
}

/// Says what a target is when there is something else: what is derived for an enum takes that for an error in JSON itself.
struct ToVisitor;

impl<'de> Visitor<'de> for ToVisitor {
    type Value = To<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""all", or an object with one of topic, client, name and group"#)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == "all" { Ok(To::All) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let kind: Option<Kind> = map.next_key()?;
        let to = match kind {
            Some(Kind::Topic) => To::Topic,
            Some(Kind::Client) => To::Client,
            Some(Kind::Name) => To::Name,
            Some(Kind::Group) => To::Group,
            Some(Kind::Other) | None => return Err(A::Error::invalid_type(Unexpected::Map, &self)),
        };
        let Text(name) = map.next_value()?;
        match map.next_key::<Kind>()? {
            None => Ok(to(name)),
            Some(_) => Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Kind {
    Topic,
    Client,
    Name,
    Group,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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

/// A JSON string where it stands, if it has no escape: what is derived for an `Option` copies it.
fn borrowed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    Ok(Option::<Text<'de>>::deserialize(deserializer)?.map(|Text(text)| text))
}

/// The text of a JSON string; what is none, `null` too, as the publisher wrote it: no key moves, no number changes.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let json = <&RawValue>::deserialize(deserializer)?.get();
    Ok(Some(match json.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) if text.contains('\\') => Cow::Owned(serde_json::from_str(json).map_err(D::Error::custom)?),
        Some(text) => Cow::Borrowed(text),
        None => Cow::Borrowed(json),
    }))
}
