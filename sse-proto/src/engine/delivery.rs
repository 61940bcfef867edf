//! Cursors: where each connection stands in the log, and which bytes come next for it.
//!
//! A connection that is caught up holds nothing. A frame for it sets its cursor and makes it pending; a pending connection walks
//! the log forward, looking at each entry once, until it has passed the last frame that is for it.
//!
//! ```text
//!            frame or notice            offered to the driver
//!   Idle ───────────────────────▶ Ready ─────────────────────▶ Writing
//!    ▲                              ▲   nothing found yet         │
//!    │                              └─────────────────────────────┤
//!    └───────────── everything that is for it was taken ──────────┘
//!   any of them ──▶ Closing ──▶ gone
//! ```

use super::directory::{Directory, OfClient};
use super::log::{Entry, Log, Scope};
use super::{CloseReason, Dialect, GapReason, Greeting};
use crate::id::ClientKey;
use crate::storage::Storage;
use crate::storage::slab::{Link, linked};

/// One open response: what must be at hand to give it one more frame. Aligned to four bytes it has room for its generation in 32.
#[derive(Debug)]
#[repr(Rust, packed(4))]
pub(super) struct Connection {
    /// The next sequence number to look at.
    pub(super) cursor: u64,
    /// The last sequence number that may be for it.
    pub(super) until: u64,
    /// Its place among those that are ready.
    pub(super) turn: Link,
    pub(super) phase: Phase,
    /// The frame at the cursor is known to be for it. Until its client loses what made it so.
    pub(super) found: bool,
    /// Its client was given up: nothing but heartbeats is for it.
    pub(super) silent: bool,
    /// It ends once it was given what is for it by now.
    pub(super) finishing: bool,
}

/// What else is known of a connection, for who writes to it. Aligned to four bytes it takes 44, not 48.
#[derive(Debug)]
#[repr(Rust, packed(4))]
pub(super) struct Stream {
    pub(super) client: u32,
    pub(super) of_client: Link,
    /// Completions up to this sequence number need not be told again.
    pub(super) told: u64,
    /// The sequence number in the `id` line of the notice being sent, if `has_id`.
    pub(super) id: u64,
    /// In the notice that is being sent, or else in the frame at the cursor.
    pub(super) offset: u32,
    /// The length of the notice that is being sent, or else which of the frames that told of the end of a task was for its client.
    pub(super) notice_len_or_rank: u32,
    pub(super) notice: Option<Sending>,
    pub(super) has_id: bool,
    pub(super) due: Due,
    pub(super) gap: GapReason,
    pub(super) greeting: Greeting,
    pub(super) resumes: Resumes,
    /// What it registered with: a notice that was begun is finished in it.
    pub(super) dialect: Dialect,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Caught up.
    Idle,
    /// Has something; the driver was not told yet.
    Ready,
    /// The driver was told and writes.
    Writing,
    /// Will be reported as closed.
    Closing(CloseReason),
}

/// What the greeting says of the stream before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resumes {
    /// There was none.
    Nothing,
    /// The client has everything.
    CaughtUp,
    /// Frames follow that the client has not.
    Behind,
}

/// A notice of the engine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Greeting,
    Gap,
    /// The completion with the sequence number `told`.
    Task,
    /// Nothing but where the connection stands.
    Position,
    Heartbeat,
    Farewell,
}

/// Notices that wait to be sent, in this order, and what is to be known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due(u8);

impl Due {
    pub(super) const NOTHING: Self = Self(0);
    pub(super) const GREETING: Self = Self(1);
    pub(super) const GAP: Self = Self(2);
    /// Completions that may not have arrived.
    pub(super) const TASKS: Self = Self(4);
    /// None of the notices above has carried the connection's position: the one that should have may be gone.
    pub(super) const POSITION: Self = Self(8);
    pub(super) const HEARTBEAT: Self = Self(16);
    /// After everything else, and the last thing sent.
    pub(super) const FAREWELL: Self = Self(32);
    /// The client has shown what it has: completions after that are due even when they were sent once.
    pub(super) const TASKS_SENT_TOO: Self = Self(64);
    /// The application has not heard of the gap yet.
    pub(super) const REPORT_GAP: Self = Self(128);

    /// Whether a notice may have to be sent.
    pub(super) const fn any(self) -> bool {
        self.0 & (Self::TASKS_SENT_TOO.0 - 1) != 0
    }

    pub(super) const fn has(self, due: Self) -> bool {
        self.0 & due.0 != 0
    }

    /// With `due`, or without it.
    #[must_use]
    pub(super) const fn with(self, due: Self, is_due: bool) -> Self {
        Self(if is_due { self.0 | due.0 } else { self.0 & !due.0 })
    }

    /// `due` is due, or not.
    pub(super) fn set(&mut self, due: Self, is_due: bool) {
        *self = self.with(due, is_due);
    }
}

impl Phase {
    /// Whether who is in it has a turn.
    pub(super) const fn is_ready(self) -> bool {
        !matches!(self, Self::Idle | Self::Writing)
    }
}

/// Names the link of connections that are ready.
#[derive(Debug)]
pub(super) enum OfReady {}

linked!(Connection, OfReady, turn);
linked!(Stream, OfClient, of_client);

/// How many entries one call looks at.
pub(super) const WALK: usize = 512;

/// What a walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// The frame at the cursor is for the connection.
    Found,
    /// Not yet: there is more to walk.
    Unfinished,
    /// Nothing up to `until` is for it.
    CaughtUp,
}

impl Connection {
    /// One that has everything up to the event `last`.
    pub(super) fn new(last: u64) -> Self {
        Self {
            cursor: last + 1,
            until: last,
            turn: Link::OUT,
            phase: Phase::Idle,
            found: false,
            silent: false,
            finishing: false,
        }
    }

    /// Whether its next frame may have left the log.
    pub(super) fn is_overrun<S: Storage>(&self, log: &Log<S>) -> bool {
        self.cursor <= log.evicted() && self.cursor <= self.until
    }
}

impl Stream {
    /// One with nothing to tell.
    pub(super) fn new(client: u32, dialect: Dialect) -> Self {
        Self {
            client,
            of_client: Link::OUT,
            told: 0,
            id: 0,
            offset: 0,
            notice_len_or_rank: 0,
            notice: None,
            has_id: false,
            due: Due::NOTHING,
            gap: GapReason::Unknown,
            greeting: Greeting::Silent,
            resumes: Resumes::Nothing,
            dialect,
        }
    }

    /// Whether the frame at the cursor was begun.
    pub(super) fn is_in_mid_frame(&self) -> bool {
        self.offset > 0 && self.notice.is_none()
    }
}

/// Whether the frame `entry` is for the connection. O(1), but for a topic O(topics of the client) and for a list O(log of it).
pub(super) fn is_for<S: Storage>(directory: &Directory<S>, log: &Log<S>, entry: &Entry, slot: u32) -> bool {
    let connection = directory.connections.at(slot);
    let client = || directory.streams.at(slot).client;
    let to_its_client = |key: ClientKey| key.slot == client() && directory.clients.holds(key.slot, key.generation);
    // What was begun is finished, whoever it is for by now. Only frames to single clients share a sequence number.
    if entry.sequence == connection.cursor && directory.streams.at(slot).is_in_mid_frame() {
        return match entry.scope {
            Scope::Client(key) => to_its_client(key),
            _ => true,
        };
    }
    if connection.silent {
        return false;
    }
    match entry.scope {
        Scope::All => true,
        Scope::Label(label) => directory.stands_under(directory.profiles.at(client()), label, entry.sequence),
        Scope::Client(key) => to_its_client(key),
        Scope::Connection(conn) => conn.slot == slot && directory.connections.holds(slot, conn.generation),
        Scope::Clients { members } => log.lists(entry, members, directory.client_key(client())),
    }
}

/// Whether `entry` is known to be for the connection and need not be compared again. Only frames to single clients share a number.
pub(super) fn is_found(connection: &Connection, entry: &Entry) -> bool {
    connection.found && entry.sequence == connection.cursor && !matches!(entry.scope, Scope::Client(_))
}

/// Index of the first entry to look at for a connection whose cursor is at `cursor`: of many under one number, that for its client, if it is
/// where the last one was. Where code is to be small there is none of this: the others are looked through.
pub(super) fn first_for<S: Storage>(directory: &Directory<S>, log: &Log<S>, slot: u32, cursor: u64) -> usize {
    let first = log.locate(cursor);
    if cfg!(feature = "std") {
        let told = first + directory.streams.at(slot).notice_len_or_rank as usize;
        if log.entry(told).is_some_and(|entry| entry.sequence == cursor && is_for(directory, log, entry, slot)) {
            return told;
        }
    }
    first
}

/// Looks from `cursor` on for the next frame that is for the connection: what was found, and where the cursor belongs. Looks at
/// [`WALK`] entries at most, and those that share a number with the last of them: no cursor stands between them.
pub(super) fn walk<S: Storage>(directory: &Directory<S>, log: &Log<S>, slot: u32, mut cursor: u64) -> (Walk, u64) {
    let Connection { until, found, .. } = *directory.connections.at(slot);
    if found {
        return (Walk::Found, cursor);
    }
    let first = first_for(directory, log, slot, cursor);
    let mut index = first;
    loop {
        let Some(entry) = log.entry(index).filter(|entry| entry.sequence <= until) else {
            return (Walk::CaughtUp, cursor.max(until + 1));
        };
        if index >= first + WALK && entry.sequence >= cursor {
            return (Walk::Unfinished, cursor);
        }
        if is_for(directory, log, entry, slot) {
            return (Walk::Found, entry.sequence);
        }
        cursor = entry.sequence + 1;
        index += 1;
    }
}

/// Fills `slices` with what follows at the cursor, which stands at a frame for the connection. Frames that stand side by side
/// share a slice. Looks at [`WALK`] entries at most, and those before it that share its number. Returns the number of slices filled.
pub(super) fn collect<'a, S: Storage>(directory: &Directory<S>, log: &'a Log<S>, slot: u32, slices: &mut [&'a [u8]]) -> usize {
    let connection = directory.connections.at(slot);
    let offset = directory.streams.at(slot).offset as usize;
    let mut run: Option<(Entry, usize, Entry)> = None;
    let mut filled = 0;
    let first = log.locate(connection.cursor);
    for index in first_for(directory, log, slot, connection.cursor).. {
        let Some(entry) = log.entry(index).filter(|entry| entry.sequence <= connection.until) else {
            break;
        };
        if index >= first + WALK && run.is_some() {
            break;
        }
        if !is_found(connection, entry) && !is_for(directory, log, entry, slot) {
            continue;
        }
        match &mut run {
            Some((_, _, last)) if Log::<S>::adjoin(last, entry) => *last = *entry,
            _ => {
                if let Some((first, skip, last)) = run.take() {
                    slices[filled] = log.run(&first, skip, &last);
                    filled += 1;
                    if filled == slices.len() {
                        return filled;
                    }
                }
                let skip = if entry.sequence == connection.cursor { offset } else { 0 };
                run = Some((*entry, skip, *entry));
            }
        }
    }
    if let Some((first, skip, last)) = run {
        slices[filled] = log.run(&first, skip, &last);
        filled += 1;
    }
    filled
}
