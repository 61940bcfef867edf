//! The engine for JavaScript: the host calls a verb, then [`POLL_OUTPUT`](verb::POLL_OUTPUT) until there is nothing more, then waits
//! until [`POLL_TIMEOUT`](verb::POLL_TIMEOUT) or until something happens. What `sse-runtime` does for a shard, for a host that has
//! one thread: one engine, so one order.

mod keep;
mod publish;
pub mod record;
mod register;
pub mod verb;
mod work;

use alloc::string::String;
use alloc::vec::Vec;

use sse_proto::{ClientKey, CloseReason, ConnId, Engine, Epoch, EventId, Heap, Instant, Output};

use self::keep::Unkept;
use self::publish::Publication;
use self::record::Writer;
use crate::config;
use crate::error::{self, Failure, What};
use crate::record::Reader;

/// Bytes handed to a stream at once: small enough that a peer that takes nothing holds little, large enough for big runs.
const CHUNK: usize = 16 * 1024;
/// Runs of the log that one chunk is made of.
const RUNS: usize = 16;

/// A hub of Server-Sent Events without I/O.
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

/// What [`verb::POLL_OUTPUT`] answers.
const NOTHING: f64 = 0.0;
const WRITE: f64 = 1.0;
const CLOSE: f64 = 2.0;
const GAP: f64 = 3.0;
const EXPIRED: f64 = 4.0;
const UNUSED: f64 = 5.0;

/// What [`verb::TRANSMIT`] answers.
const SAME_CHUNK: f64 = 1.0;
const NEW_CHUNK: f64 = 2.0;

impl Hub {
    /// An empty hub: epoch, 16 random bytes that are the key of its hash tables, and its options.
    ///
    /// # Errors
    ///
    /// `invalid-option` with the limit that does not fit.
    pub fn new(record: &mut Reader<'_>) -> Result<Self, Failure> {
        let (epoch, (hash_key, _)) = (record.float()?, record.bytes()?.as_chunks());
        let &[first, second, ..] = hash_key else {
            return Err(Failure::new(What::NoEntropy));
        };
        let hash_key = [first, second].map(u64::from_le_bytes);
        let config = config::config(record)?;
        if config.limits.connections > MAX_SLOTS {
            return Err(Failure::option("connections", "at most 2,097,152"));
        }
        Ok(Self {
            engine: Engine::new(config, Epoch(epoch as u32), hash_key)?,
            batch: Vec::new(),
            chunk: Vec::new(),
            scratch: Vec::new(),
            members: Vec::new(),
            newcomers: 0,
            unkept: Unkept::default(),
        })
    }

    /// Does what `verb` says, at `now` and with `number` or what the record has, each as it is written there.
    ///
    /// # Errors
    ///
    /// [`Failure`]: nothing was changed.
    pub fn call(
        &mut self,
        verb: u32,
        now: f64,
        number: f64,
        record: &mut Reader<'_>,
        answer: &mut Writer,
    ) -> Result<f64, Failure> {
        let now = instant(now);
        match verb {
            verb::POLL_OUTPUT => return Ok(self.poll_output(answer)),
            verb::POLL_TIMEOUT => return Ok(self.engine.poll_timeout().map_or(-1.0, |at| at.as_millis() as f64)),
            verb::HANDLE_TIMEOUT => self.engine.handle_timeout(now),
            verb::TRANSMIT => return Ok(self.transmit(now, conn_id(number))),
            verb::CHUNK => answer.bytes(&self.chunk),
            verb::HANDLE_DISCONNECT => return Ok(self.handle_disconnect(now, conn_id(number))),
            verb::FINISH => return Ok(truth(self.engine.finish(now, conn_id(number)).is_ok())),
            verb::IS_CAUGHT_UP => return Ok(truth(self.engine.is_caught_up(conn_id(number)))),
            verb::EVENT_ID => event_id(EventId { sequence: number as u64, ..self.engine.last_event_id() }, answer),
            verb::LAST_EVENT_ID => event_id(self.engine.last_event_id(), answer),
            verb::USAGE => self.usage(answer),
            verb::DRAIN => self.engine.drain(now, record.float()? as u32, record.float()? as u32),
            verb::SWEEP => self.engine.sweep(now),

            verb::ALLOCATE_ID => self.allocate_id(now, record, answer)?,
            verb::NEW_ID => self.new_id(record, answer)?,
            verb::REGISTER => return self.register(now, record, answer),
            verb::IS_REGISTERED => return Ok(truth(self.engine.find(record.text()?, record.text()?).is_some())),
            verb::UNREGISTER => return self.unregister(now, number != 0.0, record),
            verb::CLEAR => self.clear(now, number != 0.0),
            verb::LISTEN => return self.listen(now, record),
            verb::UNLISTEN => return self.unlisten(now, record),
            verb::CLIENTS => return Ok(self.clients(answer)),
            verb::STREAMS => return self.streams(record, answer),

            verb::PREPARE => self.prepare(record)?,
            verb::PUBLISH => return self.publish(now),
            verb::FIRST_UNKNOWN => return Ok(self.first_unknown()),
            verb::DISCARD => self.batch.clear(),
            verb::NOTIFY => return self.notify(now, number != 0.0, record),
            verb::HAS_LISTENERS => return Ok(truth(self.engine.listeners(record.text()?).next().is_some())),
            verb::NOTIFY_AD_HOC => return self.notify_ad_hoc(now, number != 0.0, record),

            verb::CHECK_TASK => self.check_task(record.text()?)?,
            verb::SUBMIT => self.submit(now, record)?,
            verb::PROGRESS => self.progress(now, record)?,
            verb::COMPLETE => self.complete(now, number, record)?,
            verb::TASKS_OF => return self.tasks_of(record, answer),

            verb::KEEP => self.keep(number != 0.0),
            verb::HAS_CHANGES => return Ok(truth(self.has_changes())),
            verb::TAKE_CLEARED => return Ok(truth(self.take_cleared())),
            verb::TAKE_CLIENTS => return Ok(self.take_clients(answer)),
            verb::CLIENT_RECORD => return self.client_record(record, answer),
            verb::AGES_SINCE => return self.ages_since(record),
            verb::TAKE_FRAMES => return Ok(self.take_frames(answer)),
            verb::KEPT_UNTIL => return Ok(self.kept_until()),
            verb::EVICTED => return Ok(self.engine.evicted() as f64),
            verb::RESTORE_CLIENT => self.read_client(now, &mut Reader::new(record.bytes()?))?,
            verb::RESTORE_POSITION => self.engine.restore_position(record.float()? as u64, record.float()? as u64),
            verb::ORDINAL => return Ok(self.ordinal(record.text()?, record.text()?)),
            verb::RESTORE_STREAM => return self.restore_stream(now, number != 0.0, record),
            verb::RESTORED => self.restored(now),
            verb::RESTORE_ID => self.restore_id(now, record)?,
            verb::RESTORE_FRAMES => self.restore_frames(record.bytes()?)?,
            _ => return Err(error::broken()),
        }
        Ok(0.0)
    }

    /// The next thing to do: 1 write to a stream, 2 end it for a reason, 3 it has a gap for a reason, 4 a client expired, 5 an id
    /// was not used in time; 0 nothing. The answer says which stream, why, whether it was its client's last, and which client or id.
    fn poll_output(&mut self, answer: &mut Writer) -> f64 {
        let Some(output) = self.engine.poll_output() else {
            return NOTHING;
        };
        match output {
            Output::Write(conn) => {
                answer.number(handle(conn));
                WRITE
            }
            Output::Close { conn, client, reason, last } => {
                self.touch(client);
                answer.number(handle(conn));
                answer.text(close_reason(reason));
                answer.number(u64::from(last));
                CLOSE
            }
            Output::Gap { conn, reason } => {
                answer.number(handle(conn));
                answer.text(reason.name());
                GAP
            }
            Output::Expired { client, id } => {
                answer.text(&id);
                self.touch(client);
                EXPIRED
            }
            Output::Unused { id } => {
                answer.text(&id);
                UNUSED
            }
        }
    }

    /// The next bytes of a stream, at most 16 KiB, taken as written: 0 there are none now, 1 they are those that were handed
    /// out last, 2 they are new and [`verb::CHUNK`] answers them.
    fn transmit(&mut self, now: Instant, conn: ConnId) -> f64 {
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

    /// The peer of a stream is gone: 0 it was known already, 1 its client has other streams, 2 it was the last.
    fn handle_disconnect(&mut self, now: Instant, conn: ConnId) -> f64 {
        match self.engine.handle_disconnect(now, conn) {
            Err(_) => 0.0,
            Ok(left) => {
                self.touch(left.client);
                1.0 + truth(left.last)
            }
        }
    }

    /// How much there is: connections, clients (issued ids included), issued ids, groups, topics, tasks, frames and bytes of the log.
    fn usage(&self, answer: &mut Writer) {
        let usage = self.engine.usage();
        for number in [
            usage.connections,
            usage.clients,
            usage.issued_ids,
            usage.groups,
            usage.topics,
            usage.tasks,
            usage.log_entries,
            usage.log_bytes,
        ] {
            answer.number(u64::from(number));
        }
    }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn event_id(id: EventId, answer: &mut Writer) {
    answer.text(id.write(&mut [0; EventId::MAX_LEN]));
}

/// A connection's number in JavaScript: generation and slot in the 53 bits of a double.
const SLOT_BITS: u32 = 21;
const MAX_SLOTS: u32 = 1 << SLOT_BITS;

fn handle(conn: ConnId) -> u64 {
    let bits = conn.to_bits();
    (bits >> 32) << SLOT_BITS | bits & u64::from(MAX_SLOTS - 1)
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
