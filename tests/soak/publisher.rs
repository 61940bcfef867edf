//! Publishers: single events, batches, and many requests before the first answer, on connections that are kept.

use std::fmt::Write as _;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::ledger::{To, Violation};
use crate::random::Random;
use crate::world::{GROUPS, READERS, TOPICS, World, sequence_of};

/// The longest an answer may take. Nothing waits this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// An event to publish, and the number in its data.
struct Publication {
    number: u64,
    to: To,
    data: String,
}

/// Publishes until the run stops.
pub(crate) async fn run(world: Rc<World>, mut random: Random) {
    let mut socket = None;
    while !world.is_stopping() {
        if random.percent(10) {
            socket = None;
        }
        let requests = decide(&world, &mut random);
        if let Err(problem) = publish(&world, &mut socket, requests).await {
            return world.fail(problem);
        }
        tokio::time::sleep(Duration::from_millis(random.between(0, 60))).await;
    }
}

/// Publishes one event to all; its sequence number.
pub(crate) async fn publish_last(world: &World) -> Option<u64> {
    let last = Publication { number: world.next_number(), to: To::All, data: "the last".to_owned() };
    match publish(world, &mut None, vec![vec![last]]).await {
        Ok(sequence) => sequence,
        Err(problem) => {
            world.fail(problem);
            None
        }
    }
}

/// The requests to send at once, and the events in each.
fn decide(world: &World, random: &mut Random) -> Vec<Vec<Publication>> {
    let (requests, events) = match random.between(0, 99) {
        0..50 => (1, 1),
        50..75 => (1, random.between(2, 20)),
        75..95 => (random.between(2, 40), 1),
        _ => (random.between(2, 8), random.between(2, 6)),
    };
    // One large event among few: a batch fits into what a request may hold.
    let most = if requests * events > 10 { 2_000 } else { 50_000 };
    let mut event = || {
        let number = world.next_number();
        let to = match random.between(0, 99) {
            0..20 => To::All,
            20..60 => To::Topic(random.between(0, u64::from(TOPICS) - 1) as u8),
            60..75 => To::Group(random.between(0, u64::from(GROUPS) - 1) as u8),
            _ => world.client_of(random.between(0, u64::from(READERS) - 1) as u32).map_or(To::All, To::Client),
        };
        let len = match random.between(0, 99) {
            0..80 => random.between(0, 300),
            80..97 => random.between(300, 4_000).min(most),
            _ => random.between(1_000, most),
        };
        let mut data = "x".repeat(len as usize);
        if random.percent(10) {
            data.insert(data.len() / 2, '\n');
        }
        Publication { number, to, data }
    };
    (0..requests).map(|_| (0..events).map(|_| event()).collect()).collect()
}

/// Sends all requests, then reads all answers; the last sequence number.
async fn publish(
    world: &World,
    socket: &mut Option<TcpStream>,
    requests: Vec<Vec<Publication>>,
) -> Result<Option<u64>, Violation> {
    let mut text = String::new();
    for events in &requests {
        let body = body(events);
        let _ = write!(
            text,
            "POST /sse/publish HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    let tickets: Vec<_> = requests.iter().map(|_| world.ledger.borrow_mut().begin()).collect();
    let exchanged = async {
        let mut kept = match socket.take() {
            Some(kept) => kept,
            None => TcpStream::connect(world.address).await?,
        };
        let mut answers = Vec::new();
        // The hub answers before it has read everything.
        let (from, mut to) = kept.split();
        let reading = async {
            let mut from = BufReader::new(from);
            for _ in &requests {
                answers.push(answer(&mut from).await?);
            }
            io::Result::Ok(())
        };
        let (read, written) = tokio::join!(reading, to.write_all(text.as_bytes()));
        read.and(written)?;
        *socket = Some(kept);
        io::Result::Ok(answers)
    };
    let answers = match tokio::time::timeout(PATIENCE, exchanged).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => return Err(Violation(format!("a publisher was cut off: {error}"))),
        Err(_) => return Err(Violation(format!("a publisher got no answer within {PATIENCE:?}"))),
    };
    let mut last = None;
    for ((events, ticket), (status, answer)) in requests.iter().zip(tickets).zip(answers) {
        if status != 200 {
            return Err(Violation(format!("a publisher was refused: {status} {answer}")));
        }
        let ids = match answer {
            Value::Array(ids) => ids,
            id => vec![id],
        };
        let sequences: Option<Vec<u64>> = ids.iter().map(|id| sequence_of(id["id"].as_str()?)).collect();
        let Some(sequences) = sequences.filter(|sequences| sequences.len() == events.len()) else {
            return Err(Violation(format!("{} events were published and got the ids {ids:?}", events.len())));
        };
        last = sequences.last().copied();
        let events = sequences.into_iter().zip(events).map(|(sequence, event)| (sequence, event.number, event.to));
        world.ledger.borrow_mut().answered(ticket, events)?;
    }
    world.counts.requests.set(world.counts.requests.get() + requests.len() as u64);
    Ok(last)
}

fn body(events: &[Publication]) -> String {
    let json = |event: &Publication| {
        let to = match event.to {
            To::All => json!("all"),
            To::Topic(topic) => json!({ "topic": format!("t{topic}") }),
            To::Group(group) => json!({ "group": format!("g{group}") }),
            To::Client(client) => json!({ "client": format!("c_{client}") }),
        };
        json!({ "to": to, "data": format!("{} {}", event.number, event.data) })
    };
    match events {
        [event] => json(event).to_string(),
        _ => Value::Array(events.iter().map(json).collect()).to_string(),
    }
}

/// Status and body of an answer.
async fn answer(reader: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> io::Result<(u16, Value)> {
    let mut status = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        match (status, line.split_once(": ")) {
            (None, _) => status = Some(line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)),
            (_, Some((name, value))) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap_or(0),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok((status.unwrap_or(0), serde_json::from_slice(&body)?))
}
