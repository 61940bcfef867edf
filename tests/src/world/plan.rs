//! What a world is made of and what happens in it, all of it drawn from a seed.
//!
//! A plan is a list, so that a run that fails can be shrunk by leaving out what it does not need.

use core::time::Duration;

use sse_proto::{Age, Config, Limits, Overrun};

use super::chance::Dice;

/// A whole world, before it happens.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything else that happens by chance follows from.
    pub seed: u64,
    /// The hub's configuration.
    pub config: Config,
    /// Whose pages there are.
    pub clients: Vec<ClientPlan>,
    /// The pages: whose each is, and when it is opened.
    pub pages: Vec<PagePlan>,
    /// What happens, in order of time.
    pub steps: Vec<(u64, Step)>,
    /// The longest time a request or a byte is under way, in milliseconds.
    pub latency: u64,
    /// Bytes that a connection holds between hub and page.
    pub window: usize,
    /// Outputs that the hub's driver asks for before it looks at its sockets again.
    pub outputs_a_turn: usize,
    /// Slices it hands to a write.
    pub slices: usize,
    /// The log holds everything and no hub is lost: then nobody has a gap.
    pub calm: bool,
    /// Look at every connection after every turn, which takes long when there are many.
    pub thorough: bool,
}

/// A client to be.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// `NAME_SUFFIX`.
    pub id: String,
    /// The group, empty or `gN`.
    pub group: u8,
    /// Its user name, for [`Step::Name`].
    pub name: u32,
    /// The topics it asks for with each registration.
    pub topics: Vec<u32>,
    /// It is forgotten when its last connection leaves.
    pub passing: bool,
    /// A registration closes its other connections.
    pub replace: bool,
    /// It is told of its tasks in system M's words.
    pub manager: bool,
}

/// A page to be.
#[derive(Clone, Copy, Debug)]
pub struct PagePlan {
    /// Whose it is.
    pub client: u32,
    /// When it is opened, if ever.
    pub at: Option<u64>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "numbers name what the plan lists")]
pub enum Step {
    /// An event for all, a group, a user name or a topic that clients ask for as they come.
    All(What),
    Group(u8, What),
    Name(u32, What),
    Topic(u32, What),
    /// An event for a topic that clients take up and leave.
    Loose(u8, What),
    Client(u32, What),
    /// For the connection of a page, if it has one.
    Connection(u32, What),
    Clients([u32; 3], What),
    /// A comment to all, which no page sees.
    Comment,
    /// So many comments for nobody: more than one look at the log passes.
    Burst {
        count: u32,
    },
    Listen {
        client: u32,
        loose: u8,
    },
    Unlisten {
        client: u32,
        loose: u8,
    },
    Submit {
        client: u32,
    },
    Progress {
        client: u32,
    },
    /// Ends the client's oldest task, or one that nobody submitted.
    Complete {
        client: u32,
        failed: bool,
    },
    Unregister {
        client: u32,
        end_streams: bool,
    },
    /// The connection of a page ends once it was given what was published until now.
    Finish {
        page: u32,
    },
    Allocate,
    Sweep,
    /// The connection breaks, anywhere; the hub notices later.
    Cut {
        page: u32,
        hub_notices: u32,
    },
    /// Nothing passes any more, and nobody is told.
    HalfOpen {
        page: u32,
    },
    /// The page reads nothing for a while.
    Stall {
        page: u32,
        millis: u32,
    },
    /// From now on it reads so many bytes at a time, that often.
    Pace {
        page: u32,
        bytes: u32,
        every: u32,
    },
    /// Closed and opened again, with nothing remembered.
    Reload {
        page: u32,
    },
    /// The hub is gone at once, and another one comes.
    Crash {
        down: u32,
    },
    /// The hub says goodbye, and another one comes.
    Drain {
        spread: u32,
        down: u32,
    },
    /// The hub's clock jumps.
    ClockJump {
        millis: u64,
    },
    /// The hub's clock steps back.
    ClockBack {
        millis: u64,
    },
    /// A page's clock steps back.
    PageClockBack {
        page: u32,
        millis: u64,
    },
    /// The hub's driver does nothing for a while.
    Pause {
        millis: u32,
    },
}

/// How an event looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    /// Bytes of text beside its number.
    pub len: u16,
    /// It has an id of the application's.
    pub own_id: bool,
    /// Sequence numbers that are left out before it.
    pub skip: u8,
}

/// Topics that clients ask for as they come, in a small world.
pub(super) const TOPICS: u32 = 3;
/// Topics that they take up and leave.
pub(super) const LOOSE: u8 = 2;
/// When a world begins.
pub(super) const START: u64 = 1_000_000_000;

impl Plan {
    /// A few pages, for minutes or hours, and everything that can go wrong.
    pub fn small(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let calm = dice.one_in(6);
        let client_count = dice.between(1, 6) as u32;
        let clients: Vec<_> = (0..client_count)
            .map(|number| ClientPlan {
                id: format!("n{}_{number}", number / 2),
                group: [0, 0, 1][dice.below(3) as usize],
                name: number / 2,
                topics: (0..TOPICS).filter(|_| dice.one_in(2)).collect(),
                passing: dice.one_in(4),
                replace: dice.one_in(3),
                manager: dice.one_in(4),
            })
            .collect();
        let span = 1_000 * dice.pick(&[10, 60, 600, 7_200]);
        let mut pages: Vec<_> = (0..client_count).map(|client| PagePlan { client, at: Some(dice.below(span / 4)) }).collect();
        for client in 0..client_count {
            // A second page of the same client.
            if dice.one_in(3) && !clients[client as usize].replace {
                pages.push(PagePlan { client, at: Some(dice.below(span / 2)) });
            }
        }
        let count = dice.between(5, 120);
        let mut times: Vec<u64> = (0..count).map(|_| dice.below(span)).collect();
        if dice.one_in(3) {
            // In bursts, so that much happens at one time.
            times.iter_mut().for_each(|at| *at -= *at % (span / 8));
        }
        times.sort_unstable();
        let mut steps: Vec<_> =
            times.into_iter().map(|at| (at, step(&mut dice, calm, client_count, pages.len() as u32))).collect();
        if dice.one_in(8) {
            // The last there is to hear lies further behind than one look at the log reaches.
            let page = dice.below(pages.len() as u64) as u32;
            let last = [Step::Cut { page, hub_notices: 0 }, Step::Burst { count: 700 }, Step::All(what(&mut dice))];
            steps.extend(last.map(|step| (span, step)));
        }
        let config = small_config(&mut dice, calm, span, client_count, pages.len() as u32, count as u32);
        Self {
            seed,
            config,
            clients,
            pages,
            steps,
            latency: dice.pick(&[0, 1, 40, 400]),
            window: dice.pick(&[64, 300, 4_096, 65_536]),
            outputs_a_turn: dice.pick(&[1, 3, usize::MAX]),
            slices: dice.between(1, 8) as usize,
            calm,
            thorough: true,
        }
    }

    /// A hundred thousand pages for a day.
    pub fn day(seed: u64) -> Self {
        Self::day_of(seed, 100_000)
    }

    /// So many pages for a day.
    pub fn day_of(seed: u64, crowd: u32) -> Self {
        const DAY: u64 = 24 * 3_600_000;
        let mut dice = Dice::new(seed);
        let clients: Vec<_> = (0..crowd)
            .map(|number| ClientPlan {
                id: format!("u{}_{number:06}", number / 5),
                group: (number % 50) as u8,
                name: number / 5,
                topics: vec![number % 1_000],
                passing: number % 7 == 0,
                replace: number % 11 == 0,
                manager: number % 13 == 0,
            })
            .collect();
        let pages: Vec<_> = (0..crowd).map(|client| PagePlan { client, at: Some(dice.below(600_000)) }).collect();
        let each = u64::from(crowd);
        let mut steps = Vec::new();
        let mut add = |count: u64, make: &mut dyn FnMut(&mut Dice) -> Step| {
            for _ in 0..count.max(1) {
                let at = dice.between(600_000, DAY);
                steps.push((at, make(&mut dice)));
            }
        };
        add(12, &mut |dice| Step::All(what(dice)));
        add(200, &mut |dice| Step::Group(dice.below(50) as u8, what(dice)));
        add(2_000, &mut |dice| Step::Topic(dice.below(1_000) as u32, what(dice)));
        add(2_000, &mut |dice| Step::Name(dice.below(each / 5) as u32, what(dice)));
        add(each / 5, &mut |dice| Step::Client(dice.below(each) as u32, what(dice)));
        add(each / 20, &mut |dice| Step::Clients([0; 3].map(|_| dice.below(each) as u32), what(dice)));
        add(each / 20, &mut |dice| Step::Complete { client: dice.below(each) as u32, failed: dice.one_in(4) });
        add(each / 20, &mut |dice| Step::Listen { client: dice.below(each) as u32, loose: dice.below(2) as u8 });
        add(100, &mut |dice| Step::Loose(dice.below(2) as u8, what(dice)));
        add(each / 5, &mut |dice| cut(dice, each));
        add(each / 50, &mut |dice| Step::HalfOpen { page: dice.below(each) as u32 });
        add(each / 50, &mut |dice| Step::Stall {
            page: dice.below(each) as u32,
            millis: dice.between(1_000, 30_000_000) as u32,
        });
        add(each / 50, &mut |dice| Step::Pace { page: dice.below(each) as u32, bytes: 1, every: 20 });
        add(each / 50, &mut |dice| Step::Reload { page: dice.below(each) as u32 });
        add(each / 100, &mut |dice| Step::Unregister { client: dice.below(each) as u32, end_streams: dice.one_in(2) });
        add(each / 100, &mut |_| Step::Allocate);
        add(each / 100, &mut |dice| Step::Finish { page: dice.below(each) as u32 });
        add(20, &mut |_| Step::Burst { count: 700 });
        add(2, &mut |dice| Step::ClockJump { millis: dice.between(1_000, 7_200_000) });
        add(2, &mut |dice| Step::ClockBack { millis: dice.between(1_000, 1_800_000) });
        add(1, &mut |_| Step::Crash { down: 60_000 });
        add(1, &mut |_| Step::Drain { spread: 300_000, down: 30_000 });
        steps.sort_by_key(|&(at, _)| at);
        let limits = Limits {
            connections: crowd + crowd / 20 + 4,
            clients: crowd + crowd / 50 + 4,
            issued_ids: 100,
            connections_per_client: 4,
            groups: 50,
            topics: 1_002,
            topics_per_client: 4,
            subscriptions: 2 * crowd,
            tasks_per_client: 64,
            tasks: crowd,
            detail_bytes: 64 * crowd,
            name_bytes: 64,
            topic_bytes: 64,
            frame_bytes: 1_024,
            log_bytes: 256 << 10,
            log_entries: 2_048,
        };
        let config = Config {
            limits,
            heartbeat: Some(Duration::from_secs(3_600)),
            write_stall: Some(Duration::from_secs(120)),
            retry: Some(5_000),
            overrun: if seed.is_multiple_of(2) { Overrun::Close } else { Overrun::Skip },
            ..Config::default()
        };
        Self {
            seed,
            config,
            clients,
            pages,
            steps,
            latency: 300,
            window: 600,
            outputs_a_turn: usize::MAX,
            slices: 4,
            calm: false,
            thorough: false,
        }
    }
}

fn small_config(dice: &mut Dice, calm: bool, span: u64, clients: u32, pages: u32, steps: u32) -> Config {
    // Either as large as need be, so that what leaks is missed at once, or roomy.
    let spare = if dice.one_in(2) { 0 } else { 20 };
    let (log_bytes, log_entries) =
        if calm { (1 << 20, 4_096) } else { dice.pick(&[(1 << 20, 4_096), (1_500, 64), (4_096, 8), (2_048, 3)]) };
    let limits = Limits {
        connections: pages + spare,
        clients: clients + spare.max(2),
        issued_ids: 2,
        connections_per_client: if spare == 0 { 2 } else { 8 },
        groups: 3,
        topics: TOPICS + u32::from(LOOSE),
        topics_per_client: TOPICS + u32::from(LOOSE),
        subscriptions: (clients + spare) * (TOPICS + u32::from(LOOSE)),
        tasks_per_client: steps.max(1),
        tasks: steps.max(1),
        detail_bytes: 64 * steps.max(1),
        name_bytes: 64,
        topic_bytes: 16,
        frame_bytes: 512,
        log_bytes,
        log_entries,
    };
    let limits = Limits { log_bytes: limits.log_bytes.max(2 * limits.frame_bytes), ..limits };
    let seconds = Duration::from_secs;
    let age = if dice.one_in(4) { Age::SinceRegistered } else { Age::SinceLeft };
    let dormant_after = match age {
        Age::SinceRegistered => seconds(dice.pick(&[60, 600, 3_600])),
        Age::SinceLeft => seconds(dice.pick(&[0, 5, 60, 3_600])),
    };
    Config {
        limits,
        // What is long and finely ticking takes long and shows nothing new.
        heartbeat: Some(seconds(dice.pick(if span < 600_000 { &[1, 5, 15] } else { &[5, 15, 60] }))),
        write_stall: Some(seconds(dice.pick(&[2, 10, 30]))),
        dormant_after,
        sweep_every: Duration::from_millis(dice.pick(&[0, 700, 5_000, 240_000])),
        issued_id_ttl: seconds(dice.pick(&[1, 30])),
        age,
        overrun: if dice.one_in(2) { Overrun::Close } else { Overrun::Skip },
        retry: dice.pick(&[None, Some(0), Some(100), Some(3_000)]),
        ..Config::default()
    }
}

fn step(dice: &mut Dice, calm: bool, clients: u32, pages: u32) -> Step {
    let client = dice.below(u64::from(clients)) as u32;
    let page = dice.below(u64::from(pages)) as u32;
    let loose = dice.below(u64::from(LOOSE)) as u8;
    match dice.below(100) {
        0..=13 => Step::All(what(dice)),
        14..=16 => Step::Group(dice.below(2) as u8, what(dice)),
        17..=20 => Step::Name(dice.below(u64::from(clients.div_ceil(2))) as u32, what(dice)),
        21..=26 => Step::Topic(dice.below(u64::from(TOPICS)) as u32, what(dice)),
        27..=29 => Step::Loose(loose, what(dice)),
        30..=35 => Step::Client(client, what(dice)),
        36..=37 => Step::Connection(page, what(dice)),
        38..=39 => Step::Clients([client, dice.below(u64::from(clients)) as u32, 0], what(dice)),
        40 => Step::Comment,
        41..=44 => Step::Listen { client, loose },
        45..=46 => Step::Unlisten { client, loose },
        47..=48 => Step::Submit { client },
        49 => Step::Progress { client },
        50..=55 => Step::Complete { client, failed: dice.one_in(3) },
        56..=57 => Step::Unregister { client, end_streams: dice.one_in(2) },
        58 => Step::Allocate,
        59 => Step::Sweep,
        60..=71 => cut(dice, u64::from(pages)),
        72..=75 => Step::HalfOpen { page },
        76..=79 => Step::Stall { page, millis: dice.pick(&[500, 5_000, 60_000]) },
        80..=82 => Step::Pace { page, bytes: dice.between(1, 40) as u32, every: dice.pick(&[1, 20, 700]) },
        83..=86 => Step::Reload { page },
        87..=88 if !calm => Step::Crash { down: dice.pick(&[0, 100, 5_000]) },
        89 if !calm => Step::Drain { spread: 2_000, down: 1_000 },
        90 => Step::Finish { page },
        87..=91 => Step::ClockJump { millis: dice.pick(&[700, 20_000, 4_000_000]) },
        92..=94 => Step::ClockBack { millis: dice.pick(&[1, 900, 20_000]) },
        95 => Step::PageClockBack { page, millis: 2_000 },
        _ => Step::Pause { millis: dice.pick(&[10, 1_000]) },
    }
}

fn what(dice: &mut Dice) -> What {
    What { len: dice.pick(&[0, 3, 20, 80, 300]), own_id: dice.one_in(4), skip: dice.pick(&[0, 0, 0, 2]) }
}

fn cut(dice: &mut Dice, pages: u64) -> Step {
    Step::Cut { page: dice.below(pages) as u32, hub_notices: dice.pick(&[0, 1, 300, 5_000]) }
}
