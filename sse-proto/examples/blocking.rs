//! A hub on threads of the standard library: one for each connection, one for the time, and a lock around the engine.
//!
//! ```sh
//! cargo run -p sse-proto --example blocking -- 127.0.0.1:3000   # without an address, on any free port
//! curl -N 'http://127.0.0.1:3000/events?topic=news'             # one terminal
//! curl -d hello 'http://127.0.0.1:3000/publish?topic=news'      # another
//! ```
//!
//! Nobody writes to a socket under the lock: a thread copies what comes next for its peer, which to the engine is written then, and
//! writes it when it has let go. The thread of a slow peer waits in `write`, and costs the others nothing.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

mod host;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use sse_proto::wire::Event;
use sse_proto::{ClientId, ConnId, Engine, Epoch, Heap, Instant, Output, Registration, Resume, Stale, Target};

use crate::host::{http, http::Request, now, random};

/// As many connections at once, and as many threads.
const MAX_PEERS: usize = 1_000;
/// How long a peer may take to say a part of its request, or to take a part of its stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of its stream a thread copies at once.
const CHUNK: usize = 16 * 1024;

fn main() -> io::Result<()> {
    let (address, config) = host::arguments();
    let engine = Engine::new(config, Epoch(random() as u32), [random(), random()]).map_err(io::Error::other)?;
    let state = State { engine, writers: HashMap::new(), alarm: Instant::default() };
    let hub = Arc::new(Hub { state: Mutex::new(state), earlier: Condvar::new(), visitors: AtomicU64::new(0) });
    let listener = TcpListener::bind(address)?;
    println!("listening on http://{}/", listener.local_addr()?);

    let timer = Arc::clone(&hub);
    thread::spawn(move || timer.keep_time());
    for socket in listener.incoming() {
        let Ok(mut socket) = socket else { continue };
        // Every thread has one of these.
        if Arc::strong_count(&hub) > MAX_PEERS {
            continue;
        }
        let hub = Arc::clone(&hub);
        thread::spawn(move || {
            // Whatever goes wrong with a socket, its peer is gone.
            let _ = hub.serve(&mut socket);
            // It goes when it has read that: closing at once would take it the response.
            let _ = socket.shutdown(Shutdown::Write);
            let _ = io::copy(&mut socket.take(http::MAX_REQUEST as u64), &mut io::sink());
        });
    }
    Ok(())
}

struct Hub {
    state: Mutex<State>,
    /// The engine wants to know the time earlier than it did.
    earlier: Condvar,
    visitors: AtomicU64,
}

struct State {
    engine: Engine<Heap>,
    /// Who writes to which connection.
    writers: HashMap<ConnId, Thread>,
    /// When the engine will be told the time.
    alarm: Instant,
}

impl Hub {
    /// Does something with the engine, and then what the engine says.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = act(&mut state);
        state.wake();
        if state.engine.poll_timeout().is_some_and(|at| at < state.alarm) {
            self.earlier.notify_one();
        }
        answer
    }

    /// Tells the engine the time when it wants to know.
    fn keep_time(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            state.engine.handle_timeout(now());
            state.wake();
            state.alarm = state.engine.poll_timeout().unwrap_or(now().plus(Duration::from_secs(3600)));
            let wait = state.alarm.since(now());
            state = self.earlier.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// One connection, from its request to its end.
    fn serve(&self, socket: &mut TcpStream) -> io::Result<()> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut received = Vec::new();
        let request = loop {
            let mut chunk = [0; 4096];
            let len = socket.read(&mut chunk)?;
            received.extend_from_slice(&chunk[..len]);
            match http::parse(&received) {
                Ok(Some(request)) => break request,
                Ok(None) if len > 0 => {}
                Ok(None) => return Ok(()),
                Err(refusal) => return socket.write_all(refusal.as_bytes()),
            }
        };
        let answered = match &request {
            Request::Events { topics, last_event_id } => match self.register(topics, last_event_id) {
                Ok(conn) => return self.stream(socket, conn),
                Err(error) => Err(error),
            },
            Request::Publish { topic, data } => {
                let target = topic.as_deref().map_or(Target::All, Target::Topic);
                let published = self.with(|state| state.engine.publish(now(), target, &Event::data(data)));
                published.map(|id| http::response("200 OK", &id.to_string())).map_err(|error| error.to_string())
            }
        };
        let response = answered.unwrap_or_else(|error| http::response("400 Bad Request", &error));
        socket.write_all(response.as_bytes())
    }

    /// A connection that this thread writes to.
    fn register(&self, topics: &[String], last_event_id: &str) -> Result<ConnId, String> {
        let id = format!("visitor_{}", self.visitors.fetch_add(1, Ordering::Relaxed));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let wish = Registration {
            topics: &topics,
            resume: Resume::After(last_event_id),
            passing: true,
            ..Registration::new(ClientId::new(&id).expect("letters and digits"))
        };
        self.with(|state| {
            let conn = state.engine.register(now(), &wish).map_err(|error| error.to_string())?.conn;
            state.writers.insert(conn, thread::current());
            Ok(conn)
        })
    }

    /// Writes until the engine closes the connection or the peer is gone, which shows at the next heartbeat.
    fn stream(&self, socket: &mut TcpStream, conn: ConnId) -> io::Result<()> {
        let mut chunk = http::STREAM_HEAD.as_bytes().to_vec();
        let ended = loop {
            if let Err(error) = socket.write_all(&chunk) {
                break Err(error);
            }
            match self.with(|state| state.take(conn, &mut chunk)) {
                Err(Stale) => break Ok(()),
                Ok(()) if chunk.is_empty() => thread::park(),
                Ok(()) => {}
            }
        };
        self.with(|state| {
            state.writers.remove(&conn);
            // If it was the engine that closed it, it knows.
            let _ = state.engine.handle_disconnect(now(), conn);
        });
        ended
    }
}

impl State {
    /// Wakes those who have something to write, and those whose connection was closed. Who is woken before it sleeps does not sleep.
    fn wake(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Write(conn) | Output::Close { conn, .. } => drop(self.writers.get(&conn).map(Thread::unpark)),
                // Peers are told of gaps in their streams, and nobody asks who a visitor was.
                Output::Gap { .. } | Output::Expired { .. } | Output::Unused { .. } => {}
            }
        }
    }

    /// Copies what comes next for `conn` into `chunk`; nothing when there is nothing now.
    fn take(&mut self, conn: ConnId, chunk: &mut Vec<u8>) -> Result<(), Stale> {
        chunk.clear();
        let mut slices = [&b""[..]; 16];
        let filled = self.engine.transmit(conn, &mut slices)?;
        for slice in &slices[..filled] {
            chunk.extend_from_slice(&slice[..slice.len().min(CHUNK - chunk.len())]);
        }
        self.engine.handle_written(now(), conn, chunk.len()).map(|_whole_frames| ())
    }
}
