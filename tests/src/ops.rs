//! The one generator of runs: a configuration and a list of steps, each made of eight bytes.
//!
//! Proptest draws the bytes, and a fuzzer brings them as they are ([`decode_run`]). Simple steps have small bytes, so shrinking
//! the bytes shrinks the run.

use core::time::Duration;

use proptest::prelude::{Strategy, any};
use sse_proto::{Age, Config, Dialect, EventIds, Greeting, IdForm, Limits, MAX_EVENT_ID, Overrun};

/// Client ids that registrations use.
pub const IDS: [&str; 8] =
    ["bob_1", "bob_2", "bobby_1", "ann_1", "bob", "_x", "a_b_c", "an-id-that-is-longer-than-forty-bytes_may-be"];
/// Groups; the last two cannot be one.
pub const GROUPS: [&str; 8] = ["", "", "", "", "red", "blue", "no^group", "a group whose name is longer than forty bytes"];
/// User names to publish to and to allocate ids for; the last two cannot be one.
pub const NAMES: [&str; 8] =
    ["bob", "bobby", "ann", "a_b", "nobody", "_x", "no name", "a-user-name-that-is-longer-than-forty-bytes"];
/// Topics; the last two cannot be one.
pub const TOPICS: [&str; 8] =
    ["t0", "t1", "t2", "t3", "t4", "t5", "no\"topic", "a topic whose name is longer than its forty bytes"];
/// Tasks; the last two cannot be one.
pub const TASKS: [&str; 8] = ["k0", "k1", "k2", "k3", "k0", "k1", "no/task", "a-task-whose-name-is-longer-than-forty-bytes"];
/// Results and progress (JSON), and reasons.
pub const DETAILS: [&str; 6] = [
    "1",
    "{\"a\":[1]}",
    "[1,\n2]",
    "\"x\"",
    "\"a^b\\\\c\"",
    "\"a text too long for the smallest frames but not for the larger ones: it has about ninety bytes.\"",
];
/// Texts of events.
pub const DATA: [&str; 8] = [
    "x",
    "",
    "a\nb",
    " a\r\n\r b",
    "\u{fc}\n",
    "sixty-four bytes of text, more or less, so that logs fill quickly",
    "a hundred and fifty bytes of text, more or less, so that a log of few bytes holds but a frame or two \
     and lets go of the others as soon as it is written",
    "more than two hundred and fifty-six bytes: more than the smallest frame may have. more than two hundred \
     and fifty-six bytes: more than the smallest frame may have. more than two hundred and fifty-six bytes: \
     more than the smallest frame may have.",
];
/// Ids that applications give; the last one is longer than any may be.
pub const OWN_IDS: [&str; 7] = ["own-1", "own-2", " own", "", "00000007-3", "x-1", LONG_ID];
const LONG_ID: &str = match core::str::from_utf8(&[b'x'; MAX_EVENT_ID + 1]) {
    Ok(id) => id,
    Err(_) => "",
};

/// One step of a run. Numbers named `client` and `conn` pick among those that are known at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the verbs")]
pub enum Op {
    /// Ask for output until there is none, and let every peer take its bytes, `take` at a time.
    Drive {
        take: usize,
        slices: usize,
    },
    /// Write to a connection, asked or not, as far as its peer takes bytes.
    Write {
        conn: u8,
        take: usize,
        slices: usize,
    },
    /// Ask for output a few times, and write nothing.
    Poll {
        outputs: u8,
    },
    /// Time passes.
    Wait {
        millis: u64,
    },
    /// Time passes, and the next verb is the first to tell.
    Later {
        millis: u64,
    },
    /// The clock steps back, and forward again with the next [`Wait`](Self::Wait): verbs in between tell the earlier time.
    StepBack {
        millis: u64,
    },
    Register(Register),
    /// The connection ends after what was published for it.
    Finish {
        conn: u8,
    },
    Disconnect {
        conn: u8,
    },
    Publish {
        target: To,
        event: What,
        skip: u64,
    },
    /// More events than one look at the log passes, if the log holds so many.
    Burst {
        target: To,
    },
    Listen {
        client: u8,
        topic: &'static str,
    },
    Unlisten {
        client: u8,
        topic: &'static str,
    },
    Unregister {
        client: u8,
        end_streams: bool,
    },
    Clear {
        end_streams: bool,
    },
    Allocate {
        group: &'static str,
        name: &'static str,
        entropy: u8,
    },
    /// Takes in an id that another hub made so long ago.
    RestoreId {
        group: &'static str,
        id: &'static str,
        age: u64,
    },
    Submit {
        client: u8,
        task: &'static str,
    },
    Withdraw {
        client: u8,
        task: &'static str,
    },
    Progress {
        client: u8,
        task: &'static str,
        detail: &'static str,
        skip: u64,
    },
    Complete {
        client: u8,
        owned: bool,
        task: &'static str,
        detail: Option<&'static str>,
        failed: bool,
        skip: u64,
    },
    Observe {
        skip: u64,
    },
    Sweep,
    Drain {
        min_retry: u32,
        max_retry: u32,
    },
}

/// A registration to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Registration`")]
pub struct Register {
    pub id: Who,
    pub group: &'static str,
    pub topics: Vec<&'static str>,
    pub resume: From,
    pub greeting: Greeting,
    pub dialect: Dialect,
    pub replace: bool,
    pub passing: bool,
}

/// Under which id to register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Under this one.
    Id(&'static str),
    /// Under one that was allocated.
    Issued(u8),
}

/// Where a stream is to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the next event.
    Live,
    /// With the oldest.
    Earliest,
    /// Where some connection saw its last id.
    Seen(u8),
    /// So many events back.
    Back(u8),
    /// After an event of another life of the hub.
    OtherEpoch,
    /// After an event that is still to come.
    Future,
    /// After an id of the application's.
    Own(&'static str),
}

/// Who an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are those of `Target`")]
pub enum To {
    All,
    Group(&'static str),
    Topic(&'static str),
    UserName(&'static str),
    Client(u8),
    Connection(u8),
    Clients([u8; 3], usize),
}

/// What an event holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Event`")]
pub struct What {
    pub id: Option<&'static str>,
    pub event: Option<&'static str>,
    pub retry: Option<u32>,
    pub data: Option<&'static str>,
    pub comment: Option<&'static str>,
}

impl Op {
    /// The step that eight bytes stand for. Every eight bytes stand for one.
    pub fn decode([kind, a, b, c, d, e, f, g]: [u8; 8]) -> Self {
        let bit = |byte: u8| byte & 1 == 1;
        // Mostly one after the other.
        let skip = if g < 224 { 0 } else { u64::from(g - 223) };
        match kind {
            0..=29 => Self::Drive { take: [usize::MAX, 1, 7, 64][usize::from(a) % 4], slices: 1 + usize::from(b) % 4 },
            30..=64 => {
                Self::Write { conn: a, take: if bit(b) { usize::MAX } else { usize::from(c) }, slices: 1 + usize::from(d) % 4 }
            }
            65..=74 => Self::Poll { outputs: 1 + a % 4 },
            75..=94 => Self::Wait {
                millis: match a % 8 {
                    0..=3 => u64::from(b) * 10,
                    4 => u64::from(b) % 3,
                    5 | 6 => 1_000 * (1 + u64::from(b) % 4) + u64::from(c) % 3 - 1,
                    _ => u64::from(b) * 1_000,
                },
            },
            95..=96 => Self::StepBack { millis: u64::from(a) * 20 },
            97 => Self::Later { millis: u64::from(a) * u64::from(b) },
            98..=129 => Self::Register(Register {
                id: if a < 208 { Who::Id(pick(&IDS, b)) } else { Who::Issued(b) },
                group: pick(&GROUPS, c),
                topics: [d, d >> 3, a].into_iter().take(usize::from(e) % 4).map(|topic| pick(&TOPICS, topic)).collect(),
                resume: match f % 12 {
                    0 | 1 => From::Live,
                    2 | 3 => From::Earliest,
                    4..=7 => From::Seen(g),
                    8 => From::Back(g),
                    9 => From::OtherEpoch,
                    10 => From::Future,
                    _ => From::Own(pick(&OWN_IDS, g)),
                },
                greeting: [Greeting::Connected, Greeting::Registered, Greeting::Position, Greeting::Silent]
                    [usize::from(e >> 2) % 4],
                dialect: if e < 192 { Dialect::Named } else { Dialect::Manager },
                replace: e >> 4 & 3 == 3,
                passing: e >> 4 & 3 == 2,
            }),
            130..=138 => Self::Disconnect { conn: a },
            139 => Self::Finish { conn: a },
            140..=189 => Self::Publish {
                target: match a % 12 {
                    0..=3 => To::All,
                    4 => To::Group(pick(&GROUPS, b)),
                    5 | 6 => To::Topic(pick(&TOPICS, b)),
                    7 => To::UserName(pick(&NAMES, b)),
                    8 | 9 => To::Client(b),
                    10 => To::Connection(b),
                    _ => To::Clients([b, c, d], usize::from(e) % 4),
                },
                event: What {
                    id: (c > 192).then(|| pick(&OWN_IDS, d)),
                    event: [None, None, Some("tick"), Some(" lead"), Some("")][usize::from(d) % 5],
                    retry: (e > 224).then_some(u32::from(f) * 1_000),
                    data: (f < 240).then(|| pick(&DATA, f)),
                    comment: (e & 7 == 7).then(|| pick(&DATA, e >> 3)),
                },
                skip,
            },
            190..=197 => Self::Listen { client: a, topic: pick(&TOPICS, b) },
            198..=203 => Self::Unlisten { client: a, topic: pick(&TOPICS, b) },
            204..=208 => Self::Unregister { client: a, end_streams: bit(b) },
            209 => Self::Clear { end_streams: bit(a) },
            210..=216 => Self::Allocate { group: pick(&GROUPS, a), name: pick(&NAMES, b), entropy: c % 2 },
            217 => Self::RestoreId { group: pick(&GROUPS, a), id: pick(&IDS, b), age: u64::from(c) * 20 },
            218..=225 => Self::Submit { client: a, task: pick(&TASKS, b) },
            226 => Self::Withdraw { client: a, task: pick(&TASKS, b) },
            227..=230 => Self::Progress { client: a, task: pick(&TASKS, b), detail: pick(&DETAILS, c), skip },
            231..=250 => Self::Complete {
                client: a,
                owned: d < 208,
                task: pick(&TASKS, b),
                detail: bit(e).then(|| pick(&DETAILS, c)),
                failed: e & 6 == 6,
                skip,
            },
            251 if a < 128 => Self::Observe { skip: u64::from(a) % 4 },
            251 => Self::Burst { target: [To::All, To::Topic(pick(&TOPICS, b)), To::Client(b)][usize::from(c) % 3] },
            252..=254 => Self::Sweep,
            255 if a < 32 => Self::Drain { min_retry: u32::from(b), max_retry: u32::from(c) * 2 },
            255 => Self::Sweep,
        }
    }
}

/// The configuration that eight bytes stand for: tiny tables or roomy ones, a tiny log or a roomy one, and every policy.
pub fn config([a, b, c, d, e, f, g, h]: [u8; 8]) -> Config {
    let millis = |choices: [u64; 4], byte: u8| choices[usize::from(byte) % 4];
    let duration = |choices, byte| Duration::from_millis(millis(choices, byte));
    let names = Limits { name_bytes: 40, topic_bytes: 40, ..Limits::default() };
    let tables = match a % 3 {
        0 => Limits {
            connections: 16,
            clients: 16,
            issued_ids: 4,
            connections_per_client: 4,
            groups: 6,
            topics: 12,
            topics_per_client: 6,
            subscriptions: 40,
            tasks_per_client: 4,
            tasks: 16,
            detail_bytes: 200,
            ..names
        },
        1 => Limits {
            connections: 4,
            clients: 4,
            issued_ids: if a < 128 { 2 } else { 4 },
            connections_per_client: 2,
            groups: 2,
            topics: 3,
            topics_per_client: 2,
            subscriptions: 5,
            tasks_per_client: 2,
            tasks: 3,
            detail_bytes: 100,
            ..names
        },
        _ => Limits {
            connections: 1,
            clients: 1,
            issued_ids: 1,
            connections_per_client: 1,
            groups: 1,
            topics: 1,
            topics_per_client: 1,
            subscriptions: 1,
            tasks_per_client: 1,
            tasks: 1,
            detail_bytes: 10,
            ..names
        },
    };
    let (log_bytes, log_entries, frame_bytes) = [
        (64 * 1024, 256, 1024),
        (512, 64, 256),
        (1024, 4, 512),
        (777, 9, 300),
        (2048, 1, 256),
        (600, 2, 300),
        (64 * 1024, 2_000, 1024),
    ][usize::from(b) % 7];
    Config {
        limits: Limits { log_bytes, log_entries, frame_bytes, ..tables },
        heartbeat: (c % 4 > 0).then(|| duration([1, 500, 1_000, 15_000], c)),
        write_stall: (d % 4 > 0).then(|| duration([1, 700, 1_000, 30_000], d)),
        dormant_after: duration([3_000, 1_000, 0, 100_000], e),
        sweep_every: duration([1_000, 0, 240, 2_500], e >> 2),
        issued_id_ttl: duration([2_000, 1, 500, 60_000], f),
        age: if g & 1 == 0 { Age::SinceLeft } else { Age::SinceRegistered },
        overrun: if g & 2 == 0 { Overrun::Close } else { Overrun::Skip },
        id_form: if h & 1 == 0 { IdForm::Short } else { IdForm::Secure },
        retry: (h & 2 == 0).then_some(1_000),
        heartbeat_comment: if h & 4 == 0 { "heartbeat" } else { "" },
        event_ids: if h & 24 == 24 { EventIds::Given } else { EventIds::Numbered },
    }
}

/// Runs of up to `steps` steps, for proptest. Every other one does tasks instead of events.
pub fn runs(steps: usize) -> impl Strategy<Value = (Config, Vec<Op>)> {
    let ops = proptest::collection::vec(any::<[u8; 8]>(), 1..=steps);
    let configs = any::<[u8; 8]>().prop_map(config);
    (configs, any::<bool>(), ops)
        .prop_map(|(config, rather_tasks, ops)| (config, ops.into_iter().map(|bytes| op(bytes, rather_tasks)).collect()))
}

/// The step that eight bytes stand for in a run that does tasks instead of events, or in another.
pub fn op(mut bytes: [u8; 8], rather_tasks: bool) -> Op {
    if rather_tasks && (140..=189).contains(&bytes[0]) {
        bytes[0] = 218 + (bytes[0] - 140) % 33;
    }
    Op::decode(bytes)
}

/// The run that a fuzzer's input stands for.
pub fn decode_run(input: &[u8]) -> (Config, Vec<Op>) {
    let (chunks, _) = input.as_chunks::<8>();
    let mut chunks = chunks.iter().copied();
    (config(chunks.next().unwrap_or_default()), chunks.map(Op::decode).collect())
}

fn pick<T: Copy>(choices: &[T], byte: u8) -> T {
    choices[usize::from(byte) % choices.len()]
}
