//! Publishing to a running `sse-hub` over HTTP, with nothing but a socket: what any language can do.
//!
//! ```sh
//! cargo run --release                                            # in one terminal: the hub, on 127.0.0.1:8080
//! cargo run -p sse-runtime --example publish -- news 'It works'  # in another
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(topic), Some(data)) = (args.next(), args.next()) else {
        return Err("usage: publish TOPIC DATA [HOST:PORT]; SSE_HUB_TOKEN holds the token, if the hub has one".into());
    };
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let authorization = match env::var("SSE_HUB_TOKEN") {
        Ok(token) => format!("authorization: Bearer {token}\r\n"),
        Err(_) => String::new(),
    };

    let body = json!({ "to": { "topic": topic }, "event": "greeting", "data": data }).to_string();
    let mut socket = TcpStream::connect(&address).map_err(|error| format!("no hub on {address}: {error}"))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        socket,
        "POST /sse/publish HTTP/1.1\r\nhost: {address}\r\n{authorization}content-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the hub's answer has no end")?;
    println!("{}\n{body}", head.lines().next().unwrap_or_default());
    if head.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err("the hub did not publish it".into()) }
}
