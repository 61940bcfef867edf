//! Peers that misbehave, for as long as the process runs: what others notice of them is measured beside it.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::load::Failure;

/// Heads that trickle, a byte a beat.
const TRICKLING: usize = 200;
/// Streams that are asked for in one beat and reset in the next.
const RESET: usize = 50;
/// Publications in one beat of someone who reads no answer.
const UNREAD: usize = 500;
/// Enough for a server to do something else between two beats.
const BEAT: Duration = Duration::from_millis(100);

/// Misbehaves towards the server with these URLs for streams and for publishing, until it is ended.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let [subscribe, publish, body] = args else {
        return Err(Failure::new("usage: misbehave STREAMS PUBLISH BODY"));
    };
    let (subscribe, publish, body) =
        (subscribe.replace("{n}", "0"), publish.replace("{n}", "nobody"), body.replace("{n}", "nobody"));
    let (authority, stream) = split(&subscribe)?;
    let (_, publish) = split(&publish)?;
    let connect = || connect(authority).map_err(|error| Failure::new(format!("{authority}: {error}")));
    let head = format!("GET /{stream} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    let endless = format!("GET /{} HTTP/1.1\r\nhost: {authority}\r\n\r\n", "x".repeat(8_000));
    let body = body.replace("{data}", "x");
    let request = format!("POST /{publish} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let unread = request.repeat(UNREAD);

    let mut trickling = Vec::new();
    let mut publisher = connect()?;
    loop {
        trickling.retain_mut(|(socket, sent): &mut (TcpStream, usize)| {
            let byte = endless.as_bytes().get(*sent);
            *sent += 1;
            byte.is_some_and(|byte| socket.write_all(std::slice::from_ref(byte)).is_ok())
        });
        while trickling.len() < TRICKLING {
            trickling.push((connect()?, 0));
        }
        let reset: Vec<TcpStream> = (0..RESET).map(|_| connect()).collect::<Result<_, _>>()?;
        for mut socket in &reset {
            // What cannot be sent now is not missed.
            let _ = socket.write_all(head.as_bytes());
        }
        if publisher.write_all(unread.as_bytes()).is_err() {
            publisher = connect()?;
        }
        std::thread::sleep(BEAT);
    }
}

/// Authority, and path without its first slash.
fn split(url: &str) -> Result<(&str, &str), Failure> {
    let parts = url.strip_prefix("http://").and_then(|rest| rest.split_once('/'));
    parts.ok_or_else(|| Failure::new(format!("{url:?} is no http URL")))
}

/// A connection that never makes us wait, and is reset when it is dropped.
fn connect(authority: &str) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(authority)?;
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
