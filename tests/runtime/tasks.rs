//! Tasks: handlers in this process, upstreams, workers outside; and who hears how they end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sse_runtime::tasks::Upstream;
use sse_runtime::{HubBuilder, TaskRun};
use sse_tests::net::{Stream, Web, eventually, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::events::greeted;
use crate::site::{Site, builder};

/// A named stream of `id`, greeted.
async fn open(web: Web, id: &str) -> Stream {
    let mut stream = web.stream(&format!("/sse/events?client={id}")).await;
    greeted(&mut stream).await;
    stream
}

/// The next event: its name and its data without the timestamp.
async fn told(stream: &mut Stream) -> (String, Value) {
    let (frame, _) = stream.event().await;
    parse(&frame)
}

fn parse(frame: &str) -> (String, Value) {
    let (event, data) = frame
        .strip_prefix("event:")
        .and_then(|rest| rest.split_once("\ndata:"))
        .unwrap_or_else(|| panic!("a named event: {frame:?}"));
    let mut data: Value = serde_json::from_str(data.trim_end()).expect("JSON");
    let timestamp = data.as_object_mut().and_then(|data| data.remove("timestamp"));
    assert!(timestamp.is_some_and(|at| at.is_u64()), "{frame}");
    (event.to_owned(), data)
}

fn named(event: &str, data: Value) -> (String, Value) {
    (event.to_owned(), data)
}

#[tokio::test]
async fn handlers_complete_fail_report_and_break_down() {
    fn breaks_at_once(_: TaskRun) -> std::future::Ready<Result<Value, String>> {
        panic!("as planned, before there is a future")
    }
    let site = Site::of(
        builder()
            .task("double", async |run: TaskRun| Ok(json!(run.params()["n"].as_i64().unwrap_or(0) * 2)))
            .task("nothing", async |_| Ok(Value::Null))
            .task("fail", async |_| Err("no \"luck\" ^ \\ \n today".to_owned()))
            .task("panic", async |_| panic!("as planned"))
            .task("panic-at-once", breaks_at_once)
            .task("huge", async |_| Ok(json!("x".repeat(1 << 20))))
            .task("steps", async |run: TaskRun| {
                for n in 1..=3 {
                    run.progress(&json!({ "step": n })).await.map_err(|error| error.to_string())?;
                }
                Ok(json!("all three"))
            }),
    )
    .await;
    let mut bob = open(site.web, "bob_1").await;
    let submit = async |task: &str, params: &str| {
        site.web.ask("PUT", &format!("/sse/submit-task/bob_1/{task}"), &[], params.as_bytes()).await.is("ok");
    };
    submit("double", r#"{"n":21}"#).await;
    assert_eq!(told(&mut bob).await, named("completed", json!({ "task": "double", "client": "bob_1", "result": 42 })));
    submit("nothing", "").await;
    assert_eq!(told(&mut bob).await, named("completed", json!({ "task": "nothing", "client": "bob_1" })));
    submit("fail", "").await;
    let reason = "no \"luck\" ^ \\ \n today";
    assert_eq!(told(&mut bob).await, named("failed", json!({ "task": "fail", "client": "bob_1", "reason": reason })));
    for task in ["panic", "panic-at-once"] {
        submit(task, "").await;
        let reason = "the task's handler broke down";
        assert_eq!(told(&mut bob).await, named("failed", json!({ "task": task, "client": "bob_1", "reason": reason })));
    }
    submit("huge", "").await;
    let (event, data) = told(&mut bob).await;
    assert!(event == "failed" && data["reason"].as_str().is_some_and(|reason| reason.contains("frame")), "{data}");
    submit("steps", "").await;
    for n in 1..=3 {
        let step = json!({ "task": "steps", "client": "bob_1", "progress": { "step": n } });
        assert_eq!(told(&mut bob).await, named("progress", step));
    }
    assert_eq!(told(&mut bob).await, named("completed", json!({ "task": "steps", "client": "bob_1", "result": "all three" })));
    site.web.ask("PUT", "/sse/submit-task/bob_1/double", &[], b"{nonsense").await.error(400, None);
}

#[tokio::test]
async fn a_failed_task_reaches_the_original_client_as_it_can_read_it() {
    let site = Site::of(builder().task("fail", async |_| Err("no \"luck\" ^ \\ \n today".to_owned()))).await;
    let mut bob = site.web.stream("/sse/register-listener/bob_1").await;
    bob.event().await;
    site.web.put("/sse/submit-task/bob_1/fail").await.is("ok");
    let (frame, _) = bob.event().await;
    let inner: String = serde_json::from_str(frame.trim_end().strip_prefix("data:").expect("one line")).expect("a JSON string");
    // As the original does it: split at ^, delete every backslash.
    let parts: Vec<&str> = inner.split('^').collect();
    assert_eq!((parts.len(), parts[0]), (2, "completed"));
    let payload: Value = serde_json::from_str(&parts[1].replace('\\', "")).expect("JSON");
    assert_eq!((&payload["id"], &payload["taskid"], &payload["status"]), (&json!("bob_1"), &json!("fail"), &json!("failed")));
    assert_eq!(payload["reason"], json!("no  luck        today"));
}

#[tokio::test]
async fn what_is_reported_is_passed_on_as_it_was_written() {
    let site = Site::of(builder().worker("build")).await;
    let _bob = open(site.web, "bob_1").await;
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    let json = r#"{"b": 1.0, "10":"}", "a":[1e3 , {}]}"#;
    site.web.post("/sse/progress/bob_1/build", &format!(" {json}\n")).await.is("ok");
    site.web.get("/sse/tasks/bob_1").await.is(&format!(r#"[{{"progress":{json},"status":"progress","task":"build"}}]"#));
    site.web.post("/sse/complete/bob_1/build", &format!(r#"{{"result": {json} }}"#)).await.is("ok");
    site.web.get("/sse/tasks/bob_1").await.is(&format!(r#"[{{"result":{json},"status":"completed","task":"build"}}]"#));
}

#[tokio::test]
async fn workers_outside_report_over_http() {
    let site = Site::of(builder().worker("build").worker("test")).await;
    let mut bob = open(site.web, "bob_1").await;
    let mut tab = open(site.web, "bob_2").await;
    site.web.post("/sse/progress/bob_1/build", "1").await.error(404, None);
    site.web.post("/sse/complete/nobody/build", "").await.error(404, None);
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    site.web.put("/sse/submit-task/bob_1/test").await.is("ok");
    let says = site.web.post("/sse/complete/bob_1/build", r#"{"status":"done"}"#).await.error(400, Some("status"));
    assert!(says.contains("done"), "{says}");
    site.web.post("/sse/complete/bob_1/build", r#"{"stat":"failed"}"#).await.error(400, Some("stat"));
    site.web.post("/sse/complete/bob_1/build", r#"{"reason":"x"}"#).await.error(400, Some("reason"));
    // JSON of another kind is JSON.
    let says = site.web.post("/sse/complete/bob_1/build", r#"{"status":1}"#).await.error(400, Some("status"));
    assert!(!says.contains("not JSON"), "{says}");
    let says = site.web.post("/sse/complete/bob_1/build", "1").await.error(400, Some("body"));
    assert!(says.contains("expected an object such as"), "{says}");
    site.web.post("/sse/complete/bob_1/build", r#"{"status":"failed","result":1}"#).await.error(400, Some("result"));
    site.web
        .post("/sse/complete/bob_1/build", &format!(r#"{{"result":"{}"}}"#, "x".repeat(300_000)))
        .await
        .error(413, Some("data"));

    site.web.post("/sse/progress/bob_1/build", r#"{"percent":50}"#).await.is("ok");
    let half = json!({ "task": "build", "client": "bob_1", "progress": { "percent": 50 } });
    assert_eq!(told(&mut bob).await, named("progress", half));
    assert_eq!(
        site.web.get("/sse/tasks/bob_1").await.json(),
        json!([{ "task": "build", "status": "progress", "progress": { "percent": 50 } }, { "task": "test", "status": "submitted" }])
    );
    site.web.post("/sse/complete/bob_1/build", r#"{"result":["ok"]}"#).await.is("ok");
    assert_eq!(told(&mut bob).await, named("completed", json!({ "task": "build", "client": "bob_1", "result": ["ok"] })));
    // Every id of the user is told, whichever shard it lives on; the result is for who submitted it.
    assert_eq!(told(&mut tab).await, named("completed", json!({ "task": "build", "client": "bob_2" })));
    site.web.post("/sse/complete/bob_1/test", r#"{"status":"failed","reason":"red"}"#).await.is("ok");
    assert_eq!(told(&mut bob).await, named("failed", json!({ "task": "test", "client": "bob_1", "reason": "red" })));
    // Ended is ended, until its end has arrived and the task is forgotten.
    let again = site.web.post("/sse/complete/bob_1/test", "").await.status();
    assert!(matches!(again, 404 | 409), "{again}");
    site.web.put("/sse/submit-task/bob_1/test").await.is("ok");
}

#[tokio::test]
async fn a_completion_while_away_is_delivered_on_return_once() {
    let site = Site::of(builder().worker("build")).await;
    for (path, id, done) in [
        ("/sse/register-listener/bob_1", "bob_1", "taskid\\\":\\\"build"),
        ("/sse/events?client=amy_1", "amy_1", "event:completed\n"),
    ] {
        let mut stream = site.web.stream(path).await;
        let (_, seen) = stream.event().await;
        site.web.put(&format!("/sse/submit-task/{id}/build")).await.is("ok");
        drop(stream);
        left(&site, id).await;
        site.web.post(&format!("/sse/complete/{id}/build"), "").await.is("ok");
        // Traffic does not push it out of the task table.
        for n in 0..200 {
            let event = sse_runtime::Event::data(n.to_string());
            site.hub.publish(sse_runtime::Target::topic("noise"), event).await.expect("published");
        }
        let mut stream = site.web.resume(path, &seen).await;
        let completed = next_of(&mut stream, done).await;
        fence(&site, &mut stream, done).await;
        drop(stream);
        left(&site, id).await;
        // Shown to have arrived: not again.
        let mut stream = site.web.resume(path, &completed).await;
        fence(&site, &mut stream, done).await;
        drop(stream);
        left(&site, id).await;
        // A client that lost its place, though, is not left without.
        site.web.put(&format!("/sse/submit-task/{id}/build")).await.is("ok");
        site.web.post(&format!("/sse/complete/{id}/build"), "").await.is("ok");
        let mut stream = site.web.stream(path).await;
        next_of(&mut stream, done).await;
        fence(&site, &mut stream, done).await;
    }
}

/// Waits until the client has no stream.
async fn left(site: &Site, id: &str) {
    eventually("the stream is gone", async || {
        let list = site.hub.list().await.expect("a list");
        list.iter().all(|registrant| &*registrant.client.id != id || registrant.streams == 0)
    })
    .await;
}

/// The id of the next frame with `mark` in it.
async fn next_of(stream: &mut Stream, mark: &str) -> String {
    loop {
        let frame = stream.frame().await;
        if frame.contains(mark) {
            return sse_tests::net::split_id(&frame).1.expect("an id");
        }
    }
}

/// Checks that no frame with `mark` comes any more.
async fn fence(site: &Site, stream: &mut Stream, mark: &str) {
    site.web.post("/sse/publish", r#"{"to":"all","data":"fence"}"#).await;
    loop {
        let frame = stream.frame().await;
        assert!(!frame.contains(mark), "again: {frame}");
        if frame.starts_with("data:fence\n") {
            return;
        }
    }
}

#[tokio::test]
async fn a_completion_reaches_its_user_although_the_worker_hangs_up_at_once() {
    let site = Site::of(builder().worker("build")).await;
    for round in 0..30 {
        let mut streams = Vec::new();
        for n in 0..4 {
            streams.push(open(site.web, &format!("bob{round}_{n}")).await);
        }
        site.web.put(&format!("/sse/submit-task/bob{round}_0/build")).await.is("ok");
        let request = format!("POST /sse/complete/bob{round}_0/build HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        let mut socket = tokio::net::TcpStream::connect(site.web.0).await.expect("connects");
        socket.write_all(request.as_bytes()).await.expect("sent");
        drop(socket);
        let (first, rest) = streams.split_at_mut(1);
        // Whether the request was read in time is open, but it is done for all or for none.
        let ended = eventually_done(&site, &format!("bob{round}_0")).await;
        for stream in first.iter_mut().chain(rest) {
            if ended {
                assert_eq!(told(stream).await.0, "completed", "round {round}");
            }
        }
    }
}

/// Whether the one task of a client has ended; waits a little for a request that may never have been read.
async fn eventually_done(site: &Site, id: &str) -> bool {
    for _ in 0..50 {
        let tasks = site.hub.tasks(id).await.expect("tasks");
        if tasks.first().is_none_or(|task| task.state.has_ended()) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

/// What the upstream does with a request.
enum Play {
    Status(u16),
    Silence,
    HangUp,
}

/// A server that plays its script, then accepts; requests are told with the time they came.
async fn upstream(script: Vec<Play>) -> (SocketAddr, mpsc::UnboundedReceiver<(Instant, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = mpsc::unbounded_channel();
    let script = Arc::new(Mutex::new(VecDeque::from(script)));
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("accepts");
            let (tell, script) = (tell.clone(), script.clone());
            tokio::spawn(async move {
                loop {
                    let mut text = String::new();
                    let mut buffer = [0; 4096];
                    while !is_whole(&text) {
                        match socket.read(&mut buffer).await {
                            Ok(read) if read > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
                            _ => return,
                        }
                    }
                    let _ = tell.send((Instant::now(), text));
                    let play = script.lock().expect("no panic").pop_front();
                    let status = match play {
                        Some(Play::HangUp) => return,
                        Some(Play::Silence) => std::future::pending().await,
                        Some(Play::Status(status)) => status,
                        None => 202,
                    };
                    let answer = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n");
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, told)
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).unwrap_or(0) <= body.len()
}

fn sends_to(address: SocketAddr) -> HubBuilder {
    let url = format!("http://{address}/work?kind=a").parse().expect("a URL");
    builder()
        .upstream("build", Upstream::new(url, Duration::from_millis(200), 3, Duration::from_millis(40)).expect("an upstream"))
}

#[tokio::test]
async fn an_upstream_accepts_and_reports_the_end_itself() {
    let (address, mut requests) = upstream(vec![]).await;
    let site = Site::of(sends_to(address)).await;
    let mut bob = open(site.web, "bob_1").await;
    site.web.ask("PUT", "/sse/submit-task/bob_1/build", &[], br#"{"of":"main"}"#).await.is("ok");
    let (_, request) = within("the request", requests.recv()).await.expect("a request");
    assert!(request.starts_with("POST /work?kind=a HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    assert_eq!(body, json!({ "id": "bob_1", "task": "build", "params": { "of": "main" } }));
    site.web.post("/sse/complete/bob_1/build", r#"{"result":1}"#).await.is("ok");
    assert_eq!(told(&mut bob).await, named("completed", json!({ "task": "build", "client": "bob_1", "result": 1 })));
    assert!(requests.try_recv().is_err(), "asked once");
}

#[tokio::test]
async fn an_upstream_that_refuses_fails_the_task_at_once() {
    let (address, mut requests) = upstream(vec![Play::Status(422)]).await;
    let site = Site::of(sends_to(address)).await;
    let mut bob = open(site.web, "bob_1").await;
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    let (event, data) = told(&mut bob).await;
    assert!(event == "failed" && data["reason"].as_str().is_some_and(|reason| reason.contains("refused it: 422")), "{data}");
    assert!(requests.try_recv().is_ok() && requests.try_recv().is_err(), "asked once");
}

#[tokio::test]
async fn an_upstream_is_tried_again_with_growing_waits() {
    let (address, mut requests) = upstream(vec![Play::Status(503), Play::HangUp]).await;
    let site = Site::of(sends_to(address)).await;
    let mut bob = open(site.web, "bob_1").await;
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    let mut times = Vec::new();
    for _ in 0..3 {
        times.push(within("an attempt", requests.recv()).await.expect("a request").0);
    }
    assert!(times[1] - times[0] >= Duration::from_millis(39), "{times:?}");
    assert!(times[2] - times[1] >= Duration::from_millis(79), "{times:?}");
    site.web.post("/sse/complete/bob_1/build", "").await.is("ok");
    assert_eq!(told(&mut bob).await.0, "completed", "accepted in the end");
}

#[tokio::test]
async fn an_upstream_that_never_answers_fails_the_task() {
    let (address, mut requests) = upstream(vec![Play::Silence, Play::Silence, Play::Silence]).await;
    let site = Site::of(sends_to(address)).await;
    let mut bob = open(site.web, "bob_1").await;
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    let reason = "the task's upstream did not answer in time";
    assert_eq!(told(&mut bob).await, named("failed", json!({ "task": "build", "client": "bob_1", "reason": reason })));
    let mut attempts = 0;
    while requests.try_recv().is_ok() {
        attempts += 1;
    }
    assert_eq!(attempts, 3);

    // Nobody listens there any more.
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let site = Site::of(sends_to(free)).await;
    let mut bob = open(site.web, "bob_1").await;
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    let reason = "the task's upstream cannot be reached";
    assert_eq!(told(&mut bob).await, named("failed", json!({ "task": "build", "client": "bob_1", "reason": reason })));
}
