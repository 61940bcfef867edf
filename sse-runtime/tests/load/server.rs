//! A small server of streams that does what a test tells it to: `GET` is a stream, `POST` publishes its body to all.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How it frames streams, and what it does to deliveries.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    pub(crate) chunked: bool,
    /// The answer to whoever asks for a stream, unless it is one.
    pub(crate) refuses: Option<&'static str>,
    /// The answer to publishers.
    pub(crate) answers: &'static str,
    /// What becomes of the message with this number at the reader with this number.
    pub(crate) does: fn(message: usize, reader: usize) -> Does,
}

#[derive(Clone, Copy)]
pub(crate) enum Does {
    Deliver,
    Lose,
    Repeat,
    /// Delivers it after the next.
    Hold,
    /// Ends the stream.
    End,
}

impl Default for Manners {
    fn default() -> Self {
        Self { chunked: true, refuses: None, answers: "204 No Content", does: |_, _| Does::Deliver }
    }
}

/// It lives as long as the test's process: its threads wait for peers that are gone by then.
pub(crate) fn start(manners: Manners) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let readers = Arc::new(Mutex::new(Readers::default()));
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let readers = readers.clone();
            std::thread::spawn(move || serve(socket, manners, &readers));
        }
    });
    address
}

#[derive(Default)]
struct Readers {
    streams: Vec<Reader>,
    messages: usize,
}

struct Reader {
    socket: TcpStream,
    held: Vec<u8>,
}

fn serve(mut socket: TcpStream, manners: Manners, readers: &Mutex<Readers>) {
    socket.set_nodelay(true).unwrap();
    let mut request = Vec::new();
    loop {
        let Some(body) = body_of(&request) else {
            let mut buffer = [0; 4_096];
            match socket.read(&mut buffer) {
                Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                _ => return,
            }
            continue;
        };
        if request.starts_with(b"GET ") {
            if let Some(refusal) = manners.refuses {
                let _ = write!(socket, "HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n");
                return;
            }
            let framing = if manners.chunked { "transfer-encoding: chunked\r\n" } else { "" };
            // Whoever is told that the stream is open may publish, and is to be heard on it.
            let mut readers = readers.lock().unwrap();
            write!(socket, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n").unwrap();
            readers.streams.push(Reader { socket, held: Vec::new() });
            return;
        }
        if manners.answers.starts_with('2') {
            readers.lock().unwrap().publish(&body, manners);
        }
        if write!(socket, "HTTP/1.1 {}\r\ncontent-length: 0\r\n\r\n", manners.answers).is_err() {
            return;
        }
        request.clear();
    }
}

/// The body of a request that is whole.
fn body_of(request: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(request);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
    (body.len() >= length).then(|| body.as_bytes().to_vec())
}

impl Readers {
    /// Each message is cut in two at another place, and its halves leave in two writes.
    fn publish(&mut self, body: &[u8], manners: Manners) {
        let frame = [b"data: ", body, b"\n\n"].concat();
        let frame = if manners.chunked { chunks(&frame, self.messages) } else { frame };
        let cut = self.messages % frame.len();
        let mut halves = Vec::new();
        for (number, reader) in self.streams.iter_mut().enumerate() {
            let held = std::mem::take(&mut reader.held);
            let bytes = match (manners.does)(self.messages, number) {
                Does::Deliver => [&frame[..], &held].concat(),
                Does::Lose => held,
                Does::Repeat => [&frame[..], &frame, &held].concat(),
                Does::Hold => {
                    reader.held = frame.clone();
                    held
                }
                Does::End => {
                    reader.socket.shutdown(Shutdown::Both).unwrap();
                    continue;
                }
            };
            let (now, later) = bytes.split_at(cut.min(bytes.len()));
            let _ = reader.socket.write_all(now);
            halves.push((number, later.to_vec()));
        }
        for (number, later) in halves {
            let _ = self.streams[number].socket.write_all(&later);
        }
        self.messages += 1;
    }
}

/// Two chunks, cut where no other message's are.
fn chunks(frame: &[u8], message: usize) -> Vec<u8> {
    let (one, other) = frame.split_at(1 + message % (frame.len() - 1));
    [one, other].into_iter().flat_map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).collect()
}
