//! As much of HTTP/1.1 as the hubs of these examples speak: two requests, and one response on each connection.

/// The longest request, body and all.
pub(crate) const MAX_REQUEST: usize = 64 * 1024;

/// What comes before the events of a stream.
pub(crate) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n";

/// What a hub is asked for.
pub(crate) enum Request {
    /// `GET /events?topic=a&topic=b`: a stream, from behind its `Last-Event-ID` on if it has one.
    Events { topics: Vec<String>, last_event_id: String },
    /// `POST /publish?topic=a`: its body is an event, for everyone if no topic is named.
    Publish { topic: Option<String>, data: String },
}

/// The request at the start of what was `received`, or `None` when more of it has to come.
///
/// # Errors
///
/// The response that says what is wrong with it.
pub(crate) fn parse(received: &[u8]) -> Result<Option<Request>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(received) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if received.len() < MAX_REQUEST => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(response("431 Request Header Fields Too Large", "too long")),
        Err(error) => return Err(response("400 Bad Request", &error.to_string())),
    };
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let (path, query) = request.path.unwrap_or("/").split_once('?').unwrap_or((request.path.unwrap_or("/"), ""));
    let topics =
        form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "topic").map(|(_, topic)| topic.into_owned());
    match (request.method.unwrap_or(""), path) {
        ("GET", "/events") => {
            let last_event_id = header("last-event-id").unwrap_or("").to_owned();
            Ok(Some(Request::Events { topics: topics.collect(), last_event_id }))
        }
        ("POST", "/publish") => {
            let Some(len) = header("content-length").and_then(|len| len.parse::<usize>().ok()) else {
                return Err(response("411 Length Required", "a Content-Length is needed"));
            };
            if len > MAX_REQUEST - head_len.min(MAX_REQUEST) {
                return Err(response("413 Content Too Large", "a request has at most 64 KiB"));
            }
            let Some(body) = received.get(head_len..head_len + len) else { return Ok(None) };
            match String::from_utf8(body.to_vec()) {
                Ok(data) => Ok(Some(Request::Publish { topic: topics.last(), data })),
                Err(_) => Err(response("400 Bad Request", "an event is UTF-8")),
            }
        }
        _ => Err(response("404 Not Found", "there are GET /events?topic=… and POST /publish?topic=…")),
    }
}

/// A whole response, after which nothing more comes on the connection.
pub(crate) fn response(status: &str, body: &str) -> String {
    let len = body.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}\n"
    )
}
