//! Anything that can happen to a client, in any order: nothing panics, and it does what the naive model does.

use core::time::Duration;

use sse_proto::client::{Config, Method};
use sse_proto::wire::Limits;

use super::Choices;
use crate::following::{Op, check};

/// A configuration, then operations.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let config = config(&mut choices);
    let (remembered, entropy) = (usize::from(choices.byte() % 5), u64::from(choices.short()));
    let mut ops = Vec::new();
    while !choices.is_empty() && ops.len() < MOST {
        ops.push(op(&mut choices));
        // A driver that does not look is the exception.
        if !choices.byte().is_multiple_of(8) {
            ops.push(Op::Drain);
        }
    }
    check(config, remembered, entropy, &ops);
}

fn config(choices: &mut Choices<'_>) -> Config {
    let flags = choices.byte();
    let mut if_set = |bit: u8| (flags & bit != 0).then(|| choices.short());
    let millis = |value: u16| Duration::from_millis(u64::from(value));
    let (answer_timeout, liveness, max_attempts) = (if_set(1).map(millis), if_set(2).map(millis), if_set(4));
    Config {
        method: choices.one_of(&[Method::Get, Method::Post, Method::Other]),
        limits: choices.one_of(&[Limits::default(), Limits { max_line: 20, max_event: 24 }]),
        retry: millis(choices.short()),
        shortest_wait: millis(choices.short()),
        backoff_ceiling: millis(choices.short()),
        longest_wait: millis(choices.short()),
        jitter_percent: choices.byte(),
        answer_timeout,
        liveness,
        max_attempts: max_attempts.map(u32::from),
        max_redirects: u32::from(choices.byte() % 5),
        retry_statuses: flags & 8 == 0,
        reconnect: flags & 16 == 0,
    }
}

fn op(choices: &mut Choices<'_>) -> Op {
    match choices.byte() % 12 {
        0..=2 => {
            let status = choices.one_of(&[200, 200, 200, 200, 301, 302, 303, 307, 308, 204, 404, 429, 500, 503, 599, 0]);
            let flags = choices.byte();
            Op::Respond {
                status: if status == 0 { choices.short() } else { status },
                event_stream: !flags.is_multiple_of(8),
                location: (flags & 8 == 0).then_some(flags >> 6),
                retry_after: (flags & 16 != 0).then(|| match choices.short() {
                    u16::MAX => u64::MAX,
                    seconds => u64::from(seconds),
                }),
            }
        }
        3..=5 => {
            let most = usize::from(choices.byte());
            Op::Bytes(choices.bytes(most).to_vec())
        }
        6 => Op::End,
        7 => Op::Failure,
        8 | 9 => Op::Wait(u64::from(choices.byte())),
        10 => Op::Clock(i64::from(choices.short()) - 0x4000),
        _ => match choices.byte() {
            0 => Op::Close,
            1 => Op::Unsendable,
            2..32 => Op::Told { retry: u64::from(choices.short()), id: choices.byte() % 4 },
            32..64 => Op::Resume(choices.one_of(&["", "1", "2", "elsewhere"])),
            _ => Op::Drain,
        },
    }
}

/// Each chunk of a stream is compared from the beginning of the stream on.
const MOST: usize = 200;
