//! What a hub is asked to do, by number; `js/engine.js` has the same list. Each says what the record has, or what the number is, and what
//! comes of it.

/// A hub: epoch, key of 16 random bytes, and options; its number.
pub const MAKE: u32 = 0;
/// A hub is given up.
pub const FREE: u32 = 1;
/// Event, data, id, reconnection time and comment: the bytes of one frame.
pub const ENCODE: u32 = 2;
/// The next thing to do, see `Hub::poll_output`.
pub const POLL_OUTPUT: u32 = 3;
/// When to call [`HANDLE_TIMEOUT`]; negative for never.
pub const POLL_TIMEOUT: u32 = 4;
/// It is now.
pub const HANDLE_TIMEOUT: u32 = 5;
/// Whether there are bytes for a stream, see `Hub::transmit`.
pub const TRANSMIT: u32 = 6;
/// The chunk that [`TRANSMIT`] made last.
pub const CHUNK: u32 = 7;
/// The peer of a stream is gone: 0 it was known already, 1 its client has other streams, 2 it was the last.
pub const HANDLE_DISCONNECT: u32 = 8;
/// Ends a stream once it was given what was published until now; false when it is gone.
pub const FINISH: u32 = 9;
/// Whether a stream was given everything there is for it.
pub const IS_CAUGHT_UP: u32 = 10;
/// The id of the event with this number.
pub const EVENT_ID: u32 = 11;
/// The id of the newest event.
pub const LAST_EVENT_ID: u32 = 12;
/// How much there is: connections, clients (issued ids included), issued ids, groups, topics, tasks, frames and bytes of the log.
pub const USAGE: u32 = 13;
/// Every stream is told to come back after a time from the least to the most, in milliseconds, and ends; nobody can register any more.
pub const DRAIN: u32 = 14;
/// Clients that are too old go now.
pub const SWEEP: u32 = 15;
/// Reserves an id for a name: group, name, and 32 random bytes.
pub const ALLOCATE_ID: u32 = 16;
/// An id that nobody else has, made of 64 random bytes: for a name, or without.
pub const NEW_ID: u32 = 17;
/// Opens a stream and says its number: see `Hub::register`.
pub const REGISTER: u32 = 18;
/// Group and id: whether such a client is registered.
pub const IS_REGISTERED: u32 = 19;
/// Gives up a client: group, id, and by the number whether its streams end; true if it was registered.
pub const UNREGISTER: u32 = 20;
/// Gives up every client; whether their streams end.
pub const CLEAR: u32 = 21;
/// A client listens to a topic: group, id, topic; true unless it did already.
pub const LISTEN: u32 = 22;
/// A client listens to a topic no longer: group, id, topic; true if it did.
pub const UNLISTEN: u32 = 23;
/// The registered clients, see `Hub::clients`.
pub const CLIENTS: u32 = 24;
/// Group and id: the open streams of a client, in the order they came.
pub const STREAMS: u32 = 25;
/// Checks an event and puts it to those that [`PUBLISH`] publishes, see `Hub::prepare`.
pub const PREPARE: u32 = 26;
/// Publishes what was prepared, in order and under consecutive numbers, the last of which it says.
pub const PUBLISH: u32 = 27;
/// The index of the first event that was prepared for a client that is not registered; -1 for none.
pub const FIRST_UNKNOWN: u32 = 28;
/// Forgets what was prepared.
pub const DISCARD: u32 = 29;
/// Tells those who listen to a key, see `Hub::notify`.
pub const NOTIFY: u32 = 30;
/// Whether anybody listens to a topic.
pub const HAS_LISTENERS: u32 = 31;
/// Group and id: sends the one frame of system M's `trigger-adhoc`, perhaps bare; the event's number.
pub const NOTIFY_AD_HOC: u32 = 32;
/// Whether this can be the name of a task.
pub const CHECK_TASK: u32 = 33;
/// A client waits for a task from now on: group, id, task.
pub const SUBMIT: u32 = 34;
/// A task came along: group, id, task, JSON.
pub const PROGRESS: u32 = 35;
/// A task ended, see `Hub::complete`.
pub const COMPLETE: u32 = 36;
/// What a client waits for: group, id.
pub const TASKS_OF: u32 = 37;
/// From now on the host asks for changes, and by the number also for those of clients that are forgotten with their last stream.
pub const KEEP: u32 = 38;
/// Whether there is something to write down.
pub const HAS_CHANGES: u32 = 39;
/// Whether all records of clients are to be forgotten first; asked once.
pub const TAKE_CLEARED: u32 = 40;
/// Group and id of each client that changed; asked once.
pub const TAKE_CLIENTS: u32 = 41;
/// Group and id: the record of a client; false when there is nothing to keep of it.
pub const CLIENT_RECORD: u32 = 42;
/// Group and id: from when the age of a client counts, to sort records by; one that does not age yet comes last.
pub const AGES_SINCE: u32 = 43;
/// A record of the next frames; false when all are kept.
pub const TAKE_FRAMES: u32 = 44;
/// Frames up to this sequence number are kept.
pub const KEPT_UNTIL: u32 = 45;
/// Frames up to this sequence number need not be kept any longer.
pub const EVICTED: u32 = 46;
/// Takes in the record of a client, in the order of [`AGES_SINCE`].
pub const RESTORE_CLIENT: u32 = 47;
/// Where the hub goes on once its clients are restored: what was evicted, and the last sequence number.
pub const RESTORE_POSITION: u32 = 48;
/// Takes in a record of frames, oldest first.
pub const RESTORE_FRAMES: u32 = 49;
/// Group and id: the how-manieth client this is that registered; 0 for one that is not registered.
pub const ORDINAL: u32 = 50;
/// Opens a stream again, after all frames, that was caught up when the hub before this one ended: group, id, its ordinal, and by the
/// number whether it is told of tasks as system M. Its number; negative when its client was given up since then, whoever has the id now.
pub const RESTORE_STREAM: u32 = 51;
/// Everything was taken in.
pub const RESTORED: u32 = 52;
/// Takes in an id that was issued now and not registered since, oldest first and before all clients: group, id.
pub const RESTORE_ID: u32 = 53;
