//! System M, row by row, byte for byte.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use sse_runtime::proto::{Age, IdForm};
use sse_runtime::{HubEvent, Register};
use sse_tests::net::{Stream, Web, eventually, within};
use tokio::task::JoinSet;

use crate::site::{Site, builder, guard};

fn registered(id: &str) -> String {
    format!("retry:1000\ndata:\"registered^{id}\"\n\n")
}

/// Opens the stream of an id and takes its acknowledgement.
async fn join(web: Web, id: &str) -> Stream {
    let mut stream = web.stream(&format!("/sse/register-listener/{id}")).await;
    stream.expect(&registered(id)).await;
    stream
}

/// Checks that nothing but `expected` came to each: a frame to everybody follows it.
async fn nothing_else(site: &Site, streams: &mut [&mut Stream]) {
    let told = site.web.post("/sse/publish", r#"{"to":"all","data":"fence"}"#);
    assert_eq!(told.await.status(), 200);
    for stream in streams {
        stream.expect("data:fence\n\n").await;
    }
}

/// The timestamp of a `completed` frame, which must be `expected` with TS for it.
fn completed(frame: &str, expected: &str) -> u64 {
    let digits: String = frame.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    assert_eq!(frame.replacen(&digits, "TS", 1), expected);
    let timestamp: u64 = digits.parse().expect("a number");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock");
    let now = u64::try_from(now.as_millis()).expect("fits");
    assert!(timestamp.abs_diff(now) < 60_000, "{timestamp} is not now");
    timestamp
}

#[tokio::test]
async fn m1_every_route_is_below_the_prefix() {
    let site = Site::with(builder(), |setup| {
        setup.router.prefix = "/x/y/".parse().expect("a prefix");
    })
    .await;
    let id = site.web.get("/x/y/make-id/bob").await.body;
    let mut stream = site.web.stream(&format!("/x/y/register-listener/{id}")).await;
    stream.expect(&registered(&id)).await;
    site.web.put(&format!("/x/y/listen/{id}/k")).await.is("ok");
    for path in ["/sse/make-id/bob", "/make-id/bob", "/x/make-id/bob", "/x/y"] {
        site.web.get(path).await.error(404, None);
    }
    let root = Site::with(builder(), |setup| {
        setup.router.prefix = "/".parse().expect("a prefix");
    })
    .await;
    assert_eq!(root.web.get("/make-id/bob").await.status(), 200);
    assert_eq!(root.web.get("/").await.header("content-type"), Some("text/html; charset=utf-8"));
}

#[tokio::test]
async fn m2_parallel_calls_give_different_ids_as_bare_text() {
    let site = Site::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..400 {
        let web = site.web;
        calls.spawn(async move { web.get("/sse/make-id/bob").await });
    }
    let answers = within("400 ids", calls.join_all()).await;
    let ids: HashSet<String> = answers.iter().map(|answer| answer.body.clone()).collect();
    assert_eq!(ids.len(), 400);
    for answer in &answers {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(site.web.get("/sse/list-registrants").await.body, "{}");
}

#[tokio::test]
async fn m3_an_id_is_the_name_and_a_suffix_that_cannot_be_guessed() {
    let check = async |form: IdForm, bits: f64| {
        let site = Site::configured(|config| config.engine.id_form = form).await;
        let id = site.web.get("/sse/make-id/bob_the.2nd").await.body;
        let suffix = id.strip_prefix("bob_the.2nd_").expect("the name first");
        assert!(suffix.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
        let upper = suffix.bytes().any(|b| b.is_ascii_uppercase());
        let alphabet: f64 = if upper { 62.0 } else { 36.0 };
        assert!(suffix.len() as f64 * alphabet.log2() >= bits, "{id}");
        suffix.len()
    };
    let secure = check(IdForm::Secure, 128.0).await;
    let short = check(IdForm::Short, 30.0).await;
    assert!(short < secure);
}

#[tokio::test]
async fn m3_names_that_the_original_client_cannot_carry_are_refused() {
    let site = Site::start().await;
    for name in ["a%20b", "a%5Eb", "a%22b", "a%5Cb", "a%2Fb", "a%3Fb", "a%23b", "a%25b", "%7Bb", "%C3%A9", "a%0Ab", "a%00b"] {
        let says = site.web.get(&format!("/sse/make-id/{name}")).await.error(400, Some("name"));
        assert!(says.starts_with("the name"), "{says}");
        site.web.get(&format!("/sse/register-listener/{name}")).await.error(400, Some("id"));
    }
    site.web.get("/sse/make-id/%FF").await.error(400, None);
    site.web.get(&format!("/sse/make-id/{}", "a".repeat(129))).await.error(413, Some("name"));
    site.web.get(&format!("/sse/register-listener/{}", "a".repeat(129))).await.error(413, Some("id"));
    site.web.get("/sse/make-id/").await.error(404, None);
}

#[tokio::test]
async fn m4_a_listener_is_acknowledged_first() {
    let site = Site::start().await;
    let mut stream = site.web.stream("/sse/register-listener/made-up").await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(stream.head.header(name), Some(value));
    }
    let frame = stream.frame().await;
    let (bare, id) = sse_tests::net::split_id(&frame);
    let id = id.expect("a greeting has an id");
    assert_eq!(frame, format!("retry:1000\ndata:\"registered^made-up\"\nid:{id}\n\n"));
    assert_eq!(bare, registered("made-up"));
}

#[tokio::test]
async fn m4_registered_before_the_headers_are_flushed() {
    let site = Site::start().await;
    for round in 0..100 {
        let id = format!("bob_{round}");
        let _stream = site.web.stream(&format!("/sse/register-listener/{id}")).await;
        site.web.put(&format!("/sse/listen/{id}/k")).await.is("ok");
    }
}

#[tokio::test]
async fn m5_a_second_stream_replaces_the_first_and_keeps_keys_and_tasks() {
    let site = Site::of(builder().worker("build")).await;
    let mut first = join(site.web, "bob_1").await;
    site.web.put("/sse/listen/bob_1/news").await.is("ok");
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    let before = registered_ts(&site, "bob_1").await;
    eventually("a later millisecond", async || {
        std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_millis() as u64 > before + 2
    })
    .await;

    let mut second = join(site.web, "bob_1").await;
    assert_eq!(first.rest().await, [""; 0], "the old stream ends, silently");
    assert!(registered_ts(&site, "bob_1").await > before, "refreshed");
    site.web.post("/sse/notify/news", "").await;
    second.expect("data:\"notify^news\"\n\n").await;
    site.web.post("/sse/complete/bob_1/build", "").await.is("ok");
    let (frame, _) = second.event().await;
    completed(&frame, "data:\"completed^{\\\"timestamp\\\":TS,\\\"id\\\":\\\"bob_1\\\",\\\"taskid\\\":\\\"build\\\"}\"\n\n");
    nothing_else(&site, &mut [&mut second]).await;
}

async fn registered_ts(site: &Site, id: &str) -> u64 {
    let list = site.web.get("/sse/list-registrants").await.json();
    list[id]["registered-ts"].as_u64().unwrap_or_else(|| panic!("{id} in {list}"))
}

#[tokio::test]
async fn m6_disconnect_gives_the_id_up_and_leaves_the_stream_open() {
    let site = Site::start().await;
    let mut bob = join(site.web, "bob_1").await;
    let mut amy = join(site.web, "amy_1").await;
    site.web.put("/sse/listen/bob_1/k").await.is("ok");
    site.web.get("/sse/disconnect-registrant/bob_1").await.is("ok");
    site.web.get("/sse/disconnect-registrant/bob_1").await.is("ok");
    site.web.get("/sse/disconnect-registrant/nobody").await.is("ok");
    assert_eq!(site.web.get("/sse/list-registrants").await.json().as_object().expect("a map").len(), 1);
    site.web.put("/sse/listen/bob_1/k").await.error(404, None);
    // The stream is open and silent; the id can be taken again, without its keys.
    site.web.post("/sse/notify/k", "").await;
    nothing_else(&site, &mut [&mut amy]).await;
    let mut again = join(site.web, "bob_1").await;
    site.web.post("/sse/notify/k", "").await;
    nothing_else(&site, &mut [&mut amy, &mut again]).await;
    site.hub.close().await;
    let silent = bob.rest().await;
    assert!(silent.iter().all(|frame| frame.starts_with("retry:")), "{silent:?}");
}

#[tokio::test]
async fn m6_by_option_disconnect_ends_the_stream() {
    let site = Site::with(builder(), |setup| setup.router.end_on_disconnect = true).await;
    let mut bob = join(site.web, "bob_1").await;
    site.web.get("/sse/disconnect-registrant/bob_1").await.is("ok");
    assert_eq!(bob.rest().await, [""; 0]);
}

#[tokio::test]
async fn m7_is_registered() {
    let site = Site::start().await;
    let id = site.web.get("/sse/make-id/bob").await.body;
    assert!(!site.hub.is_registered(&id).await, "issued is not registered");
    let stream = join(site.web, &id).await;
    assert!(site.hub.is_registered(&id).await);
    drop(stream);
    assert!(site.hub.is_registered(&id).await, "a dropped stream keeps its id");
    site.web.get(&format!("/sse/disconnect-registrant/{id}")).await.is("ok");
    assert!(!site.hub.is_registered(&id).await);
}

#[tokio::test]
async fn m8_completions_go_to_every_id_of_exactly_that_user() {
    let site = Site::start().await;
    let mut bobs = Vec::new();
    for n in 0..8 {
        bobs.push(join(site.web, &format!("bob_{n}")).await);
    }
    let mut others = Vec::new();
    for id in ["bobby_1", "bo_1", "BOB_1", "bob-1", "bob_x_1", "bob"] {
        others.push(join(site.web, id).await);
    }
    site.hub.notify_completions("bob_3", "t").await.expect("told");
    for (n, bob) in bobs.iter_mut().enumerate() {
        let (frame, _) = bob.event().await;
        completed(
            &frame,
            &format!("data:\"completed^{{\\\"timestamp\\\":TS,\\\"id\\\":\\\"bob_{n}\\\",\\\"taskid\\\":\\\"t\\\"}}\"\n\n"),
        );
    }
    // An id without a suffix is its own user name.
    let (frame, _) = others[5].event().await;
    completed(&frame, "data:\"completed^{\\\"timestamp\\\":TS,\\\"id\\\":\\\"bob\\\",\\\"taskid\\\":\\\"t\\\"}\"\n\n");
    let mut all: Vec<&mut Stream> = others.iter_mut().chain(&mut bobs).collect();
    nothing_else(&site, &mut all).await;
}

#[tokio::test]
async fn m9_submit_task() {
    let site = Site::of(builder().worker("build")).await;
    site.web.put("/sse/submit-task/bob_1/build").await.error(404, None);
    let mut bob = join(site.web, "bob_1").await;
    let says = site.web.put("/sse/submit-task/bob_1/unheard-of").await.error(404, None);
    assert_eq!(says, "there is no such task");
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    site.web.put("/sse/submit-task/bob_1/build").await.error(409, None);
    assert_eq!(site.web.get("/sse/tasks/bob_1").await.body, r#"[{"status":"submitted","task":"build"}]"#);
    site.web.post("/sse/complete/bob_1/build", "").await.is("ok");
    let (frame, _) = bob.event().await;
    completed(&frame, "data:\"completed^{\\\"timestamp\\\":TS,\\\"id\\\":\\\"bob_1\\\",\\\"taskid\\\":\\\"build\\\"}\"\n\n");
    site.web.put("/sse/submit-task/bob_1/build").await.is("ok");
    site.web.get("/sse/tasks/nobody").await.error(404, None);
}

#[tokio::test]
async fn m10_listen_is_idempotent() {
    let site = Site::start().await;
    site.web.put("/sse/listen/bob_1/k").await.error(404, None);
    let mut bob = join(site.web, "bob_1").await;
    for _ in 0..3 {
        site.web.put("/sse/listen/bob_1/k").await.is("ok");
    }
    site.web.post("/sse/notify/k", "").await;
    bob.expect("data:\"notify^k\"\n\n").await;
    nothing_else(&site, &mut [&mut bob]).await;
    for _ in 0..2 {
        site.web.ask("DELETE", "/sse/listen/bob_1/k", &[], b"").await.is("ok");
    }
    site.web.post("/sse/notify/k", "").await;
    nothing_else(&site, &mut [&mut bob]).await;
    site.web.ask("DELETE", "/sse/listen/nobody/k", &[], b"").await.error(404, None);
    site.web.put("/sse/listen/bob_1/a%5Eb").await.error(400, Some("topic"));
    site.web.put(&format!("/sse/listen/bob_1/{}", "k".repeat(257))).await.error(413, Some("topic"));
}

#[tokio::test]
async fn m11_notify_listeners_once_each() {
    let site = Site::start().await;
    let mut streams = Vec::new();
    for id in ["amy_1", "bob_1", "bob_2", "bobby_1"] {
        let stream = join(site.web, id).await;
        site.web.put(&format!("/sse/listen/{id}/clock-tick")).await.is("ok");
        streams.push(stream);
    }
    let mut deaf = join(site.web, "bob_3").await;
    let id = site.web.post("/sse/notify/clock-tick", "").await.json()["id"].clone();
    for stream in &mut streams {
        assert_eq!(Value::from(stream.expect("data:\"notify^clock-tick\"\n\n").await), id);
    }
    // Restricted to user names, exactly.
    site.hub.notify_listeners_named("clock-tick", &["bob", "amy"]).await.expect("told");
    for stream in &mut streams[..3] {
        stream.expect("data:\"notify^clock-tick\"\n\n").await;
    }
    let mut all: Vec<&mut Stream> = streams.iter_mut().collect();
    all.push(&mut deaf);
    nothing_else(&site, &mut all).await;
}

#[tokio::test]
async fn m12_listeners_changed_on_register_disconnect_and_sweep() {
    const CHANGED: &str = "data:\"notify^listeners-changed\"\n\n";
    let site = Site::configured(|config| {
        config.engine.dormant_after = Duration::ZERO;
        config.engine.sweep_every = Duration::from_secs(3600);
    })
    .await;
    let mut watch = join(site.web, "watch_1").await;
    site.web.put("/sse/listen/watch_1/listeners-changed").await.is("ok");
    // Its own registration may still be told.
    let quiet = async |watch: &mut Stream| {
        site.web.post("/sse/publish", r#"{"to":"all","data":"fence"}"#).await;
        let mut changes = 0;
        loop {
            match watch.event().await.0.as_str() {
                CHANGED => changes += 1,
                frame => {
                    assert_eq!(frame, "data:fence\n\n");
                    return changes;
                }
            }
        }
    };
    quiet(&mut watch).await;
    let bob = join(site.web, "bob_1").await;
    watch.expect(CHANGED).await;
    site.web.get("/sse/disconnect-registrant/bob_1").await.is("ok");
    watch.expect(CHANGED).await;
    drop(bob);
    let amy = join(site.web, "amy_1").await;
    watch.expect(CHANGED).await;
    drop(amy);
    eventually("a sweep that drops amy", async || {
        site.web.get("/sse/trigger-cleanup").await.is("ok");
        !site.hub.is_registered("amy_1").await
    })
    .await;
    watch.expect(CHANGED).await;
    // Coming back is no change.
    let _again = join(site.web, "watch_1").await;
}

#[tokio::test]
async fn m12_who_asks_to_hear_of_it_with_the_stream_is_told_too() {
    let site = Site::start().await;
    let mut watch = site.web.stream("/sse/events?topic=listeners-changed").await;
    let greeting = watch.frame().await;
    assert!(greeting.contains("event:connected"), "{greeting:?}");
    let _amy = join(site.web, "amy_1").await;
    watch.expect("data:\"notify^listeners-changed\"\n\n").await;
}

#[tokio::test]
async fn m12_m16_bare_forms_by_option() {
    let site = Site::configured(|config| config.bare_payloads = true).await;
    let mut bob = join(site.web, "bob_1").await;
    site.web.get("/sse/trigger-adhoc/bob_1").await.is("ok");
    bob.expect("data:\"ad-hoc\"\n\n").await;
    site.web.put("/sse/listen/bob_1/listeners-changed").await.is("ok");
    let _amy = join(site.web, "amy_1").await;
    bob.expect("data:\"listeners-changed\"\n\n").await;
}

#[tokio::test]
async fn m13_registrants_in_the_order_they_came() {
    let site = Site::start().await;
    assert_eq!(site.web.get("/sse/list-registrants").await.json(), serde_json::json!({}));
    let ids: Vec<String> = [5, 3, 9, 1, 7, 2, 8, 4].map(|n| format!("bob_{n}")).into();
    let mut streams = Vec::new();
    for id in &ids {
        streams.push(join(site.web, id).await);
    }
    site.web.put("/sse/listen/bob_3/z").await.is("ok");
    site.web.put("/sse/listen/bob_3/a").await.is("ok");
    streams.push(join(site.web, "bob_5").await);
    let answer = site.web.get("/sse/list-registrants").await;
    let ts = |id: &str| answer.json()[id]["registered-ts"].as_u64().expect("a time");
    let rows: Vec<String> = ids
        .iter()
        .map(|id| {
            let keys = if id == "bob_3" { r#""z","a""# } else { "" };
            format!(r#""{id}":{{"listenKeys":[{keys}],"registered-ts":{}}}"#, ts(id))
        })
        .collect();
    assert_eq!(answer.body, format!("{{{}}}", rows.join(",")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn m14_clear_registrants() {
    let site = Site::start().await;
    let mut streams = Vec::new();
    for n in 0..4 {
        streams.push(join(site.web, &format!("bob_{n}")).await);
        site.web.put(&format!("/sse/listen/bob_{n}/k")).await.is("ok");
    }
    site.web.get("/sse/clear-registrants").await.is("ok");
    assert_eq!(site.web.get("/sse/list-registrants").await.body, "{}");
    site.web.put("/sse/listen/bob_0/k").await.error(404, None);
    site.web.get("/sse/clear-registrants").await.is("ok");
    let mut fresh = join(site.web, "bob_0").await;
    site.web.post("/sse/notify/k", "").await;
    nothing_else(&site, &mut [&mut fresh]).await;
}

#[tokio::test]
async fn m15_trigger_cleanup_sweeps_now() {
    let site = Site::configured(|config| {
        config.engine.dormant_after = Duration::from_millis(1);
        config.engine.sweep_every = Duration::from_secs(3600);
    })
    .await;
    let mut events = site.hub.events();
    let here = join(site.web, "here_1").await;
    drop(join(site.web, "gone_1").await);
    eventually(
        "gone_1 left",
        async || matches!(events.try_recv(), Ok(HubEvent::Left { client, .. }) if &*client.id == "gone_1"),
    )
    .await;
    eventually("gone_1 is swept", async || {
        site.web.get("/sse/trigger-cleanup").await.is("ok");
        !site.hub.is_registered("gone_1").await
    })
    .await;
    assert!(site.hub.is_registered("here_1").await);
    drop(here);
}

#[tokio::test]
async fn m16_ad_hoc_in_both_spellings() {
    let site = Site::start().await;
    let mut bob = join(site.web, "bob_1").await;
    let mut other = join(site.web, "bob_2").await;
    for path in ["/sse/trigger-adhoc/bob_1", "/sse/trigger-ad-hoc/bob_1"] {
        site.web.get(path).await.is("ok");
        let (frame, _) = bob.event().await;
        completed(
            &frame,
            "data:\"completed^{\\\"timestamp\\\":TS,\\\"id\\\":\\\"bob_1\\\",\\\"taskid\\\":\\\"ad-hoc\\\"}\"\n\n",
        );
    }
    site.web.get("/sse/trigger-adhoc/nobody").await.error(404, None);
    nothing_else(&site, &mut [&mut bob, &mut other]).await;
}

#[tokio::test]
async fn m17_the_sweep_drops_who_left_and_arms_itself_again() {
    let dormant_after = Duration::from_millis(150);
    let site = Site::configured(|config| {
        config.engine.dormant_after = dormant_after;
        config.engine.sweep_every = Duration::from_millis(20);
    })
    .await;
    // The map is empty in between: the next round needs the timer armed once more.
    for round in 0..3 {
        let mut events = site.hub.events();
        let id = format!("gone_{round}");
        drop(join(site.web, &id).await);
        let expired = async {
            let mut left = None;
            loop {
                match events.recv().await.expect("an event") {
                    HubEvent::Left { last: true, .. } => left = Some(Instant::now()),
                    HubEvent::Expired { client } => {
                        assert_eq!(&*client.id, id);
                        return left.expect("it left first").elapsed();
                    }
                    _ => {}
                }
            }
        };
        let age = within("the sweep", expired).await;
        assert!(age >= dormant_after - Duration::from_millis(20), "{age:?}");
        assert_eq!(site.web.get("/sse/list-registrants").await.body, "{}");
    }
    // A live stream counts as active.
    let mut here = join(site.web, "here_1").await;
    let mut events = site.hub.events();
    drop(join(site.web, "gone_9").await);
    let swept = async { while !matches!(events.recv().await, Ok(HubEvent::Expired { client }) if &*client.id == "gone_9") {} };
    within("the sweep", swept).await;
    assert!(site.hub.is_registered("here_1").await);
    nothing_else(&site, &mut [&mut here]).await;
}

#[tokio::test]
async fn m17_by_option_the_age_counts_from_the_registration() {
    let site = Site::configured(|config| {
        config.engine.age = Age::SinceRegistered;
        config.engine.dormant_after = Duration::from_millis(100);
        config.engine.sweep_every = Duration::from_millis(20);
    })
    .await;
    let mut bob = join(site.web, "bob_1").await;
    eventually("bob is dropped under an open stream", async || !site.hub.is_registered("bob_1").await).await;
    assert_eq!(bob.rest().await, [""; 0], "no zombie: the stream ends");
    drop(join(site.web, "bob_1").await);
}

#[tokio::test]
async fn m18_options_is_204_for_every_route_and_allows_put_and_delete() {
    const ROUTES: &[&str] = &[
        "make-id/a",
        "register-listener/a",
        "disconnect-registrant/a",
        "submit-task/a/b",
        "listen/a/b",
        "list-registrants",
        "clear-registrants",
        "trigger-cleanup",
        "trigger-adhoc/a",
        "trigger-ad-hoc/a",
        "events",
        "tasks/a",
        "publish",
        "notify/a",
        "complete/a/b",
        "progress/a/b",
    ];
    const APP: &str = "https://app.example";
    let site = Site::with(builder(), |setup| setup.router.guard = guard(None, &["*", APP, "http://other.example:3000"])).await;
    let asks = |origin| {
        [("origin", origin), ("access-control-request-method", "PUT"), ("access-control-request-headers", "content-type")]
    };
    for route in ROUTES {
        let path = format!("/sse/{route}");
        for origin in [APP, "http://other.example:3000"] {
            let answer = site.web.ask("OPTIONS", &path, &asks(origin), b"").await;
            assert_eq!((answer.status(), answer.body.as_str()), (204, ""), "{route}");
            let allowed = answer.header("access-control-allow-origin");
            let streams = route.starts_with("register") || *route == "events";
            assert_eq!(allowed, Some(if streams { "*" } else { origin }), "{route}");
            let methods = answer.header("access-control-allow-methods").expect("methods");
            for method in ["GET", "PUT", "POST", "DELETE"] {
                assert!(methods.split(", ").any(|m| m == method), "{methods}");
            }
            assert_eq!(answer.header("access-control-allow-headers"), Some("content-type"));
        }
        let stranger = site.web.ask("OPTIONS", &path, &asks("https://evil.example"), b"").await;
        assert_eq!(stranger.status(), 204);
        let streams = route.starts_with("register") || *route == "events";
        assert_eq!(stranger.header("access-control-allow-origin"), streams.then_some("*"), "{route}");
    }
    assert_eq!(site.web.ask("OPTIONS", "/sse/nowhere", &[], b"").await.status(), 404);
    // The listed page may then do it.
    let _bob = join(site.web, "bob_1").await;
    let done = site.web.ask("PUT", "/sse/listen/bob_1/k", &[("origin", APP), ("sec-fetch-site", "cross-site")], b"").await;
    done.is("ok");
    assert_eq!(done.header("access-control-allow-origin"), Some(APP));
}

#[tokio::test]
async fn m19_the_manager_works_without_the_router() {
    let hub = builder().worker("build").build().expect("a hub");
    let id = hub.allocate_id("bob").await.expect("an id");
    let mut stream = hub.register(Register::new(&id).manager()).await.expect("a stream");
    assert!(hub.is_registered(&id).await);
    assert!(hub.listen(&id, "k").await.expect("listens"));
    assert!(!hub.listen(&id, "k").await.expect("listens"));
    hub.submit_task(&id, "build", Value::Null).await.expect("submitted");
    hub.notify_listeners("k").await.expect("told");
    hub.notify_completions(&id, "other").await.expect("told");
    hub.notify_ad_hoc(&id).await.expect("told");
    let text = crate::library::read_until(&mut stream, "ad-hoc").await;
    for part in [format!("registered^{id}"), "notify^k".to_owned(), "\\\"taskid\\\":\\\"other\\\"".to_owned()] {
        assert_eq!(text.matches(&part).count(), 1, "{part} in {text}");
    }
    let list = hub.list().await.expect("a list");
    assert_eq!((list.len(), &*list[0].client.id, list[0].topics.as_slice()), (1, id.as_str(), &["k".to_owned()][..]));
    hub.sweep().await.expect("sweeps");
    assert!(hub.unregister(&id, false).await.expect("known"));
    hub.clear(true).await.expect("cleared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m21_commands_are_answered_while_a_burst_is_written() {
    let site = Site::start().await;
    let mut streams = Vec::new();
    for n in 0..200 {
        streams.push(join(site.web, &format!("bob_{n}")).await);
    }
    let reading: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                for n in 0..300 {
                    stream.expect(&format!("data:{n}\n\n")).await;
                }
            })
        })
        .collect();
    let hub = site.hub.clone();
    let publishing = tokio::spawn(async move {
        for n in 0..300 {
            let event = sse_runtime::Event::data(n.to_string());
            hub.publish(sse_runtime::Target::All, event).await.expect("published");
        }
    });
    let mut answered = 0;
    while !publishing.is_finished() {
        assert!(site.hub.is_registered("bob_0").await);
        answered += 1;
    }
    for reader in reading {
        within("60,000 frames", reader).await.expect("all in order");
    }
    assert!(answered > 1, "a command waited until all was published");
}
