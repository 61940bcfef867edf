//! Servers that fail in every way.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sse_runtime::client::{Closed, Config, DecodeError, EventSource, Interruption, Item, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::support::{NO_CONTENT, OK, Server, data, hasty, next, story, within};

#[tokio::test]
async fn a_stream_that_stops_mid_frame_is_resumed_behind_the_last_whole_event() {
    let plain = format!("{OK}id: 1\ndata: a\n\nid: 2\ndata: not who");
    let truncated =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100\r\n\r\nid: 2\ndata: b\n\nid: 3\n";
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n10\r\nid: 3\ndata: c\n\ni\r\n5\r\nd: 4";
    let server = Server::answers(&[&plain, truncated, chunked, NO_CONTENT]).await;
    let story = story(hasty(&server.url("/")).build().unwrap()).await;
    let expected = ["opened", "a", "Ended", "opened", "b", "Failed", "opened", "c", "Failed", "closed NoContent"];
    assert_eq!(story, expected);
    let ids: Vec<String> = server.requests().iter().map(|request| request.header("last-event-id").to_owned()).collect();
    assert_eq!(ids, ["", "1", "2", "3"]);
}

#[tokio::test]
async fn the_request_is_what_the_standard_says_and_the_caller_adds() {
    let server = Server::answers(&[NO_CONTENT]).await;
    let source = EventSource::builder(&server.url("/a?b=c#d")).header("X-Mine", "1").last_event_id("ünï 7").build().unwrap();
    story(source).await;
    let request = &server.requests()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/a?b=c"));
    assert_eq!(request.header("accept"), "text/event-stream");
    assert_eq!(request.header("cache-control"), "no-cache");
    assert_eq!((request.header("x-mine"), request.header("last-event-id")), ("1", "ünï 7"));

    let server = Server::answers(&[&format!("{OK}data: x\n\n"), NO_CONTENT]).await;
    let source = hasty(&server.url("/")).post("{}").header("content-type", "application/json").header("accept", "*/*");
    story(source.build().unwrap()).await;
    for request in server.requests() {
        assert_eq!((request.method.as_str(), request.body.as_str()), ("POST", "{}"), "also the second time");
        assert_eq!((request.header("content-type"), request.header("accept")), ("application/json", "*/*"));
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn busy_servers_are_asked_again_not_sooner_than_they_want() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 4\r\n\r\nbusy";
    let too_many = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    let server = Server::answers(&[busy, too_many, &format!("{OK}data: at last\n\n"), NO_CONTENT]).await;
    let config = Config { retry: Duration::from_millis(1), ..Config::default() };
    let begun = Instant::now();
    let mut source = EventSource::builder(&server.url("/")).config(config).build().unwrap();
    match next(&mut source).await {
        Item::Reconnecting { delay, why } => {
            assert_eq!(why.reason, Interruption::Status(503));
            assert!(delay >= Duration::from_secs(1), "{delay:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(data(&mut source).await, "at last");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(story(source).await, ["Ended", "closed NoContent"]);

    let server = Server::answers(&[busy]).await;
    let source = EventSource::builder(&server.url("/")).config(Config::browser()).build().unwrap();
    assert_eq!(story(source).await, ["closed Status(503)"]);
}

#[tokio::test]
async fn retry_after_may_be_a_date() {
    let busy = |after: SystemTime, date: &str| {
        let after = httpdate::fmt_http_date(after);
        format!("HTTP/1.1 503 Service Unavailable\r\nretry-after: {after}\r\n{date}content-length: 0\r\n\r\n")
    };
    let answered = UNIX_EPOCH + Duration::from_secs(784_111_777);
    let date = format!("date: {}\r\n", httpdate::fmt_http_date(answered));
    let (minute, year) = (Duration::from_secs(60), Duration::from_secs(365 * 86_400));
    let config = Config { jitter_percent: 0, longest_wait: Duration::from_secs(600), ..Config::default() };
    for (answer, shortest, longest) in [
        (busy(answered + minute, &date), 60, 60),
        // A date has whole seconds, and the test takes time of its own.
        (busy(SystemTime::now() + minute, ""), 30, 60),
        (busy(answered, ""), 1, 1),
        (busy(SystemTime::now() + year, ""), 600, 600),
    ] {
        let server = Server::answers(&[&answer]).await;
        let mut source = EventSource::builder(&server.url("/")).config(config).build().unwrap();
        match next(&mut source).await {
            Item::Reconnecting { delay, .. } => {
                assert!((shortest..=longest).contains(&delay.as_secs()), "{delay:?} for {answer}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_redirect_is_followed_and_permanent_ones_are_remembered() {
    for (status, path) in [(301, "/new"), (308, "/new"), (302, "/old"), (303, "/old"), (307, "/old")] {
        for location in ["/new", "new", "../new", "./x/../new", "//{host}/new", "http://{host}/new"] {
            let server = Server::start(move |_, request, mut socket| async move {
                let location = location.replace("{host}", request.header("host"));
                let answer = match request.target.as_str() {
                    "/old" => format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"),
                    _ if request.header("last-event-id") == "1" => NO_CONTENT.to_owned(),
                    _ => format!("{OK}id: 1\ndata: here\n\n"),
                };
                let _ = socket.write_all(answer.as_bytes()).await;
            })
            .await;
            let source = hasty(&server.url("/old")).build().unwrap();
            assert_eq!(story(source).await, ["opened", "here", "Ended", "closed NoContent"], "{status} {location}");
            let requests = server.requests();
            let targets: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
            assert_eq!(targets[..3], ["/old", "/new", path], "{status} {location}");
        }
    }
}

#[tokio::test]
async fn redirects_without_end_or_without_a_url_end_it() {
    let around = "HTTP/1.1 307 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    let server = Server::answers(&[around]).await;
    assert_eq!(story(hasty(&server.url("/")).build().unwrap()).await, ["closed TooManyRedirects"]);
    assert_eq!(server.requests().len(), 21);
    for nowhere in ["", "location: ftp://x/\r\n", "location: http://\r\n"] {
        let server = Server::answers(&[&format!("HTTP/1.1 302 Elsewhere\r\n{nowhere}content-length: 0\r\n\r\n")]).await;
        assert_eq!(story(hasty(&server.url("/")).build().unwrap()).await, ["closed Redirect(302)"], "{nowhere}");
    }
}

#[tokio::test]
async fn credentials_stay_with_their_origin_and_a_get_has_no_body() {
    let away = Server::answers(&[NO_CONTENT]).await;
    let to = away.url("/");
    let server = Server::start(move |_, request, mut socket| {
        let location = if request.target == "/near" { to.clone() } else { "/near".to_owned() };
        async move {
            let answer = format!("HTTP/1.1 302 Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let source = hasty(&server.url("/"))
        .post("secret")
        .header("authorization", "Bearer x")
        .header("cookie", "a=b")
        .header("content-type", "text/plain")
        .header("x-open", "1");
    assert_eq!(story(source.build().unwrap()).await, ["closed NoContent"]);
    let near = &server.requests()[1];
    assert_eq!((near.method.as_str(), near.body.as_str(), near.header("content-type")), ("GET", "", ""));
    assert_eq!((near.header("authorization"), near.header("cookie")), ("Bearer x", "a=b"));
    let far = &away.requests()[0];
    assert_eq!((far.header("authorization"), far.header("cookie"), far.header("x-open")), ("", "", "1"));
}

#[tokio::test]
async fn lines_of_a_mebibyte_come_whole_and_what_is_over_the_limit_is_told() {
    let line = "ä0123456789abcde".repeat((1 << 20) / 17);
    let answer = format!("{OK}{}id: last\ndata: end\n\n", format!("data: {line}\n\n").repeat(4));
    let server = Server::answers(&[&answer]).await;
    let mut source = hasty(&server.url("/")).build().unwrap();
    for _ in 0..4 {
        assert!(data(&mut source).await == line);
    }
    assert_eq!(data(&mut source).await, "end");

    let limits = Limits { max_line: 1 << 19, max_event: 1 << 19 };
    let mut source = hasty(&server.url("/")).limits(limits).build().unwrap();
    assert_eq!(next(&mut source).await, Item::Opened);
    for _ in 0..4 {
        assert_eq!(next(&mut source).await, Item::Skipped(DecodeError::LineTooLong));
    }
    assert_eq!(data(&mut source).await, "end");
}

#[tokio::test]
async fn a_server_that_sends_nothing_is_left_for_another_attempt() {
    let server = Server::start(|number, _, mut socket| async move {
        match number {
            0 => {}
            1 => socket.write_all(OK.as_bytes()).await.unwrap(),
            2 => socket.write_all(format!("{OK}data: x\n\n: alive").as_bytes()).await.unwrap(),
            _ => return socket.write_all(NO_CONTENT.as_bytes()).await.unwrap(),
        }
        // It stays, and says no more, until the client is gone.
        assert!(matches!(socket.read(&mut [0]).await, Ok(0) | Err(_)));
    })
    .await;
    let config = Config {
        answer_timeout: Some(Duration::from_millis(300)),
        liveness: Some(Duration::from_millis(300)),
        retry: Duration::from_millis(1),
        ..Config::default()
    };
    let source = EventSource::builder(&server.url("/")).config(config).build().unwrap();
    assert_eq!(story(source).await, ["NoAnswer", "opened", "Silent", "opened", "x", "Silent", "closed NoContent"]);
}

#[tokio::test]
async fn comments_are_life() {
    let server = Server::start(|number, _, mut socket| async move {
        if number > 0 {
            return socket.write_all(NO_CONTENT.as_bytes()).await.unwrap();
        }
        socket.write_all(OK.as_bytes()).await.unwrap();
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            socket.write_all(b":\n\n").await.unwrap();
        }
        socket.write_all(b"data: x\n\n").await.unwrap();
    })
    .await;
    let source = hasty(&server.url("/")).liveness(Duration::from_millis(1_000)).build().unwrap();
    assert_eq!(story(source).await, ["opened", "x", "Ended", "closed NoContent"]);
}

#[tokio::test]
async fn what_is_no_event_stream_ends_it() {
    for (answer, closed) in [
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<p>", Closed::ContentType),
        ("HTTP/1.1 200 OK\r\n\r\ndata: x\n\n", Closed::ContentType),
        ("HTTP/1.1 204 No Content\r\ncontent-type: text/event-stream\r\n\r\n", Closed::NoContent),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Closed::Status(404)),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", Closed::Status(401)),
        ("HTTP/1.1 206 Partial\r\ncontent-type: text/event-stream\r\n\r\n", Closed::Status(206)),
    ] {
        let server = Server::answers(&[answer]).await;
        assert_eq!(story(hasty(&server.url("/")).build().unwrap()).await, [format!("closed {closed:?}")], "{answer}");
        assert_eq!(server.requests().len(), 1);
    }
    let server =
        Server::answers(&["HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream ;charset=UTF-8\r\n\r\ndata: x\n\n", NO_CONTENT])
            .await;
    assert_eq!(story(hasty(&server.url("/")).build().unwrap()).await, ["opened", "x", "Ended", "closed NoContent"]);
}

#[tokio::test]
async fn nobody_there_and_answers_that_are_no_http_use_up_the_attempts() {
    // Bound and dropped: nobody listens there now.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut source = hasty(&format!("http://{nobody}/")).max_attempts(3).build().unwrap();
    for _ in 0..2 {
        match next(&mut source).await {
            Item::Reconnecting { why, .. } => {
                assert_eq!(why.reason, Interruption::Failed);
                assert!(why.to_string().contains("refused"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(story(source).await, ["closed Attempts(Failed)"]);

    let server = Server::answers(&["SSH-2.0-OpenSSH_9.2\r\n", "", "HTTP/1.1 200 OK\r\ncontent-ty"]).await;
    let source = hasty(&server.url("/")).max_attempts(3).build().unwrap();
    assert_eq!(story(source).await, ["Failed", "Failed", "closed Attempts(Failed)"]);
}

#[tokio::test]
async fn one_answer_is_asked_for_once() {
    let server = Server::answers(&["HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", &format!("{OK}data: x\n\n")]).await;
    let mut source = hasty(&server.url("/")).reconnect(false).build().unwrap();
    assert_eq!(within(source.next_event()).await.unwrap().unwrap().data, "x");
    assert_eq!(within(source.next_event()).await, Ok(None));
    assert_eq!(within(source.next()).await, None, "it stays over");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn dropping_it_ends_the_connection_at_any_stage() {
    for answer in ["", "HTTP/1.1 200 O", OK, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\n"] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let server = Server::start(move |_, _, mut socket| {
            let tell = tell.clone();
            async move {
                socket.write_all(answer.as_bytes()).await.unwrap();
                tell.send("there").unwrap();
                assert!(matches!(socket.read(&mut [0]).await, Ok(0) | Err(_)));
                tell.send("gone").unwrap();
            }
        })
        .await;
        let mut source = EventSource::builder(&server.url("/")).build().unwrap();
        let follow = async { while source.next().await.is_some() {} };
        tokio::select! {
            () = follow => panic!("it does not end"),
            there = within(told.recv()) => assert_eq!(there, Some("there")),
        }
        drop(source);
        assert_eq!(within(told.recv()).await, Some("gone"), "{answer}");
    }
}

#[tokio::test]
async fn closing_it_is_the_last_item() {
    let server = Server::start(|_, _, mut socket| async move {
        socket.write_all(format!("{OK}data: x\n\n").as_bytes()).await.unwrap();
        let _ = socket.read(&mut [0]).await;
    })
    .await;
    let mut source = EventSource::builder(&server.url("/")).build().unwrap();
    assert_eq!(data(&mut source).await, "x");
    source.close();
    assert_eq!(story(source).await, ["closed ByCaller"]);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_stops_the_server() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::start(move |_, _, mut socket| {
        let tell = tell.clone();
        async move {
            socket.write_all(OK.as_bytes()).await.unwrap();
            let events = "data: 0123456789abcdef\n\n".repeat(1 << 12);
            let mut written = 0;
            // A pause is taken for a full socket: too early a one only makes the figure smaller.
            while let Ok(result) = tokio::time::timeout(Duration::from_millis(500), socket.write(events.as_bytes())).await {
                written += result.unwrap();
            }
            tell.send(written).unwrap();
            let _ = socket.read(&mut [0]).await;
        }
    })
    .await;
    let mut source = EventSource::builder(&server.url("/")).build().unwrap();
    assert_eq!(data(&mut source).await, "0123456789abcdef");
    let written = within(told.recv()).await.unwrap();
    assert!(written < 16 << 20, "{written} bytes were taken for one event");
    for _ in 0..written / 30 {
        assert_eq!(data(&mut source).await, "0123456789abcdef");
    }
}

#[tokio::test]
async fn a_mistake_of_the_caller_is_told_before_anything_is_asked() {
    let check = |builder: sse_runtime::client::Builder, says: &str| {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(says) && error.lines().count() == 1, "{error}");
    };
    check(EventSource::builder("/relative"), "http://");
    check(EventSource::builder("ftp://x/"), "http://");
    check(EventSource::builder("http://user:secret@host/"), "Authorization");
    check(EventSource::builder("http://a b/"), "not a URL");
    check(EventSource::builder("http://x/").header("a b", "c"), "header's name");
    check(EventSource::builder("http://x/").header("a", "b\nc"), "header a");
    check(EventSource::builder("http://x/").header("Last-Event-ID", "1"), "resume");
    check(EventSource::builder("http://x/").header("Content-Length", "1"), "body");
    check(EventSource::builder("http://x/").header("Transfer-Encoding", "chunked"), "body");
    check(EventSource::builder("http://x:65536/"), "port");
    check(EventSource::builder("http://x/").remember_ids(usize::MAX), "at most");
    check(EventSource::builder("http://x/").last_event_id("1\n2"), "line break");
    check(EventSource::builder("http://x/").last_event_id("1\u{1}"), "control character");
}

#[tokio::test]
async fn an_id_that_no_header_can_carry_ends_it() {
    let server = Server::answers(&[&format!("{OK}id: \u{1}\ndata: x\n\n")]).await;
    assert_eq!(story(hasty(&server.url("/")).build().unwrap()).await, ["opened", "x", "Ended", "closed Unsendable"]);
}
