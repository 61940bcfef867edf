//! The engine for JavaScript: the host calls a verb, then [`poll_output`](Hub::poll_output) until there is nothing more, then
//! waits until [`poll_timeout`](Hub::poll_timeout) or until something happens. What `sse-runtime` does for a shard, for a host that has
//! one thread: one engine, so one order.

mod keep;
mod publish;
mod register;
mod work;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sse_proto::{ClientKey, CloseReason, ConnId, Engine, Epoch, EventId, GapReason, Heap, Instant, Output};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use self::keep::Unkept;
use self::publish::Publication;
use crate::config::Options;
use crate::error::Failure;

/// Bytes handed to a stream at once: small enough that a peer that takes nothing holds little, large enough for big runs.
const CHUNK: usize = 16 * 1024;
/// Runs of the log that one chunk is made of.
const RUNS: usize = 16;

/// A hub of Server-Sent Events without I/O.
#[wasm_bindgen]
pub struct Hub {
    engine: Engine<Heap>,
    /// What is checked and waits to be published together.
    batch: Vec<Publication>,
    /// The last chunk that was handed out, and whether JavaScript has it.
    chunk: Vec<u8>,
    scratch: Vec<u8>,
    /// By slot of the client.
    members: Vec<Option<Member>>,
    newcomers: u64,
    unkept: Unkept,
    said: Said,
}

/// What the engine does not know of a client.
struct Member {
    key: ClientKey,
    group: String,
    id: String,
    /// It was the how-manieth that registered.
    ordinal: u64,
    /// The last sequence number before it came.
    born: u64,
    /// The host will be told that it changed.
    is_unkept: bool,
}

/// What the last output or registration was about.
#[derive(Default)]
struct Said {
    conn: f64,
    reason: &'static str,
    id: String,
    last: bool,
    returning: bool,
}

/// What [`Hub::poll_output`] returns.
const NOTHING: u32 = 0;
const WRITE: u32 = 1;
const CLOSE: u32 = 2;
const GAP: u32 = 3;
const EXPIRED: u32 = 4;
const UNUSED: u32 = 5;

/// What [`Hub::transmit`] returns.
const SAME_CHUNK: u32 = 1;
const NEW_CHUNK: u32 = 2;

#[wasm_bindgen]
impl Hub {
    /// An empty hub. `entropy` is 20 random bytes: the epoch, and the key of its hash tables.
    ///
    /// # Errors
    ///
    /// `invalid-option` with the limit that does not fit.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &Options, epoch: u32, entropy: &[u8]) -> Result<Self, JsValue> {
        if options.config.limits.connections > MAX_SLOTS {
            return Err(Failure::new("invalid-option", "connections", "the limit connections must be at most 2,097,152").into());
        }
        let (halves, _) = entropy.as_chunks::<8>();
        let &[first, second, ..] = halves else {
            return Err(Failure::new("no-entropy", "", "the host gave no random bytes").into());
        };
        let hash_key = [u64::from_le_bytes(first), u64::from_le_bytes(second)];
        let engine = Engine::new(options.config.clone(), Epoch(epoch), hash_key).map_err(Failure::from)?;
        Ok(Self {
            engine,
            batch: Vec::new(),
            chunk: Vec::new(),
            scratch: Vec::new(),
            members: Vec::new(),
            newcomers: 0,
            unkept: Unkept::default(),
            said: Said::default(),
        })
    }

    /// The next thing to do: 1 write to `saidConn`, 2 end it for `saidReason`, 3 it has a gap for `saidReason`, 4 the client
    /// `saidId` expired, 5 the id `saidId` was not used in time; 0 nothing.
    #[wasm_bindgen(js_name = pollOutput)]
    pub fn poll_output(&mut self) -> u32 {
        let Some(output) = self.engine.poll_output() else {
            return NOTHING;
        };
        match output {
            Output::Write(conn) => {
                self.said.conn = handle(conn);
                WRITE
            }
            Output::Close { conn, client, reason, last } => {
                self.touch(client);
                self.said = Said { conn: handle(conn), reason: close_reason(reason), last, ..Said::default() };
                CLOSE
            }
            Output::Gap { conn, reason } => {
                self.said = Said { conn: handle(conn), reason: gap_reason(reason), ..Said::default() };
                GAP
            }
            Output::Expired { client, id } => {
                self.touch(client);
                self.said.id = id.into();
                EXPIRED
            }
            Output::Unused { id } => {
                self.said.id = id.into();
                UNUSED
            }
        }
    }

    /// When to call `handleTimeout`; negative for never.
    #[wasm_bindgen(js_name = pollTimeout)]
    pub fn poll_timeout(&self) -> f64 {
        self.engine.poll_timeout().map_or(-1.0, |at| at.as_millis() as f64)
    }

    /// It is `now`.
    #[wasm_bindgen(js_name = handleTimeout)]
    pub fn handle_timeout(&mut self, now: f64) {
        self.engine.handle_timeout(instant(now));
    }

    /// The next bytes of a stream, at most 16 KiB, taken as written: 0 there are none now, 1 they are those that were handed
    /// out last, 2 they are new and [`chunk`](Self::chunk) has them.
    pub fn transmit(&mut self, now: f64, conn: f64) -> u32 {
        let (now, conn) = (instant(now), conn_id(conn));
        self.scratch.clear();
        while self.scratch.len() < CHUNK {
            let mut slices = [&b""[..]; RUNS];
            let filled = self.engine.transmit(conn, &mut slices).unwrap_or(0);
            let before = self.scratch.len();
            for slice in &slices[..filled] {
                let room = CHUNK - self.scratch.len();
                self.scratch.extend_from_slice(&slice[..slice.len().min(room)]);
            }
            let copied = self.scratch.len() - before;
            if copied == 0 || self.engine.handle_written(now, conn, copied).is_err() {
                break;
            }
        }
        if let Ok(client) = self.engine.client_of(conn)
            && self.engine.tasks(client).next().is_some()
        {
            self.touch(client);
        }
        if self.scratch.is_empty() {
            return NOTHING;
        }
        if self.scratch == self.chunk {
            return SAME_CHUNK;
        }
        core::mem::swap(&mut self.scratch, &mut self.chunk);
        NEW_CHUNK
    }

    /// A copy of the chunk that `transmit` made last.
    pub fn chunk(&self) -> Vec<u8> {
        self.chunk.clone()
    }

    /// The peer of a stream is gone: 0 it was known already, 1 its client has other streams, 2 it was the last.
    #[wasm_bindgen(js_name = handleDisconnect)]
    pub fn handle_disconnect(&mut self, now: f64, conn: f64) -> u32 {
        match self.engine.handle_disconnect(instant(now), conn_id(conn)) {
            Err(_) => 0,
            Ok(left) => {
                self.touch(left.client);
                1 + u32::from(left.last)
            }
        }
    }

    /// Ends a stream once it was given what was published until now; false when it is gone.
    pub fn finish(&mut self, now: f64, conn: f64) -> bool {
        self.engine.finish(instant(now), conn_id(conn)).is_ok()
    }

    /// Whether a stream was given everything there is for it.
    #[wasm_bindgen(js_name = isCaughtUp)]
    pub fn is_caught_up(&self, conn: f64) -> bool {
        self.engine.is_caught_up(conn_id(conn))
    }

    /// Which stream was spoken of.
    #[wasm_bindgen(js_name = saidConn)]
    pub fn said_conn(&self) -> f64 {
        self.said.conn
    }

    /// Why.
    #[wasm_bindgen(js_name = saidReason)]
    pub fn said_reason(&self) -> String {
        self.said.reason.into()
    }

    /// Which client or id.
    #[wasm_bindgen(js_name = saidId)]
    pub fn said_id(&self) -> String {
        self.said.id.clone()
    }

    /// Whether it was the client's last stream.
    #[wasm_bindgen(js_name = saidLast)]
    pub fn said_last(&self) -> bool {
        self.said.last
    }

    /// Whether the client was known before it registered.
    #[wasm_bindgen(js_name = saidReturning)]
    pub fn said_returning(&self) -> bool {
        self.said.returning
    }

    /// The id of the event with this number.
    #[wasm_bindgen(js_name = eventId)]
    pub fn event_id(&self, sequence: f64) -> String {
        EventId { sequence: sequence as u64, ..self.engine.last_event_id() }.to_string()
    }

    /// The id of the newest event.
    #[wasm_bindgen(js_name = lastEventId)]
    pub fn last_event_id(&self) -> String {
        self.engine.last_event_id().to_string()
    }

    /// How much there is: connections, clients (issued ids included), issued ids, groups, topics, tasks, frames and bytes of the log.
    pub fn usage(&self) -> Vec<u32> {
        let usage = self.engine.usage();
        [
            usage.connections,
            usage.clients,
            usage.issued_ids,
            usage.groups,
            usage.topics,
            usage.tasks,
            usage.log_entries,
            usage.log_bytes,
        ]
        .into()
    }

    /// Every stream is told to come back within these milliseconds and ends; nobody can register any more.
    pub fn drain(&mut self, now: f64, min_retry: u32, max_retry: u32) {
        self.engine.drain(instant(now), min_retry, max_retry);
    }

    /// Clients that are too old go now.
    pub fn sweep(&mut self, now: f64) {
        self.engine.sweep(instant(now));
    }
}

/// A connection's number in JavaScript: generation and slot in the 53 bits of a double.
const SLOT_BITS: u32 = 21;
const MAX_SLOTS: u32 = 1 << SLOT_BITS;

fn handle(conn: ConnId) -> f64 {
    let bits = conn.to_bits();
    ((bits >> 32) << SLOT_BITS | bits & u64::from(MAX_SLOTS - 1)) as f64
}

fn conn_id(handle: f64) -> ConnId {
    let bits = handle as u64;
    ConnId::from_bits((bits >> SLOT_BITS) << 32 | bits & u64::from(MAX_SLOTS - 1))
}

fn instant(millis: f64) -> Instant {
    Instant::from_millis(millis as u64)
}

const fn close_reason(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Stalled => "stalled",
        CloseReason::Overrun => "overrun",
        CloseReason::Replaced => "replaced",
        CloseReason::Expired => "expired",
        CloseReason::Unregistered => "unregistered",
        CloseReason::Drained => "drained",
    }
}

const fn gap_reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Evicted => "evicted",
        GapReason::Epoch => "epoch",
        GapReason::Unknown => "unknown",
        GapReason::Overrun => "overrun",
    }
}
