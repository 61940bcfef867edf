//! Heads of requests and responses, as bytes.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, StatusCode};
use sse_proto::Instant;

use crate::auth::Fields;
use crate::router::direct::RequestParts;

/// The head of a request that is plain enough to be answered without hyper.
pub(super) struct RequestHead<'a> {
    /// Its length, the blank line included.
    pub(super) len: usize,
    pub(super) parts: RequestParts<'a>,
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

/// The characters that a path and a query are made of.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] = matches!(byte as u8, b'!' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'~');
        byte += 1;
    }
    plain
};

/// Room for the fields of a head.
pub(super) type Room<'a> = [MaybeUninit<httparse::Header<'a>>; 64];

impl<'a> RequestHead<'a> {
    /// Reads the head at the front of `input`; `None` when it is not whole.
    pub(super) fn parse(input: &'a [u8], room: &'a mut Room<'a>) -> Result<Option<Self>, NotPlain> {
        let mut request = httparse::Request::new(&mut []);
        let len = match request.parse_with_uninit_headers(input, room) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(NotPlain),
        };
        let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
            return Err(NotPlain);
        };
        if !target.starts_with('/') || !target.bytes().all(|byte| PLAIN[usize::from(byte)]) {
            return Err(NotPlain);
        }
        let end = target.bytes().position(|byte| byte == b'?').unwrap_or(target.len());
        let (path, query) = (&target[..end], target.get(end + 1..).unwrap_or(""));
        let fields = &*request.headers;
        let is_last = is_last(&fields)?;
        let length = body_len(&fields)?;
        let body_len_at = length.map(|length| {
            let at = length.as_ptr() as usize - input.as_ptr() as usize;
            at..at + length.len()
        });
        let body_len = length.map_or(Some(0), decimal_value).ok_or(NotPlain)?;
        if body_len > 0 && method == "GET" {
            return Err(NotPlain);
        }
        let parts = RequestParts { method, path, query, fields };
        Ok(Some(Self { len, parts, body_len, body_len_at, is_last }))
    }
}

/// Whether the connection ends with the answer, if that is all there is to heed about it.
fn is_last(fields: &impl Fields) -> Result<bool, NotPlain> {
    if ["transfer-encoding", "expect", "upgrade"].iter().any(|name| fields.value(name).is_some()) {
        return Err(NotPlain);
    }
    let mut options = fields.values("connection");
    match (options.next(), options.next()) {
        (None, _) => Ok(false),
        (Some(option), None) if option.eq_ignore_ascii_case(b"keep-alive") => Ok(false),
        (Some(option), None) if option.eq_ignore_ascii_case(b"close") => Ok(true),
        _ => Err(NotPlain),
    }
}

/// What the head says of the length of the body, if it says so once.
fn body_len(fields: &impl Fields) -> Result<Option<&[u8]>, NotPlain> {
    let mut lengths = fields.values("content-length");
    match (lengths.next(), lengths.next()) {
        (length, None) => Ok(length),
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

/// The heads of streams. One that is as the last was is the same piece of memory: most are, for a second.
#[derive(Default)]
pub(super) struct StreamHeads {
    last: Arc<[u8]>,
    scratch: Vec<u8>,
}

impl StreamHeads {
    /// The head that begins with `begin`, goes on with `fields` and ends with the header line `date`.
    pub(super) fn head<'a>(
        &mut self,
        begin: &[u8],
        fields: impl Iterator<Item = &'a (HeaderName, &'a [u8])>,
        date: &[u8],
    ) -> Arc<[u8]> {
        let out = &mut self.scratch;
        out.clear();
        out.extend_from_slice(begin);
        fields.for_each(|(name, value)| header_line(out, name.as_str(), value));
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
        if *self.last != **out {
            self.last = out.as_slice().into();
        }
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn parse<T>(head: &str, look: impl FnOnce(RequestHead<'_>) -> T) -> Result<Option<T>, NotPlain> {
        Ok(RequestHead::parse(head.as_bytes(), &mut [MaybeUninit::uninit(); _])?.map(look))
    }

    #[test]
    fn a_head_is_whole_with_its_blank_line() {
        let head = "POST /sse/publish?a?b HTTP/1.1\r\nhost: localhost\r\nContent-Length: 2\r\n\r\n";
        for end in 0..head.len() {
            assert!(matches!(parse(&head[..end], |_| ()), Ok(None)), "{end}");
        }
        let looked_at = parse(&format!("{head}{{}}GET"), |parsed| {
            assert_eq!((parsed.len, parsed.body_len), (head.len(), 2));
            let RequestParts { method, path, query, fields } = parsed.parts;
            assert_eq!((method, path, query), ("POST", "/sse/publish", "a?b"));
            let values = |name| fields.iter().filter(move |field| field.name == name).count();
            assert_eq!((values("host"), values("Content-Length")), (1, 1));
            assert_eq!(parsed.body_len_at.map(|at| &head[at]), Some("2"));
        });
        assert!(matches!(looked_at, Ok(Some(()))), "a whole head");
    }

    #[test]
    fn what_is_not_plain_is_for_hyper() {
        let check = |lines: &str| assert!(parse(lines, |_| ()).is_err(), "{lines:?}");
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
        for target in ["*", "http://localhost/", "/#x", "/\"", "/`", "/ä", "x"] {
            check(&format!("GET {target} HTTP/1.1\r\n\r\n"));
        }
        check(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD)));
        for (option, last) in [("Keep-Alive", false), ("Close", true)] {
            let found = parse(&format!("GET / HTTP/1.1\r\nConnection: {option}\r\n\r\n"), |head| head.is_last);
            assert!(matches!(found, Ok(Some(found)) if found == last), "{option}");
        }
    }

    #[test]
    fn streams_share_a_head_until_it_is_another_one() {
        let mut heads = StreamHeads::default();
        let mut head =
            |date: &str| heads.head(b"HTTP/1.1 200 OK\r\n", [(header::VARY, &b"origin"[..])].iter(), date.as_bytes());
        let [first, same, other] = ["date: a\r\n", "date: a\r\n", "date: b\r\n"].map(&mut head);
        assert_eq!(*first, *b"HTTP/1.1 200 OK\r\nvary: origin\r\ndate: a\r\n\r\n");
        assert!(Arc::ptr_eq(&first, &same));
        assert_eq!(*other, *b"HTTP/1.1 200 OK\r\nvary: origin\r\ndate: b\r\n\r\n");
    }

    #[test]
    fn the_date_goes_on() {
        let mut date = Date::default();
        assert_eq!(date.line(Instant::from_millis(784_111_777_999)), b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(date.line(Instant::from_millis(784_111_778_000)), b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
    }
}
