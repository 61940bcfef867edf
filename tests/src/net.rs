//! HTTP over plain sockets, for tests that look at every byte.
//!
//! It sends what it is told and hides nothing of what comes back. Everything that waits has a deadline, and panics at it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest anything may take. Nothing waits this long unless it is broken.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What `future` gives, or a panic that says what was waited for.
///
/// # Panics
///
/// At the deadline.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Asks `probe` until it says `true`.
///
/// # Panics
///
/// At the deadline.
pub async fn eventually(what: &str, mut probe: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !probe().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The header of that name.
    ///
    /// # Panics
    ///
    /// When there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or("");
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        Self {
            status: status.unwrap_or_else(|| panic!("no status line: {status_line:?}")),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect(),
        }
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.status == 200 && self.header("content-type") == Some("text/event-stream")
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: Head,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is no JSON, or the headers do not say so.
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it is an error with this status and this field to blame, and returns what it says.
    ///
    /// # Panics
    ///
    /// When it is another answer.
    pub fn error(&self, status: u16, field: Option<&str>) -> String {
        assert_eq!(self.status(), status, "{self:?}");
        let json = self.json();
        assert_eq!(json["field"].as_str(), field, "{self:?}");
        let text = json["error"].as_str().unwrap_or_default().to_owned();
        assert!(!text.is_empty() && !text.contains('\n'), "{self:?}");
        text
    }

    /// Checks that it is 200 with this body.
    ///
    /// # Panics
    ///
    /// When it is another answer.
    pub fn is(&self, body: &str) {
        assert_eq!((self.status(), self.body.as_str()), (200, body), "{self:?}");
    }
}

/// Where a hub listens.
#[derive(Clone, Copy, Debug)]
pub struct Web(pub SocketAddr);

impl Web {
    /// Sends a request and reads the whole answer. `Host` is the address, unless `headers` name another one.
    pub async fn ask(self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let asked = async {
            let mut headers = headers.to_vec();
            headers.push(("connection", "close"));
            let mut reader = Reader::send(self.0, method, path, &headers, body).await;
            let head = reader.head().await;
            let mut body = Vec::new();
            let bodiless = method == "HEAD" || matches!(head.status, 204 | 304);
            while !bodiless && reader.more(&mut body).await {}
            let body = String::from_utf8(body).unwrap_or_else(|error| panic!("{error}"));
            Answer { head, body }
        };
        within(&format!("{method} {path}"), asked).await
    }

    /// GET without more headers.
    pub async fn get(self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    /// PUT without a body, as the original client sends it.
    pub async fn put(self, path: &str) -> Answer {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.ask("PUT", path, &form, b"").await
    }

    /// POST of JSON.
    pub async fn post(self, path: &str, json: &str) -> Answer {
        let headers = [("content-type", "application/json")];
        self.ask("POST", path, &headers, json.as_bytes()).await
    }

    /// Opens a stream that must be one.
    pub async fn stream(self, path: &str) -> Stream {
        self.stream_with(path, &[]).await
    }

    /// Opens a stream after the event with this id.
    pub async fn resume(self, path: &str, last_event_id: &str) -> Stream {
        self.stream_with(path, &[("last-event-id", last_event_id)]).await
    }

    /// Opens a stream, or gives the head of the answer that is none.
    ///
    /// # Errors
    ///
    /// That head.
    pub async fn try_stream(self, path: &str, headers: &[(&str, &str)]) -> Result<Stream, Head> {
        let opened = async {
            let mut reader = Reader::send(self.0, "GET", path, headers, b"").await;
            let head = reader.head().await;
            if !head.is_stream() {
                return Err(head);
            }
            Ok(Stream { head, reader, text: Vec::new(), at: 0 })
        };
        within(&format!("stream {path}"), opened).await
    }

    /// Opens a stream that must be one, with more headers.
    ///
    /// # Panics
    ///
    /// When the answer is no stream.
    pub async fn stream_with(self, path: &str, headers: &[(&str, &str)]) -> Stream {
        self.try_stream(path, headers).await.unwrap_or_else(|head| panic!("{path} is no stream: {head:?}"))
    }
}

/// An open stream of events.
#[derive(Debug)]
pub struct Stream {
    /// Status and headers.
    pub head: Head,
    reader: Reader,
    /// The whole body so far.
    text: Vec<u8>,
    /// Up to where frames were given out.
    at: usize,
}

impl Stream {
    /// The next frame with its empty line, byte for byte; `None` at the end of the stream.
    ///
    /// # Panics
    ///
    /// At the deadline.
    pub async fn frame_or_end(&mut self) -> Option<String> {
        within("a frame", async {
            loop {
                let rest = &self.text[self.at..];
                if let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
                    let frame = String::from_utf8_lossy(&rest[..end + 2]).into_owned();
                    self.at += end + 2;
                    return Some(frame);
                }
                if !self.reader.more(&mut self.text).await {
                    return None;
                }
            }
        })
        .await
    }

    /// The next frame with its empty line, byte for byte.
    ///
    /// # Panics
    ///
    /// When the stream ends instead.
    pub async fn frame(&mut self) -> String {
        self.frame_or_end().await.unwrap_or_else(|| panic!("the stream ended after {:?}", self.text()))
    }

    /// The next frame without its line `id:`, and the id.
    ///
    /// # Panics
    ///
    /// When the frame has no id.
    pub async fn event(&mut self) -> (String, String) {
        let frame = self.frame().await;
        let (bare, id) = split_id(&frame);
        (bare, id.unwrap_or_else(|| panic!("no id in {frame:?}")))
    }

    /// Checks that the next frame, its id aside, is `expected`, and returns the id.
    ///
    /// # Panics
    ///
    /// When it is another frame.
    pub async fn expect(&mut self, expected: &str) -> String {
        let (bare, id) = self.event().await;
        assert_eq!(bare, expected);
        id
    }

    /// The frames up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame_or_end().await {
            frames.push(frame);
        }
        frames
    }

    /// Everything that came so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

/// A frame without its line `id:`, and the id.
pub fn split_id(frame: &str) -> (String, Option<String>) {
    let mut id = None;
    let mut bare = String::new();
    for line in frame.split_inclusive('\n') {
        match line.strip_prefix("id:") {
            Some(value) => id = Some(value.trim_end().to_owned()),
            None => bare.push_str(line),
        }
    }
    (bare, id)
}

/// Reads a response as it comes.
#[derive(Debug)]
struct Reader {
    socket: TcpStream,
    buffer: Vec<u8>,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    Head,
    Chunked,
    InChunk(usize),
    Length(usize),
    Close,
    Done,
}

impl Reader {
    async fn send(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut socket = TcpStream::connect(addr).await.expect("connects");
        socket.set_nodelay(true).expect("no delay");
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("host: {addr}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "PUT" | "POST") {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        // Who refuses a large body may close before all of it was sent; the answer tells.
        let _ = socket.write_all(&request).await;
        Self { socket, buffer: Vec::new(), framing: Framing::Head }
    }

    async fn head(&mut self) -> Head {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = Head::parse(&String::from_utf8_lossy(&self.buffer[..end]));
                self.buffer.drain(..end + 4);
                let length = head.header("content-length").and_then(|length| length.parse().ok());
                self.framing = match length {
                    _ if head.is_chunked() => Framing::Chunked,
                    Some(length) => Framing::Length(length),
                    None => Framing::Close,
                };
                return head;
            }
            assert!(self.fill().await, "the connection ended in the head: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Reads more of the body into `out`; false at its end. A body that was cut off ends too.
    async fn more(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            match self.framing {
                Framing::Head => unreachable!("the head comes first"),
                Framing::Done => return false,
                Framing::Chunked => match self.chunk_size() {
                    Some(0) => {
                        self.framing = Framing::Done;
                        return false;
                    }
                    Some(size) => {
                        self.framing = Framing::InChunk(size);
                        continue;
                    }
                    None => {}
                },
                // What came of a chunk is given at once: it may be cut off.
                Framing::InChunk(left) if left > 0 && !self.buffer.is_empty() => {
                    let taken = left.min(self.buffer.len());
                    out.extend(self.buffer.drain(..taken));
                    self.framing = Framing::InChunk(left - taken);
                    return true;
                }
                Framing::InChunk(0) if self.buffer.len() >= 2 => {
                    self.buffer.drain(..2);
                    self.framing = Framing::Chunked;
                    continue;
                }
                Framing::Length(0) => {
                    self.framing = Framing::Done;
                    return false;
                }
                Framing::Length(left) if !self.buffer.is_empty() => {
                    let taken = left.min(self.buffer.len());
                    out.extend(self.buffer.drain(..taken));
                    self.framing = Framing::Length(left - taken);
                    return true;
                }
                Framing::Close if !self.buffer.is_empty() => {
                    out.append(&mut self.buffer);
                    return true;
                }
                Framing::InChunk(_) | Framing::Length(_) | Framing::Close => {}
            }
            if !self.fill().await {
                self.framing = Framing::Done;
                return false;
            }
        }
    }

    /// The size that a chunk's first line tells, once the line is whole.
    fn chunk_size(&mut self) -> Option<usize> {
        let line = find(&self.buffer, b"\r\n")?;
        let size = String::from_utf8_lossy(&self.buffer[..line]).into_owned();
        self.buffer.drain(..line + 2);
        let parsed = usize::from_str_radix(&size, 16);
        Some(parsed.unwrap_or_else(|_| panic!("no chunk's size: {size:?}")))
    }

    async fn fill(&mut self) -> bool {
        self.socket.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0)
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
