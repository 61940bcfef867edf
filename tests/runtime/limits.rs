//! What is full says so, and what is silent holds nothing.

use std::time::Duration;

use sse_runtime::proto::Limits;
use sse_tests::net::{Stream, eventually, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::events::greeted;
use crate::site::{Site, builder};

async fn limited(limits: Limits) -> Site {
    Site::configured(|config| {
        // One shard: the tables of each are as large as this.
        config.shards = 1;
        config.engine.limits = limits;
    })
    .await
}

async fn is_full(site: &Site, path: &str, limit: &str) {
    let answer = site.web.get(path).await;
    let says = answer.error(503, None);
    assert!(says.contains(limit), "{says}");
    assert_eq!(answer.header("retry-after"), Some("5"), "{answer:?}");
}

#[tokio::test]
async fn connections_are_refused_at_the_limit_and_taken_again_below_it() {
    let site = limited(Limits { connections: 3, ..Limits::default() }).await;
    let mut streams: Vec<Stream> = Vec::new();
    for n in 0..3 {
        let mut stream = site.web.stream(&format!("/sse/events?client=c_{n}")).await;
        greeted(&mut stream).await;
        streams.push(stream);
    }
    is_full(&site, "/sse/events", "connections").await;
    is_full(&site, "/sse/register-listener/x_1", "connections").await;
    // A listener that comes back while its old stream still hangs.
    site.web.get("/sse/register-listener/c_0").await.error(503, None);
    streams.pop();
    eventually("a free place", async || site.web.ask("HEAD", "/sse/events", &[], b"").await.status() == 200).await;
    for stream in &mut streams {
        site.web.post("/sse/publish", r#"{"to":"all","data":"x"}"#).await;
        assert!(stream.frame().await.starts_with("data:x\n"));
    }
}

#[tokio::test]
async fn streams_of_one_client_are_bounded() {
    let site = limited(Limits { connections_per_client: 2, ..Limits::default() }).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = site.web.stream("/sse/events?client=bob_1").await;
        greeted(&mut stream).await;
        streams.push(stream);
    }
    is_full(&site, "/sse/events?client=bob_1", "connections_per_client").await;
    // The original's way replaces them.
    let mut stream = site.web.stream("/sse/register-listener/bob_1").await;
    stream.event().await;
    for stream in &mut streams {
        assert_eq!(stream.rest().await, [""; 0]);
    }
}

#[tokio::test]
async fn clients_topics_and_tasks_are_bounded() {
    let site = Site::of(
        builder()
            .configure(|config| {
                config.shards = 1;
                config.engine.limits = Limits { clients: 2, topics_per_client: 2, tasks_per_client: 1, ..Limits::default() };
            })
            .worker("a")
            .worker("b"),
    )
    .await;
    let _one = site.web.stream("/sse/events?client=bob_1").await;
    let _two = site.web.stream("/sse/events?client=bob_2").await;
    is_full(&site, "/sse/events?client=bob_3", "clients").await;
    site.web.put("/sse/listen/bob_1/a").await.is("ok");
    site.web.put("/sse/listen/bob_1/b").await.is("ok");
    site.web.put("/sse/listen/bob_1/c").await.error(503, None);
    site.web.put("/sse/listen/bob_1/a").await.is("ok");
    site.web.put("/sse/submit-task/bob_1/a").await.is("ok");
    site.web.put("/sse/submit-task/bob_1/b").await.error(503, None);
    site.web.post("/sse/complete/bob_1/a", "").await.is("ok");
}

#[tokio::test]
async fn handlers_at_work_are_bounded() {
    let release = std::sync::Arc::new(tokio::sync::Notify::new());
    let waits = release.clone();
    let hub = builder().configure(|config| config.running_tasks = 2).task("wait", move |_| {
        let waits = waits.clone();
        async move {
            waits.notified().await;
            Ok(serde_json::Value::Null)
        }
    });
    let site = Site::of(hub).await;
    let mut streams = Vec::new();
    for n in 0..3 {
        let mut stream = site.web.stream(&format!("/sse/events?client=c_{n}")).await;
        greeted(&mut stream).await;
        streams.push(stream);
    }
    site.web.put("/sse/submit-task/c_0/wait").await.is("ok");
    site.web.put("/sse/submit-task/c_1/wait").await.is("ok");
    let busy = site.web.put("/sse/submit-task/c_2/wait").await;
    busy.error(503, None);
    assert_eq!(busy.header("retry-after"), Some("5"));
    assert_eq!(site.web.get("/sse/tasks/c_2").await.body, "[]");
    eventually("a handler is done", async || {
        release.notify_waiters();
        site.web.put("/sse/submit-task/c_2/wait").await.status() == 200
    })
    .await;
}

/// Whether the server ends a connection on which `bytes` were sent and nothing else.
async fn is_ended(site: &Site, bytes: &[u8]) {
    let mut socket = TcpStream::connect(site.web.0).await.expect("connects");
    socket.write_all(bytes).await.expect("sent");
    let mut rest = Vec::new();
    let what = format!("the end of a connection that sent {:?}", String::from_utf8_lossy(bytes));
    let _ = within(&what, socket.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn who_sends_no_request_is_not_waited_for() {
    let site = Site::with(builder(), |setup| setup.serve.header_timeout = Duration::from_millis(100)).await;
    // A stream is not bound by it.
    let mut stream = site.web.stream("/sse/events").await;
    greeted(&mut stream).await;
    tokio::join!(
        is_ended(&site, b""),
        is_ended(&site, b"P"),
        is_ended(&site, b"PRI * HTTP/2.0\r\n"),
        is_ended(&site, b"GET /healthz HT"),
        is_ended(&site, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"),
        is_ended(&site, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    );
    site.web.post("/sse/publish", r#"{"to":"all","data":"x"}"#).await;
    stream.expect("data:x\n\n").await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_in_json() {
    let site = Site::with(builder(), |setup| setup.router.request_timeout = Duration::from_millis(100)).await;
    let answer = async {
        let mut socket = TcpStream::connect(site.web.0).await.expect("connects");
        let head = b"POST /sse/publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\nconnection: close\r\n\r\n{";
        socket.write_all(head).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    let answer = within("an answer", answer).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("content-type: application/json\r\n") && answer.contains("{\"error\":\""), "{answer}");
}

/// The time for a body begins with its head, whether it is the first on its connection or one like that before.
#[tokio::test]
async fn each_body_has_the_time_of_a_request() {
    let patience = |header, request| {
        Site::with(builder(), move |setup| {
            setup.serve.header_timeout = Duration::from_millis(header);
            setup.router.request_timeout = Duration::from_millis(request);
        })
    };
    let post =
        |body: &str| format!("POST /sse/publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let whole = post(r#"{"to":"all","data":"x"}"#);
    let next = post(r#"{"to":"all","data":"longer"}"#);
    let (begun, rest) = next.split_at(next.len() - 5);

    let site = patience(1_000, 20_000).await;
    let mut socket = TcpStream::connect(site.web.0).await.expect("connects");
    for (begun, rest) in [("", &whole[..]), (begun, rest)] {
        socket.write_all(begun.as_bytes()).await.expect("sent");
        if !begun.is_empty() {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
        socket.write_all(rest.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\"}") {
            let read = within("an answer", socket.read_buf(&mut answer)).await.expect("an answer");
            assert!(read > 0, "it ended after {:?}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{:?}", String::from_utf8_lossy(&answer));
    }

    let site = patience(60_000, 100).await;
    let mut socket = TcpStream::connect(site.web.0).await.expect("connects");
    socket.write_all(format!("{whole}{begun}").as_bytes()).await.expect("sent");
    let mut answers = String::new();
    within("both answers", socket.read_to_string(&mut answers)).await.expect("answers");
    assert!(answers.contains("HTTP/1.1 200 OK\r\n") && answers.contains("HTTP/1.1 408 "), "{answers}");
}

#[tokio::test]
async fn sockets_beyond_the_limit_wait_and_are_served_later() {
    let site = Site::with(builder(), |setup| setup.serve.max_connections = 2).await;
    let mut first = site.web.stream("/sse/events").await;
    let second = site.web.stream("/sse/events").await;
    let web = site.web;
    let third = tokio::spawn(async move { web.get("/healthz").await });
    // It waits while the places are taken; one of them goes.
    site.hub.publish(sse_runtime::Target::All, sse_runtime::Event::data("x")).await.expect("published");
    greeted(&mut first).await;
    first.expect("data:x\n\n").await;
    assert!(!third.is_finished());
    drop(second);
    within("an answer", third).await.expect("answered").is("ok");
}

#[tokio::test]
async fn who_asks_and_never_reads_is_cut_off() {
    let site = Site::with(builder(), |setup| setup.serve.write_timeout = Some(Duration::from_millis(200))).await;
    let mut socket = TcpStream::connect(site.web.0).await.expect("connects");
    let requests = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    within("the cut", async {
        // Answers fill every buffer on the way; then the server takes nothing more, and writing here waits for the cut.
        while socket.write_all(requests.as_bytes()).await.is_ok() {}
    })
    .await;
    assert_eq!(site.web.get("/healthz").await.status(), 200);
}
