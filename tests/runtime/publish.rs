//! `POST publish`: each target, each field, each refusal.

use serde_json::{Value, json};
use sse_tests::net::{Answer, split_id};

use crate::events::greeted;
use crate::site::{Site, builder};

async fn publish(site: &Site, body: &Value) -> Answer {
    site.web.post("/sse/publish", &body.to_string()).await
}

#[tokio::test]
async fn each_target() {
    let site = Site::start().await;
    let mut bob1 = site.web.stream("/sse/events?client=bob_1&topic=news").await;
    let mut bob2 = site.web.stream("/sse/events?client=bob_2&group=g").await;
    let mut amy = site.web.stream("/sse/register-listener/amy_1").await;
    for stream in [&mut bob1, &mut bob2, &mut amy] {
        stream.event().await;
    }
    let check = async |to: Value, data: &str| {
        let answer = publish(&site, &json!({ "to": to, "data": data })).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let all = check(json!("all"), "1").await;
    let topic = check(json!({ "topic": "news" }), "2").await;
    let client = check(json!({ "client": "amy_1" }), "3").await;
    let name = check(json!({ "name": "bob" }), "4").await;
    let group = check(json!({ "group": "g" }), "5").await;
    let default_group = check(json!({ "group": "" }), "6").await;
    for (stream, expected) in [
        (&mut bob1, vec![("1", &all), ("2", &topic), ("4", &name), ("6", &default_group)]),
        (&mut bob2, vec![("1", &all), ("4", &name), ("5", &group)]),
        (&mut amy, vec![("1", &all), ("3", &client), ("6", &default_group)]),
    ] {
        for (data, id) in expected {
            assert_eq!(&stream.expect(&format!("data:{data}\n\n")).await, id);
        }
    }
    // Nobody listens: published all the same.
    check(json!({ "topic": "silence" }), "7").await;
    check(json!({ "name": "nobody" }), "8").await;
    publish(&site, &json!({ "to": { "client": "nobody_1" }, "data": 1 })).await.error(404, Some("to.client"));
}

#[tokio::test]
async fn each_field_reaches_the_wire() {
    let site = Site::start().await;
    let mut stream = site.web.stream("/sse/events?topic=t").await;
    greeted(&mut stream).await;
    for (fields, expected) in [
        (json!({ "data": "x" }), "data:x\n\n"),
        (json!({ "data": "" }), "data:\n\n"),
        (json!({ "data": null }), "data:null\n\n"),
        (json!({ "data": [1, "a", true] }), "data:[1,\"a\",true]\n\n"),
        (json!({ "data": 1.5 }), "data:1.5\n\n"),
        (json!({ "event": "e", "data": "x" }), "event:e\ndata:x\n\n"),
        (json!({ "event": "e" }), "event:e\ndata:\n\n"),
        (json!({ "data": "x", "retry": 0 }), "retry:0\ndata:x\n\n"),
        (json!({ "retry": 4294967295_u32 }), "retry:4294967295\n\n"),
    ] {
        let mut body = fields.clone();
        body["to"] = json!({ "topic": "t" });
        let answer = publish(&site, &body).await;
        assert_eq!(answer.status(), 200, "{fields}: {answer:?}");
        let frame = stream.frame().await;
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(&split_id(&frame).0), sorted(expected), "{fields}");
    }
}

#[tokio::test]
async fn ids_of_ones_own_are_sent_and_resumed_from() {
    let site = Site::start().await;
    for n in 1..=5 {
        let answer = publish(&site, &json!({ "to": { "topic": "t" }, "data": n, "id": format!("order {n}") })).await;
        assert_eq!(answer.json(), json!({ "id": format!("order {n}") }));
    }
    for from in 1..=5 {
        let mut stream = site.web.resume("/sse/events?topic=t", &format!("order {from}")).await;
        greeted(&mut stream).await;
        for n in from + 1..=5 {
            let frame = stream.frame().await;
            let (bare, id) = split_id(&frame);
            assert_eq!((bare, id), (format!("data:{n}\n\n"), Some(format!("order {n}"))));
        }
    }
}

#[tokio::test]
async fn an_array_is_answered_in_order() {
    let site = Site::start().await;
    let mut stream = site.web.stream("/sse/events?topic=t").await;
    greeted(&mut stream).await;
    let body: Vec<Value> = (0..50).map(|n| json!({ "to": { "topic": "t" }, "data": n })).collect();
    let answer = publish(&site, &Value::Array(body)).await;
    let ids = answer.json();
    for n in 0..50 {
        let id = stream.expect(&format!("data:{n}\n\n")).await;
        assert_eq!(ids[n]["id"], json!(id));
    }
    assert_eq!(site.web.post("/sse/publish", " \n [] ").await.body, "[]");
}

#[tokio::test]
async fn an_array_with_one_bad_event_publishes_nothing() {
    let site = Site::configured(|config| config.engine.limits.frame_bytes = 2048).await;
    let mut stream = site.web.stream("/sse/events?client=bob_1&topic=t").await;
    greeted(&mut stream).await;
    let good = json!({ "to": { "topic": "t" }, "data": "must not appear" });
    let check = async |bad: Value, status: u16, field: &str| {
        let answer = publish(&site, &json!([good, good, bad])).await;
        answer.error(status, Some(field));
    };
    check(json!({ "to": { "topic": "t" }, "data": 1, "event": "a\nb" }), 400, "[2].event").await;
    check(json!({ "to": { "topic": "t" }, "data": 1, "id": "a\u{0}b" }), 400, "[2].id").await;
    check(json!({ "to": { "topic": "a\nb" }, "data": 1 }), 400, "[2].to.topic").await;
    check(json!({ "to": { "topic": "t" }, "data": "x".repeat(3000) }), 413, "[2].data").await;
    check(json!({ "to": { "topic": "t" }, "data": 1, "retry": "soon" }), 400, "[2].retry").await;
    check(json!({ "to": { "client": "nobody_1" }, "data": 1 }), 404, "[2].to.client").await;
    publish(&site, &json!({ "to": "all", "data": "fence" })).await;
    stream.expect("data:fence\n\n").await;
}

#[tokio::test]
async fn each_refusal_names_the_field() {
    let site = Site::configured(|config| config.engine.limits.frame_bytes = 2048).await;
    let mut stream = site.web.stream("/sse/events?topic=t").await;
    greeted(&mut stream).await;
    let check = async |body: &str, status: u16, field: Option<&str>| {
        site.web.post("/sse/publish", body).await.error(status, field);
    };
    check("", 400, None).await;
    check("{", 400, None).await;
    check("nonsense", 400, None).await;
    check("\"text\"", 400, Some("body")).await;
    check("[1]", 400, Some("[0]")).await;
    check(r#"{"to":"all"} {}"#, 400, None).await;
    // Half a character is no text.
    check(r#"{"to":"all","data":"a\ud800"}"#, 400, Some("data")).await;
    let number = site.web.post("/sse/publish", "7").await;
    assert!(number.error(400, Some("body")).contains("expected an object such as"), "{number:?}");
    check("{\"to\":\"all\",\"data\":\"\u{fffd}", 400, None).await;
    // An event is an object, though it could be told from its fields in order.
    check(r#"[["all",null,"x",null,null]]"#, 400, Some("[0]")).await;
    for to in [
        "null",
        "7",
        "[]",
        "{}",
        r#""everybody""#,
        r#"{"topics":"t"}"#,
        r#"{"topic":"t","client":"bob_1"}"#,
        r#"{"topic":"t","topic":"u"}"#,
    ] {
        let says = site.web.post("/sse/publish", &format!(r#"{{"data":1,"to":{to}}}"#)).await.error(400, Some("to"));
        assert!(says.contains(r#"expected "all", or an object with one of topic, client, name and group"#), "{to}: {says}");
    }
    let answer = site.web.ask("POST", "/sse/publish", &[], b"{\"to\":\"all\",\"data\":\"\xff\"}").await;
    assert_eq!(answer.status(), 400, "{answer:?}");
    for (fields, status, field) in [
        (json!({ "data": 1 }), 400, Some("to")),
        (json!({ "to": "everybody", "data": 1 }), 400, Some("to")),
        (json!({ "to": { "topics": "t" }, "data": 1 }), 400, Some("to")),
        (json!({ "to": { "topic": 1 }, "data": 1 }), 400, Some("to.topic")),
        (json!({ "to": { "topic": "" }, "data": 1 }), 400, Some("to.topic")),
        (json!({ "to": { "topic": "a\rb" }, "data": 1 }), 400, Some("to.topic")),
        (json!({ "to": { "topic": "t".repeat(257) }, "data": 1 }), 413, Some("to.topic")),
        (json!({ "to": { "client": "a b" }, "data": 1 }), 400, Some("to.client")),
        (json!({ "to": { "client": "c".repeat(129) }, "data": 1 }), 413, Some("to.client")),
        (json!({ "to": { "name": "a^b" }, "data": 1 }), 400, Some("to.name")),
        (json!({ "to": { "name": "n".repeat(129) }, "data": 1 }), 413, Some("to.name")),
        (json!({ "to": { "group": "a\nb" }, "data": 1 }), 400, Some("to.group")),
        (json!({ "to": { "group": "g".repeat(129) }, "data": 1 }), 413, Some("to.group")),
        (json!({ "to": "all", "event": 1 }), 400, Some("event")),
        (json!({ "to": "all", "event": "a\nb", "data": 1 }), 400, Some("event")),
        (json!({ "to": "all", "event": "a\rb", "data": 1 }), 400, Some("event")),
        (json!({ "to": "all", "id": "a\nb", "data": 1 }), 400, Some("id")),
        (json!({ "to": "all", "id": "a\u{0}b", "data": 1 }), 400, Some("id")),
        (json!({ "to": "all", "id": 7, "data": 1 }), 400, Some("id")),
        (json!({ "to": "all", "id": "i".repeat(1025), "data": 1 }), 413, Some("id")),
        (json!({ "to": "all", "retry": -1 }), 400, Some("retry")),
        (json!({ "to": "all", "retry": 1.5 }), 400, Some("retry")),
        (json!({ "to": "all", "retry": 4294967296_u64 }), 400, Some("retry")),
        (json!({ "to": "all", "data": "x".repeat(2048) }), 413, Some("data")),
    ] {
        publish(&site, &fields).await.error(status, field);
    }
    let unknown = publish(&site, &json!({ "to": "all", "dat": 1 })).await;
    assert!(unknown.error(400, Some("dat")).contains("unknown field"));
    publish(&site, &json!({ "to": "all", "data": "fence" })).await;
    stream.expect("data:fence\n\n").await;
}

#[tokio::test]
async fn the_largest_frame_fits_and_one_byte_more_does_not() {
    let site = Site::configured(|config| config.engine.limits.frame_bytes = 1024).await;
    let mut stream = site.web.stream("/sse/events?topic=t").await;
    greeted(&mut stream).await;
    let sends = async |len: usize| publish(&site, &json!({ "to": { "topic": "t" }, "data": "x".repeat(len) })).await.status();
    let mut largest = 0;
    for len in 900..1100 {
        match sends(len).await {
            200 => largest = len,
            status => {
                assert_eq!(status, 413);
                break;
            }
        }
    }
    assert!((950..1024).contains(&largest), "{largest}");
    for len in 900..=largest {
        stream.expect(&format!("data:{}\n\n", "x".repeat(len))).await;
    }
}

#[tokio::test]
async fn an_oversized_body_is_413_for_every_route_with_one() {
    let site = Site::with(builder().worker("build"), |setup| setup.router.max_body = 4096).await;
    let mut stream = site.web.stream("/sse/events?client=bob_1").await;
    greeted(&mut stream).await;
    let body = format!(r#"{{"to":"all","data":"{}"}}"#, "x".repeat(5000));
    site.web.post("/sse/publish", &body).await.error(413, None);
    site.web.ask("PUT", "/sse/submit-task/bob_1/build", &[], body.as_bytes()).await.error(413, None);
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    site.web.post("/sse/complete/bob_1/build", &body).await.error(413, None);
    site.web.post("/sse/progress/bob_1/build", &body).await.error(413, None);
    site.web.post("/sse/progress/bob_1/build", "50").await.is("ok");
    let (frame, _) = stream.event().await;
    assert!(frame.starts_with("event:progress\n"), "{frame}");
}

#[tokio::test]
async fn what_is_not_there_says_so_in_json() {
    let site = Site::start().await;
    site.web.get("/nowhere").await.error(404, None);
    site.web.get("/sse/publish").await.error(405, None);
    site.web.post("/sse/events", "").await.error(405, None);
    site.web.post("/sse/make-id/bob", "").await.error(405, None);
    let answer = site.web.post("/sse/list-registrants", "").await;
    answer.error(405, None);
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn json_is_published_as_it_was_written() {
    let site = Site::start().await;
    let mut stream = site.web.stream("/sse/events?topic=t").await;
    greeted(&mut stream).await;
    site.web.post("/sse/publish", r#"{"to":{"topic":"t"},"data":{"z":1,"a":12345678901234567890123}}"#).await;
    stream.expect("data:{\"z\":1,\"a\":12345678901234567890123}\n\n").await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_refusals_are_counted() {
    let site = Site::start().await;
    site.web.post("/sse/publish", r#"{"data":"x"}"#).await.error(400, Some("to"));
    site.web.post("/sse/publish", r#"[{"to":"all","data":1},{"data":"x"}]"#).await.error(400, Some("[1].to"));
    site.web.post("/sse/publish", "3").await.error(400, Some("body"));
    site.web.post("/sse/publish", r#"{"to":{"client":"nobody_1"},"data":1}"#).await.error(404, Some("to.client"));
    let metrics = site.hub.render_metrics();
    for line in ["publish_errors_total{reason=\"malformed\"} 3", "publish_errors_total{reason=\"unknown_target\"} 1"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
