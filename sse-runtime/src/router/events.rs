//! `GET events`: everything in one request.

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::response::Response;

use super::manager::{start_at, stream_abort};
use super::{Web, answer};
use crate::auth::Fields;
use crate::error::ApiError;
use crate::event::ClientRef;
use crate::hub::{Hub, HubError, Register, random};

/// What the query may hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    topics: Vec<String>,
    client: Option<String>,
    group: Option<String>,
    name: Option<String>,
    last_event_id: Option<String>,
}

/// A stream of topics and of what is for the client itself. A client that names neither itself nor its user is forgotten when its
/// last stream ends.
pub(super) async fn events(State(web): State<Web>, request: Request) -> Result<Response, ApiError> {
    let (uri, headers) = (request.uri(), request.headers());
    let query = uri.query().unwrap_or("");
    let mut register = wish(&web, query, headers, web.guard.is_ours(uri, headers), random)?;
    if let Some(abort) = stream_abort(&request) {
        register = register.abort(abort);
    }
    match web.hub.register(register).await {
        // What others call an id is a parameter of another name here.
        Err(error @ (HubError::Name { what: "id", .. } | HubError::TooLong { what: "id", .. })) => {
            Err(ApiError::from(error).field("client"))
        }
        registered => Ok(answer::stream(registered)),
    }
}

/// The registration that a request asks for; `is_ours` says that no other site's page does, and `random` gives random bytes.
pub(super) fn wish(
    web: &Web,
    query: &str,
    headers: &impl Fields,
    is_ours: bool,
    random: impl FnMut(&mut [u8]) -> Result<(), HubError>,
) -> Result<Register, ApiError> {
    let query = Query::parse(query)?;
    let group = query.group.as_deref().unwrap_or("");
    let passing = query.client.is_none() && query.name.is_none();
    let id = match (query.client, query.name) {
        (Some(id), _) => id.into(),
        (None, Some(name)) => web.hub.new_id(&name, random)?.into(),
        (None, None) => Hub::new_nameless_id(random)?,
    };
    let register = Register::new(ClientRef::in_group(group, id));
    Ok(register.topics(query.topics).start_at(start_at(headers, query.last_event_id)).passing(passing || !is_ours))
}

impl Query {
    /// Parameters that begin with `_` are left alone: pages add such against caches.
    fn parse(query: &str) -> Result<Self, ApiError> {
        let mut parsed = Self::default();
        for (key, value) in parameters(query) {
            let value = value.into_owned();
            let single = match &*key {
                "topic" => {
                    parsed.topics.push(value);
                    continue;
                }
                "client" => &mut parsed.client,
                "group" => &mut parsed.group,
                "name" => &mut parsed.name,
                "lastEventId" => &mut parsed.last_event_id,
                other if other.starts_with('_') => continue,
                other => {
                    let known = "topic, client, group, name and lastEventId";
                    return Err(
                        ApiError::malformed(format!("there is no such parameter; there are {known}")).field(other.to_owned())
                    );
                }
            };
            if single.replace(value).is_some() {
                return Err(ApiError::malformed("the parameter is given more than once").field(key.into_owned()));
            }
        }
        if parsed.client.is_some() && parsed.name.is_some() {
            return Err(ApiError::malformed("give a client, or a name to make an id for, not both").field("name"));
        }
        Ok(parsed)
    }
}

/// The parameters of a query. Most are written as they are, and need no decoding.
fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        if pair.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
            return form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key.into(), value.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_a_form() {
        for query in [
            "",
            "&",
            "a",
            "a=",
            "=",
            "=b",
            "a=b=c",
            "a=b&&c=d&",
            "a=b c",
            "a+b=c",
            "a+b=%20+",
            "%3D=%26&a=b",
            "a=%zz%",
            "a=%ff",
            "\u{e9}=\u{e9}",
        ] {
            let decoded: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            assert_eq!(parameters(query).collect::<Vec<_>>(), decoded, "{query:?}");
        }
    }

    #[test]
    fn topics_repeat_and_the_rest_does_not() {
        let query = Query::parse("topic=a&topic=b%20c&group=g&_=1&lastEventId=earliest").unwrap();
        assert_eq!(query.topics, ["a", "b c"]);
        assert_eq!((query.group.as_deref(), query.last_event_id.as_deref()), (Some("g"), Some("earliest")));
        let check = |query: &str, field: &str| {
            assert_eq!(Query::parse(query).unwrap_err().field_name(), Some(field), "{query}");
        };
        check("name=a&name=b", "name");
        check("topics=a", "topics");
        check("client=a&name=b", "name");
    }
}
