//! `GET events`: the modern way in.

use sse_runtime::{Event, Target};
use sse_tests::net::{Stream, Web, within};

use crate::site::Site;

/// Takes the greeting; gives the client's id and the event's.
pub(crate) async fn greeted(stream: &mut Stream) -> (String, String) {
    let (frame, id) = stream.event().await;
    let client = frame
        .strip_prefix("retry:1000\nevent:connected\ndata:{\"client\":\"")
        .and_then(|rest| rest.strip_suffix("\"}\n\n"))
        .unwrap_or_else(|| panic!("a greeting: {frame:?}"));
    (client.to_owned(), id)
}

async fn publish(web: Web, json: &str) -> String {
    let answer = web.post("/sse/publish", json).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_stream_of_topics_in_one_request() {
    let site = Site::start().await;
    let mut stream = site.web.stream("/sse/events?topic=a&topic=b%2Fc").await;
    let frame = stream.frame().await;
    let (_, id) = sse_tests::net::split_id(&frame);
    let id = id.expect("an id");
    assert!(frame.ends_with(&format!("\nid:{id}\n\n")), "the id stands last: {frame:?}");
    let (epoch, sequence) = id.split_once('-').expect("epoch-sequence");
    assert!(epoch.len() == 8 && epoch.bytes().all(|b| b.is_ascii_hexdigit()) && sequence.parse::<u64>().is_ok(), "{id}");
    for (to, data, expected) in [
        (r#"{"topic":"a"}"#, r#""one""#, "data:one\n\n"),
        (r#"{"topic":"b/c"}"#, r#"{"n":1}"#, "data:{\"n\":1}\n\n"),
        (r#"{"topic":"other"}"#, r#""not for it""#, ""),
        (r#""all""#, r#""two\nlines""#, "data:two\ndata:lines\n\n"),
    ] {
        let id = publish(site.web, &format!(r#"{{"to":{to},"data":{data}}}"#)).await;
        if !expected.is_empty() {
            assert_eq!(stream.expect(expected).await, id);
        }
    }
    publish(site.web, r#"{"to":{"topic":"a"},"event":"price","data":42}"#).await;
    stream.expect("event:price\ndata:42\n\n").await;
}

#[tokio::test]
async fn who_the_stream_is_for() {
    let site = Site::start().await;
    let mut nobody = site.web.stream("/sse/events").await;
    let (id, _) = greeted(&mut nobody).await;
    assert!(id.starts_with("anonymous-"), "{id}");
    // Nobody shares a user name with someone who gave none.
    let (other, _) = greeted(&mut site.web.stream("/sse/events").await).await;
    let name = |id: &str| id.rsplit_once('_').expect("a name and a suffix").0.to_owned();
    assert_ne!(name(&id), name(&other));
    let mut bob = site.web.stream("/sse/events?name=bob").await;
    let (bob_id, _) = greeted(&mut bob).await;
    assert!(bob_id.starts_with("bob_"), "{bob_id}");
    let mut amy = site.web.stream("/sse/events?client=amy_1").await;
    assert_eq!(greeted(&mut amy).await.0, "amy_1");
    let mut tenant = site.web.stream("/sse/events?client=amy_1&group=tenant").await;
    assert_eq!(greeted(&mut tenant).await.0, "amy_1");

    publish(site.web, r#"{"to":{"group":"tenant"},"data":"group"}"#).await;
    publish(site.web, r#"{"to":{"client":"amy_1"},"data":"client"}"#).await;
    publish(site.web, r#"{"to":{"name":"bob"},"data":"name"}"#).await;
    publish(site.web, r#"{"to":"all","data":"all"}"#).await;
    for (stream, own) in [(&mut nobody, ""), (&mut bob, "name"), (&mut amy, "client"), (&mut tenant, "group")] {
        if !own.is_empty() {
            stream.expect(&format!("data:{own}\n\n")).await;
        }
        stream.expect("data:all\n\n").await;
    }
    // Who gave neither name nor id is forgotten with the stream; who gave one is kept.
    drop((nobody, bob));
    sse_tests::net::eventually("only the nameless is forgotten", async || !site.hub.is_registered(&id).await).await;
    assert!(site.hub.is_registered(&bob_id).await);
}

#[tokio::test]
async fn several_streams_of_one_client_all_receive() {
    let site = Site::start().await;
    let mut streams = Vec::new();
    for topic in ["a", "b", "a"] {
        let mut stream = site.web.stream(&format!("/sse/events?client=bob_1&topic={topic}")).await;
        greeted(&mut stream).await;
        streams.push(stream);
    }
    // Topics are the client's.
    publish(site.web, r#"{"to":{"topic":"a"},"data":"x"}"#).await;
    for stream in &mut streams {
        stream.expect("data:x\n\n").await;
    }
}

#[tokio::test]
async fn resume_by_header_by_query_and_from_the_earliest() {
    let site = Site::start().await;
    let path = "/sse/events?client=bob_1&topic=t";
    let mut stream = site.web.stream(path).await;
    let (_, start) = greeted(&mut stream).await;
    drop(stream);
    let mut ids = vec![start];
    for n in 0..5 {
        ids.push(publish(site.web, &format!(r#"{{"to":{{"topic":"t"}},"data":{n}}}"#)).await);
    }
    for (at, id) in ids.iter().enumerate() {
        let query = format!("{path}&lastEventId={id}");
        let both = format!("{path}&lastEventId=earliest");
        for mut stream in [
            site.web.resume(path, id).await,
            site.web.stream(&query).await,
            // A browser that comes back says it in the header, and still sends its first query.
            site.web.resume(&both, id).await,
        ] {
            greeted(&mut stream).await;
            for n in at..5 {
                assert_eq!(stream.expect(&format!("data:{n}\n\n")).await, ids[n + 1]);
            }
        }
    }
    let mut all = site.web.stream("/sse/events?topic=t&lastEventId=earliest").await;
    greeted(&mut all).await;
    for n in 0..5 {
        all.expect(&format!("data:{n}\n\n")).await;
    }
    let mut live = site.web.stream_with("/sse/events?topic=t&lastEventId=", &[("last-event-id", "")]).await;
    greeted(&mut live).await;
    publish(site.web, r#"{"to":{"topic":"t"},"data":"live"}"#).await;
    live.expect("data:live\n\n").await;
    all.expect("data:live\n\n").await;
}

#[tokio::test]
async fn an_id_that_is_not_known_gives_a_gap_in_band() {
    let site = Site::configured(|config| config.epoch = sse_runtime::proto::Epoch(0x1f3a_9c0e)).await;
    publish(site.web, r#"{"to":{"topic":"t"},"data":"kept"}"#).await;
    let check = async |id: &str, reason: &str| {
        let mut stream = site.web.resume("/sse/events?topic=t", id).await;
        // One id for both: that of the gap, which is where the stream goes on.
        let greeting = stream.frame().await;
        assert!(greeting.starts_with("retry:1000\nevent:connected\n"), "{greeting}");
        stream.expect(&format!("event:gap\ndata:{{\"reason\":\"{reason}\"}}\n\n")).await;
        stream.expect("data:kept\n\n").await;
    };
    check("00000001-5", "epoch").await;
    check("1f3a9c0e-4000000000", "unknown").await;
    check("what-is-this", "unknown").await;
    check("1f3a9c0e-99999999999999999999999", "unknown").await;
    check("\u{e9}\u{e9}", "unknown").await;
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let site = Site::start().await;
    let check = async |query: &str, status: u16, field: &str| {
        let answer = site.web.get(&format!("/sse/events?{query}")).await;
        answer.error(status, Some(field));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "a page can read why");
    };
    check("topics=a", 400, "topics").await;
    check("name=a&name=b", 400, "name").await;
    check("client=a&client=b", 400, "client").await;
    check("client=a&name=b", 400, "name").await;
    check("group=a&group=b", 400, "group").await;
    check("lastEventId=a&lastEventId=b", 400, "lastEventId").await;
    check("topic=", 400, "topic").await;
    check("topic=a&topic=b%0Ac", 400, "topic").await;
    check("topic=a%5Eb", 400, "topic").await;
    check("name=a%20b", 400, "name").await;
    check("name=", 400, "name").await;
    check("client=a%5Eb", 400, "client").await;
    check("client=", 400, "client").await;
    check("group=a%0Ab", 400, "group").await;
    let long = "x".repeat(300);
    check(&format!("topic={long}"), 413, "topic").await;
    check(&format!("name={long}"), 413, "name").await;
    check(&format!("client={long}"), 413, "client").await;
    check(&format!("group={long}"), 413, "group").await;
    let many: Vec<String> = (0..65).map(|n| format!("topic=t{n}")).collect();
    let answer = site.web.get(&format!("/sse/events?{}", many.join("&"))).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("5")), "{answer:?}");
    // What pages add against caches is left alone.
    greeted(&mut site.web.stream("/sse/events?_=123&_t=4").await).await;
    sse_tests::net::eventually("refusals leave nobody behind", async || site.hub.list().await.expect("a list").is_empty())
        .await;
}

#[tokio::test]
async fn heartbeats_come_when_nothing_else_does() {
    let site = Site::configured(|config| {
        config.engine.heartbeat = Some(std::time::Duration::from_millis(30));
    })
    .await;
    let mut stream = site.web.stream("/sse/events").await;
    greeted(&mut stream).await;
    for _ in 0..3 {
        assert_eq!(stream.frame().await, ":heartbeat\n\n");
    }
}

#[tokio::test]
async fn a_closed_hub_answers_204_and_one_that_shuts_down_503() {
    let site = Site::start().await;
    site.hub.close().await;
    for path in ["/sse/events", "/sse/events?client=bob_1", "/sse/register-listener/bob_1"] {
        let answer = site.web.get(path).await;
        assert_eq!((answer.status(), answer.body.as_str()), (204, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(site.web.get("/readyz").await.status(), 503);
    assert_eq!(site.web.get("/healthz").await.status(), 200);
    site.web.post("/sse/publish", r#"{"to":"all","data":"x"}"#).await.error(503, None);

    let site = Site::start().await;
    let mut stream = site.web.stream("/sse/events").await;
    greeted(&mut stream).await;
    let (min, max) = (std::time::Duration::from_secs(3), std::time::Duration::from_secs(4));
    let all_gone = site.hub.shut_down(std::time::Duration::from_secs(10), min, max);
    assert!(within("shut down", all_gone).await);
    let rest = stream.rest().await;
    let [farewell] = rest.as_slice() else { panic!("{rest:?}") };
    let retry: u32 = farewell.strip_prefix("retry:").and_then(|rest| rest.trim_end().parse().ok()).expect("a retry");
    assert!((3000..=4000).contains(&retry), "{farewell:?}");
    let answer = site.web.get("/sse/events").await;
    answer.error(503, None);
    assert_eq!(answer.header("retry-after"), Some("5"));
    site.web.get("/sse/make-id/bob").await.error(503, None);
}

#[tokio::test]
async fn head_opens_no_stream_for_long() {
    let site = Site::start().await;
    let answer = site.web.ask("HEAD", "/sse/events", &[], b"").await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    sse_tests::net::eventually("nobody is left", async || site.hub.list().await.expect("a list").is_empty()).await;
}

#[tokio::test]
async fn streams_end_to_end_carry_any_text() {
    let site = Site::start().await;
    let mut stream = site.web.stream("/sse/events?topic=t").await;
    greeted(&mut stream).await;
    let nasty = "a\r\nb\rc\n\nd: e\u{0}\u{2028}\u{feff}é🦀 id:1\nid: 2";
    let body = serde_json::json!({ "to": { "topic": "t" }, "data": nasty });
    publish(site.web, &body.to_string()).await;
    stream.expect("data:a\ndata:b\ndata:c\ndata:\ndata:d: e\u{0}\u{2028}\u{feff}é🦀 id:1\ndata:id: 2\n\n").await;
    // The library frames the same way.
    site.hub.publish(Target::topic("t"), Event::data(nasty)).await.expect("published");
    stream.frame().await;
}
