//! A hub on an event loop of its own: one thread, `mio`, no runtime.
//!
//! ```sh
//! cargo run -p sse-proto --example mio -- 127.0.0.1:3000   # without an address, on any free port
//! curl -N 'http://127.0.0.1:3000/events?topic=news'        # one terminal
//! curl -d hello 'http://127.0.0.1:3000/publish?topic=news' # another
//! ```
//!
//! The loop in `main` is the engine's whole contract; everything below it is sockets.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

mod host;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use sse_proto::wire::Event;
use sse_proto::{ClientId, ConnId, Engine, Epoch, Heap, Output, Registration, Resume, Target};

use crate::host::{http, http::Request, now, random};

const LISTENER: Token = Token(0);
/// As many sockets at once. When there is one more, the oldest that has no stream gives way.
const MAX_PEERS: usize = 10_000;

fn main() -> io::Result<()> {
    let (address, config) = host::arguments();
    let mut hub = Hub {
        engine: Engine::new(config, Epoch(random() as u32), [random(), random()]).map_err(io::Error::other)?,
        poll: Poll::new()?,
        listener: TcpListener::bind(address.parse().map_err(io::Error::other)?)?,
        peers: BTreeMap::new(),
        streams: HashMap::new(),
        accepted: 0,
    };
    hub.poll.registry().register(&mut hub.listener, LISTENER, Interest::READABLE)?;
    println!("listening on http://{}/", hub.listener.local_addr()?);
    let mut events = Events::with_capacity(1_024);
    loop {
        // 1. Do what the engine says, until it says nothing more.
        while let Some(output) = hub.engine.poll_output() {
            match output {
                Output::Write(conn) => hub.write(hub.streams[&conn]),
                Output::Close { conn, .. } => drop(hub.streams.remove(&conn).map(|token| hub.peers.remove(&token))),
                // Peers are told of gaps in their streams, and nobody asks who a visitor was.
                Output::Gap { .. } | Output::Expired { .. } | Output::Unused { .. } => {}
            }
        }
        // 2. Wait until something happens, at most until the engine wants to know the time.
        let timeout = hub.engine.poll_timeout().map(|at| at.since(now()));
        if let Err(error) = hub.poll.poll(&mut events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        // 3. Tell it the time, and what happened.
        hub.engine.handle_timeout(now());
        for event in &events {
            match event.token() {
                LISTENER => hub.accept(),
                peer => {
                    hub.read(peer);
                    hub.write(peer);
                }
            }
        }
    }
}

struct Hub {
    engine: Engine<Heap>,
    poll: Poll,
    listener: TcpListener,
    /// By token, which counts up: the oldest comes first.
    peers: BTreeMap<Token, Peer>,
    /// The engine names connections, the poll names tokens. Who is in here has not been disconnected or closed.
    streams: HashMap<ConnId, Token>,
    accepted: usize,
}

struct Peer {
    socket: TcpStream,
    received: Vec<u8>,
    /// Once it has asked: what has yet to go out of a response, or of the head of a stream.
    response: Option<Vec<u8>>,
    conn: Option<ConnId>,
}

impl Hub {
    fn accept(&mut self) {
        // The listener tells of new sockets once, so all there are are taken.
        while let Ok((mut socket, _)) = self.listener.accept() {
            if self.peers.len() == MAX_PEERS {
                match self.peers.iter().find(|(_, peer)| peer.conn.is_none()).map(|(token, _)| *token) {
                    Some(oldest) => self.forget(oldest),
                    None => continue,
                }
            }
            self.accepted += 1;
            let token = Token(self.accepted);
            if self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE).is_ok() {
                self.peers.insert(token, Peer { socket, received: Vec::new(), response: None, conn: None });
            }
        }
    }

    /// Takes what has come, and does what is asked for once it is whole.
    fn read(&mut self, token: Token) {
        while let Some(peer) = self.peers.get_mut(&token) {
            let mut chunk = [0; 4096];
            match peer.socket.read(&mut chunk) {
                Ok(len) if len == 0 || peer.received.len() > 2 * http::MAX_REQUEST => self.forget(token),
                Ok(len) => {
                    peer.received.extend_from_slice(&chunk[..len]);
                    if peer.response.is_none() {
                        match http::parse(&peer.received) {
                            Ok(None) => {}
                            Ok(Some(request)) => self.answer(token, &request),
                            Err(refusal) => peer.response = Some(refusal.into()),
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.forget(token),
            }
        }
    }

    fn answer(&mut self, token: Token, request: &Request) {
        let Some(peer) = self.peers.get_mut(&token) else { return };
        let response = match request {
            Request::Events { topics, last_event_id } => {
                let id = format!("visitor_{}", token.0);
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                let wish = Registration {
                    topics: &topics,
                    resume: Resume::After(last_event_id),
                    passing: true,
                    ..Registration::new(ClientId::new(&id).expect("letters and digits"))
                };
                self.engine.register(now(), &wish).map_err(|error| error.to_string()).map(|registered| {
                    peer.conn = Some(registered.conn);
                    self.streams.insert(registered.conn, token);
                    http::STREAM_HEAD.to_owned()
                })
            }
            Request::Publish { topic, data } => {
                let target = topic.as_deref().map_or(Target::All, Target::Topic);
                let published = self.engine.publish(now(), target, &Event::data(data));
                published.map_err(|error| error.to_string()).map(|id| http::response("200 OK", &id.to_string()))
            }
        };
        peer.response = Some(response.unwrap_or_else(|error| http::response("400 Bad Request", &error)).into());
    }

    /// Gives the peer what there is for it, as far as it takes it. When it takes more, the poll says so.
    fn write(&mut self, token: Token) {
        while let Some(peer) = self.peers.get_mut(&token) {
            let mut slices = [&b""[..]; 16];
            let filled = match (&peer.response, peer.conn) {
                (Some(rest), _) if !rest.is_empty() => {
                    slices[0] = rest;
                    1
                }
                (_, Some(conn)) => self.engine.transmit(conn, &mut slices).unwrap_or(0),
                (_, None) => 0,
            };
            if filled == 0 {
                return;
            }
            match peer.socket.write_vectored(&slices.map(IoSlice::new)[..filled]) {
                Ok(written) => match (&mut peer.response, peer.conn) {
                    (Some(rest), conn) if !rest.is_empty() => {
                        rest.drain(..written);
                        // It goes when it has read that: closing at once would take it the response.
                        let _ = if rest.is_empty() && conn.is_none() { peer.socket.shutdown(Shutdown::Write) } else { Ok(()) };
                    }
                    (_, conn) => drop(conn.map(|conn| self.engine.handle_written(now(), conn, written))),
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.forget(token),
            }
        }
    }

    /// The peer is gone, or is to go. Its socket is closed.
    fn forget(&mut self, token: Token) {
        if let Some(conn) = self.peers.remove(&token).and_then(|peer| peer.conn) {
            self.streams.remove(&conn);
            let _ = self.engine.handle_disconnect(now(), conn);
        }
    }
}
