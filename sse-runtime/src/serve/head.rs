//! Heads of requests and responses, as bytes.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use sse_proto::Instant;

/// The head of a request that is plain enough to be answered without hyper.
pub(super) struct RequestHead {
    /// Its length, the blank line included.
    pub(super) len: usize,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Bytes of the body.
    pub(super) body_len: usize,
    /// Where the head says so.
    pub(super) body_len_at: Option<Range<usize>>,
    /// The connection ends with the answer.
    pub(super) is_last: bool,
}

/// The request is for hyper, which knows all of HTTP, and how to refuse what is none.
pub(super) struct NotPlain;

/// The longest head that is looked at here.
pub(super) const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

impl RequestHead {
    /// Reads the head at the front of `input`; `None` when it is not whole.
    pub(super) fn parse(input: &[u8]) -> Result<Option<Self>, NotPlain> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut fields);
        let len = match request.parse(input) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(NotPlain),
        };
        let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
            return Err(NotPlain);
        };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| NotPlain)?;
        let uri = Uri::try_from(target).map_err(|_| NotPlain)?;
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        let mut body_len_at = None;
        for field in request.headers.iter() {
            if field.name.eq_ignore_ascii_case(header::CONTENT_LENGTH.as_str()) {
                let at = field.value.as_ptr() as usize - input.as_ptr() as usize;
                body_len_at = Some(at..at + field.value.len());
            }
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| NotPlain)?;
            headers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| NotPlain)?);
        }
        let is_last = is_last(&headers)?;
        let body_len = body_len(&headers)?;
        if body_len > 0 && method == Method::GET {
            return Err(NotPlain);
        }
        Ok(Some(Self { len, method, uri, headers, body_len, body_len_at, is_last }))
    }
}

/// Whether the connection ends with the answer, if that is all there is to heed about it.
fn is_last(headers: &HeaderMap) -> Result<bool, NotPlain> {
    let special = [header::TRANSFER_ENCODING, header::EXPECT, header::UPGRADE];
    if special.iter().any(|name| headers.contains_key(name)) {
        return Err(NotPlain);
    }
    let mut options = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    match (options.next(), options.next()) {
        (None, _) => Ok(false),
        (Some(option), None) if option.eq_ignore_ascii_case(b"keep-alive") => Ok(false),
        (Some(option), None) if option.eq_ignore_ascii_case(b"close") => Ok(true),
        _ => Err(NotPlain),
    }
}

fn body_len(headers: &HeaderMap) -> Result<usize, NotPlain> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(0),
        (Some(length), None) => decimal_value(length.as_bytes()).ok_or(NotPlain),
        _ => Err(NotPlain),
    }
}

/// The number that `digits` say, and nothing else.
pub(super) fn decimal_value(digits: &[u8]) -> Option<usize> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    let value = digits.iter().try_fold(0_usize, |value, byte| value.checked_mul(10)?.checked_add(digit(byte)?))?;
    (!digits.is_empty()).then_some(value)
}

/// What the head of a stream with these headers begins with; other lines may follow.
pub(super) fn stream(headers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    status_line(&mut out, StatusCode::OK);
    header_lines(&mut out, headers);
    header_line(&mut out, "connection", b"close");
    out
}

/// Appends a status line.
pub(super) fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The length of header lines.
pub(super) fn lines_len(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

/// Appends header lines.
pub(super) fn header_lines(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        header_line(out, name.as_str(), value.as_bytes());
    }
}

/// Appends one header line.
pub(super) fn header_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends the length of a body, the end of the head, and the body.
pub(super) fn body(out: &mut Vec<u8>, body: &[u8]) {
    let mut digits = [0; 20];
    header_line(out, "content-length", decimal(&mut digits, body.len()));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

fn decimal(digits: &mut [u8; 20], mut value: usize) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
}

/// The header line that tells the date, made once a second.
#[derive(Default)]
pub(super) struct Date {
    second: u64,
    line: Vec<u8>,
}

impl Date {
    pub(super) fn line(&mut self, now: Instant) -> &[u8] {
        let second = now.as_millis() / 1000;
        if self.second != second {
            self.second = second;
            self.line.clear();
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            header_line(&mut self.line, "date", date.as_bytes());
        }
        &self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Option<RequestHead>, NotPlain> {
        RequestHead::parse(head.as_bytes())
    }

    #[test]
    fn a_head_is_whole_with_its_blank_line() {
        let head = "POST /sse/publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n";
        for end in 0..head.len() {
            assert!(matches!(parse(&head[..end]), Ok(None)), "{end}");
        }
        let Ok(Some(parsed)) = parse(&format!("{head}{{}}GET")) else { panic!("a whole head") };
        assert_eq!((parsed.len, parsed.body_len), (head.len(), 2));
        assert_eq!((parsed.method, parsed.uri.path()), (Method::POST, "/sse/publish"));
    }

    #[test]
    fn what_is_not_plain_is_for_hyper() {
        let check = |lines: &str| assert!(parse(lines).is_err(), "{lines:?}");
        check("POST / HTTP/1.0\r\n\r\n");
        check("PRI * HTTP/2.0\r\n\r\n");
        check("nonsense\r\n\r\n");
        check("GET / HTTP/1.1\r\ncontent-length: 1\r\n\r\n");
        for line in [
            "transfer-encoding: chunked",
            "expect: 100-continue",
            "upgrade: websocket",
            "connection: close, x",
            "connection: close\r\nconnection: close",
            "connection: keep-alive, upgrade",
            "content-length: +1",
            "content-length: 1\r\ncontent-length: 1",
            "content-length: 99999999999999999999",
        ] {
            check(&format!("POST / HTTP/1.1\r\n{line}\r\n\r\n"));
        }
        check(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD)));
        for (option, last) in [("Keep-Alive", false), ("Close", true)] {
            let Ok(Some(head)) = parse(&format!("GET / HTTP/1.1\r\nconnection: {option}\r\n\r\n")) else { panic!("plain") };
            assert_eq!(head.is_last, last);
        }
    }

    #[test]
    fn the_date_goes_on() {
        let mut date = Date::default();
        assert_eq!(date.line(Instant::from_millis(784_111_777_999)), b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(date.line(Instant::from_millis(784_111_778_000)), b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
    }
}
