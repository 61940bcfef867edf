//! What shards answer themselves: heads and bodies cut anywhere, requests in a row, and the same words as the router's.

use std::collections::HashMap;

use serde_json::json;
use sse_runtime::metrics::TargetKind;
use sse_runtime::proto::EventId;
use sse_runtime::{Event, RouterOptions, Target};
use sse_tests::net::{Answer, Head, Stream, eventually, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::events::greeted;
use crate::site::{Site, builder, guard};

/// A shard that is alone publishes at once; of two, each waits for the other.
const SHARDS: [usize; 2] = [1, 2];

pub(crate) async fn connect(site: &Site) -> TcpStream {
    let socket = TcpStream::connect(site.web.0).await.expect("connects");
    socket.set_nodelay(true).expect("no delay");
    socket
}

/// Sends `request` in two parts, the first of which leaves before the second.
async fn send_cut(socket: &mut TcpStream, request: &[u8], at: usize) {
    socket.write_all(&request[..at]).await.expect("sent");
    tokio::task::yield_now().await;
    socket.write_all(&request[at..]).await.expect("sent");
}

/// Reads until what came ends with `end`.
pub(crate) async fn read_to(socket: &mut TcpStream, end: &str) -> String {
    within(end, async {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let read = socket.read_buf(&mut text).await.expect("read");
            assert!(read > 0, "it ended after {:?}", String::from_utf8_lossy(&text));
        }
        String::from_utf8(text).expect("text")
    })
    .await
}

fn post(body: &str) -> String {
    format!("POST /sse/publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_opens_wherever_its_head_was_cut() {
    let site = Site::start().await;
    let head = b"GET /sse/events?client=bob_1&topic=t HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for at in 0..head.len() {
        let mut socket = connect(&site).await;
        send_cut(&mut socket, head, at).await;
        let text = read_to(&mut socket, "\n\n").await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"), "{at}: {text}");
        assert!(text.contains("event:connected\ndata:{\"client\":\"bob_1\"}\n"), "{at}: {text}");
        drop(socket);
        eventually("the place", async || site.hub.list().await.expect("a list").iter().all(|client| client.streams == 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_counts_once_wherever_it_was_cut() {
    for shards in SHARDS {
        counts_once_wherever_it_was_cut(Site::configured(|config| config.shards = shards).await).await;
    }
}

async fn counts_once_wherever_it_was_cut(site: Site) {
    let mut stream = site.web.stream("/sse/events?topic=t").await;
    greeted(&mut stream).await;
    let mut socket = connect(&site).await;
    let length = post(r#"{"to":{"topic":"t"},"data":"100"}"#).len();
    for at in 0..length {
        // The heads of a publisher differ in the length of the body, and in how many digits it has.
        let padding = "x".repeat(at % 3 * 40);
        let request = post(&json!({ "to": { "topic": "t" }, "event": padding, "data": format!("{:03}", at) }).to_string());
        send_cut(&mut socket, request.as_bytes(), at.min(request.len())).await;
        let answer = read_to(&mut socket, "\"}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{at}: {answer}");
        let id = stream.expect(&format!("event:{padding}\ndata:{at:03}\n\n")).await;
        assert!(answer.ends_with(&format!("{{\"id\":\"{id}\"}}")), "{at}: {answer} is not {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_a_row_are_answered_in_their_order() {
    for shards in SHARDS {
        in_a_row_they_are_answered_in_their_order(Site::configured(|config| config.shards = shards).await).await;
    }
}

async fn in_a_row_they_are_answered_in_their_order(site: Site) {
    let mut stream = site.web.stream("/sse/events?client=bob_1&topic=t").await;
    greeted(&mut stream).await;
    let mut requests = String::new();
    let targets = [r#""all""#, r#"{"topic":"t"}"#, r#"{"client":"bob_1"}"#, r#"{"name":"bob"}"#];
    for n in 0..200 {
        requests.push_str(&post(&format!(r#"{{"to":{},"data":{n}}}"#, targets[n % targets.len()])));
    }
    // Something that is not published here: hyper takes over, and answers what follows too.
    requests.push_str("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    requests.push_str(&post(r#"{"to":"all","data":"last"}"#));
    let mut socket = connect(&site).await;
    let writing = async {
        socket.write_all(requests.as_bytes()).await.expect("sent");
        let mut answers = String::new();
        while answers.matches("HTTP/1.1 200 OK\r\n").count() < 202 || !answers.ends_with("\"}") {
            answers.push_str(&read_to(&mut socket, "\"}").await);
        }
        answers
    };
    let answers = within("all answers", writing).await;
    let mut ids = Vec::new();
    for n in 0..200 {
        ids.push(stream.expect(&format!("data:{n}\n\n")).await);
    }
    ids.push(stream.expect("data:last\n\n").await);
    let answered: Vec<&str> = answers.split("{\"id\":\"").skip(1).map(|rest| rest.split('"').next().unwrap_or("")).collect();
    assert_eq!(answered, ids);
}

/// More than the kernel takes of the answers at once, when nobody reads them.
const PUBLISHED: usize = 250;

/// Asks for so many publications at once, and for what is behind them; all are published, and no answer is read.
async fn published_unread(site: &Site, behind: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(SMALL).expect("a small buffer");
    let mut socket = socket.connect(site.web.0).await.expect("connects");
    let requests = post(r#"{"to":"all"}"#).repeat(PUBLISHED);
    socket.write_all(format!("{requests}{behind}").as_bytes()).await.expect("sent");
    let published = &site.hub.metrics().published;
    eventually("all published", async || published.of(TargetKind::All).get() == PUBLISHED as u64).await;
    socket
}

/// Bytes that the kernel holds for a peer, about.
const SMALL: u32 = 4 * 1024;

/// What follows the answers to the publications, which are there, in their order.
fn behind_the_published(answers: &str) -> Vec<&str> {
    let mut answers = answers.split("HTTP/1.1 200 OK\r\n").skip(1);
    let numbers = answers.by_ref().take(PUBLISHED).map(|answer| {
        let id = answer.split('"').nth_back(1).and_then(EventId::parse);
        id.unwrap_or_else(|| panic!("no id in {answer:?}")).sequence
    });
    let numbers: Vec<u64> = numbers.collect();
    assert!(numbers.len() == PUBLISHED && numbers.is_sorted(), "{numbers:?}");
    answers.collect()
}

/// Answers that the kernel did not take yet are there when the socket is handed on: to hyper, or to be a stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_has_the_earlier_answers_first() {
    for (leaves, last) in [("GET /healthz", "ok"), ("GET /sse/events?client=bob_1", "\n\n")] {
        let site = Site::with(builder(), |setup| setup.send_buffer = Some(SMALL as usize)).await;
        let mut socket = published_unread(&site, &format!("{leaves} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let answers = read_to(&mut socket, last).await;
        let behind = behind_the_published(&answers);
        assert!(behind.len() == 1 && behind[0].ends_with(last), "{leaves}: {behind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_half_closes_and_reads_late_reads_every_answer() {
    // One shard: what it is asked after that is answered when it has seen it.
    let hub = builder().configure(|config| config.shards = 1);
    let site = Site::with(hub, |setup| setup.send_buffer = Some(SMALL as usize)).await;
    let mut socket = published_unread(&site, "").await;
    socket.shutdown().await.expect("half closed");
    assert_eq!(site.web.get("/healthz").await.status(), 200);
    let mut answers = String::new();
    within("the answers", socket.read_to_string(&mut answers)).await.expect("answers");
    assert_eq!(behind_the_published(&answers), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publishers_are_in_one_order_for_all() {
    for shards in SHARDS {
        for site in Site::both_ways(|config| config.shards = shards).await {
            are_in_one_order_for_all(site).await;
        }
    }
}

async fn are_in_one_order_for_all(site: Site) {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 100;
    let mut streams: Vec<Stream> = Vec::new();
    for n in 0..6 {
        let mut stream = site.web.stream(&format!("/sse/events?client=reader_{n}")).await;
        greeted(&mut stream).await;
        streams.push(stream);
    }
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (web, hub) = (site.web, site.hub.clone());
            tokio::spawn(async move {
                let mut socket = TcpStream::connect(web.0).await.expect("connects");
                let mut ids = Vec::new();
                for n in 0..EACH {
                    // Over HTTP and from within, through every door there is.
                    let text = format!("{publisher} {n}");
                    let event = Event::data(&text);
                    match n % 4 {
                        0 => ids.push((text, hub.publish(Target::All, event).await.expect("published").to_string())),
                        1 => ids.push((text, hub.try_publish(Target::All, event).expect("published").to_string())),
                        2 => {
                            let again = format!("{text} again");
                            let events = [event, Event::data(&again)].map(|event| (Target::All, event));
                            let numbers = hub.publish_all(events).await.expect("published");
                            ids.extend([text, again].into_iter().zip(numbers.iter().map(ToString::to_string)));
                        }
                        _ => {
                            let body = post(&format!(r#"{{"to":"all","data":"{text}"}}"#));
                            socket.write_all(body.as_bytes()).await.expect("sent");
                            let answer = read_to(&mut socket, "\"}").await;
                            let id = answer.rsplit('"').nth(1).unwrap_or_default();
                            ids.push((text, id.to_owned()));
                        }
                    }
                }
                ids
            })
        })
        .collect();
    let mut ids = HashMap::new();
    for publisher in publishers {
        ids.extend(within("all published", publisher).await.expect("published"));
    }
    assert_eq!(ids.len(), PUBLISHERS * EACH * 5 / 4);
    let mut first: Option<Vec<(String, String)>> = None;
    for stream in &mut streams {
        let mut events = Vec::new();
        for _ in 0..ids.len() {
            events.push(stream.event().await);
        }
        for (frame, id) in &events {
            let text = frame.trim_start_matches("data:").trim_end();
            assert_eq!(ids.get(text), Some(id), "who published {text:?} was told the id that it has");
        }
        assert_eq!(first.get_or_insert_with(|| events.clone()), &events);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_a_client_belongs_to_the_answer_is_known() {
    let site = Site::of(builder().configure(|config| config.shards = 4)).await;
    let mut streams = Vec::new();
    for n in 0..32 {
        let mut stream = site.web.stream(&format!("/sse/events?client=bob_{n}")).await;
        greeted(&mut stream).await;
        streams.push(stream);
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        // On connections of one's own, which different shards accept.
        let id =
            site.web.post("/sse/publish", &format!(r#"{{"to":{{"client":"bob_{n}"}},"data":{n}}}"#)).await.json()["id"].clone();
        assert_eq!(stream.expect(&format!("data:{n}\n\n")).await, id.as_str().expect("an id"));
        let unknown = format!(r#"{{"to":{{"client":"nobody_{n}"}},"data":{n}}}"#);
        site.web.post("/sse/publish", &unknown).await.error(404, Some("to.client"));
    }
}

/// Asks the same of a shard and of the router, which takes over when there is an option of the connection it does not know.
async fn asked_both_ways(site: &Site, headers: &[(&str, &str)], body: &str) -> [Answer; 2] {
    let mut unusual = headers.to_vec();
    unusual.push(("connection", "x-unusual"));
    [
        site.web.ask("POST", "/sse/publish", headers, body.as_bytes()).await,
        site.web.ask("POST", "/sse/publish", &unusual, body.as_bytes()).await,
    ]
}

fn plain_headers(head: &Head) -> Vec<(String, String)> {
    let own = ["date", "connection", "transfer-encoding", "content-length"];
    let mut headers: Vec<_> = head.headers.iter().filter(|(name, _)| !own.contains(&name.as_str())).cloned().collect();
    headers.sort();
    headers
}

#[tokio::test]
async fn shards_answer_in_the_words_of_the_router() {
    for shards in SHARDS {
        answers_in_the_words_of_the_router(shards).await;
    }
}

async fn answers_in_the_words_of_the_router(shards: usize) {
    let site = Site::with(builder().configure(|config| config.shards = shards), |setup| {
        setup.router = RouterOptions::new(guard(Some("0123456789abcdef"), &["*", "https://app.example"]));
    })
    .await;
    let bearer = ("authorization", "Bearer 0123456789abcdef");
    let app = ("origin", "https://app.example");
    let evil = ("origin", "https://evil.example");
    let headers: [&[(&str, &str)]; 6] =
        [&[], &[bearer], &[bearer, app], &[bearer, evil], &[app], &[("authorization", "Bearer wrong-wrong-wrong")]];
    let large = json!({ "to": "all", "data": "x".repeat(300_000) }).to_string();
    let bodies = [
        r#"{"to":"all","data":"x","id":"own"}"#,
        r#"[{"to":"all","data":"x","id":"a"},{"to":"all","id":"b"}]"#,
        "[]",
        "",
        "{",
        r#"{"to":"nobody"}"#,
        r#"{"to":{"client":"nobody_1"},"data":1}"#,
        r#"[{"to":"all","id":"a"},{"to":{"client":"nobody_1"}}]"#,
        r#"{"to":"all","event":"a\nb"}"#,
        "{\"to\":\"all\",\"event\":\"a\nb\"}",
        r#"{"to":{"client":"nobody_1"},"data":"x"}"#,
        r#"{"to":{"client":"no body"},"data":"x"}"#,
        r#"{"to":{"topic":""},"data":"x"}"#,
        r#"{"to":{"topic":"a^b"},"data":"x"}"#,
        r#"{"to":{"name":"/"},"data":"x"}"#,
        r#"{"to":{"group":"g"},"to":"all","data":"x"}"#,
        r#"{"to":{"group":"g"},"data":"x","data":"y"}"#,
        r#"{"data":"x"}"#,
        r#"{"to":"everyone"}"#,
        r#"{"to":"all"} {"to":"all"}"#,
        &large,
    ];
    for headers in headers {
        for body in bodies {
            let [direct, routed] = asked_both_ways(&site, headers, body).await;
            let asked = (headers, &body[..body.len().min(60)]);
            assert_eq!(direct.status(), routed.status(), "{asked:?}: {direct:?}, {routed:?}");
            assert_eq!(direct.body, routed.body, "{asked:?}");
            assert_eq!(plain_headers(&direct.head), plain_headers(&routed.head), "{asked:?}");
            assert!(direct.header("date").is_some() && direct.header("content-length").is_some(), "{direct:?}");
        }
    }
    for headers in [&[][..], &[app], &[evil]] {
        let mut unusual = headers.to_vec();
        unusual.push(("connection", "x-unusual"));
        for path in ["/sse/events?topic=a", "/sse/register-listener/bob_1"] {
            let direct = site.web.stream_with(path, headers).await;
            let routed = site.web.stream_with(path, &unusual).await;
            assert!(direct.head.header("transfer-encoding").is_none() && routed.head.header("transfer-encoding").is_some());
            assert_eq!(plain_headers(&direct.head), plain_headers(&routed.head), "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_stream_is_refused_in_the_words_of_the_router() {
    let site = Site::start().await;
    let head = site.web.try_stream("/sse/events?client=a%20b", &[]).await.expect_err("refused");
    assert_eq!((head.status, head.header("content-type")), (400, Some("application/json")));
    site.hub.close().await;
    let head = site.web.try_stream("/sse/events", &[]).await.expect_err("refused");
    assert_eq!(head.status, 204);
}

#[tokio::test]
async fn who_half_closes_after_publishing_reads_the_answer() {
    let site = Site::start().await;
    let mut socket = connect(&site).await;
    socket.write_all(post(r#"{"to":"all","data":1}"#).as_bytes()).await.expect("sent");
    socket.shutdown().await.expect("half closed");
    let mut answer = String::new();
    within("the answer", socket.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// What follows such a head is no part of it, though it may look like the length of a body.
#[tokio::test]
async fn a_publication_without_a_length_has_no_body() {
    let site = Site::start().await;
    let mut socket = connect(&site).await;
    let head = "POST /sse/publish HTTP/1.1\r\nhost: localhost\r\n\r\n";
    socket.write_all(format!("{head}{head}7").as_bytes()).await.expect("sent");
    socket.shutdown().await.expect("half closed");
    let mut answers = String::new();
    within("the answers", socket.read_to_string(&mut answers)).await.expect("answers");
    assert_eq!(answers.matches("HTTP/1.1 400 Bad Request\r\n").count(), 2, "{answers}");
}
