//! Who may do what: the token, strangers' pages, foreign names.

use sse_tests::net::Answer;

use crate::events::greeted;
use crate::site::{Site, builder, guard};

const TOKEN: &str = "0123456789abcdef";
const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");

/// Every privileged route, with a body that it takes.
const PRIVILEGED: &[(&str, &str, &str)] = &[
    ("GET", "list-registrants", ""),
    ("GET", "clear-registrants", ""),
    ("GET", "trigger-cleanup", ""),
    ("GET", "trigger-adhoc/bob_1", ""),
    ("GET", "trigger-ad-hoc/bob_1", ""),
    ("POST", "publish", r#"{"to":"all","data":"forged"}"#),
    ("POST", "notify/k", ""),
    ("POST", "complete/bob_1/t", ""),
    ("POST", "progress/bob_1/t", ""),
];

async fn ask(site: &Site, (method, route, body): (&str, &str, &str), headers: &[(&str, &str)]) -> Answer {
    site.web.ask(method, &format!("/sse/{route}"), headers, body.as_bytes()).await
}

#[tokio::test]
async fn privileged_routes_need_the_token() {
    let hub = builder().worker("t");
    let site = Site::with(hub, |setup| setup.router.guard = guard(Some(TOKEN), &["*"])).await;
    // Streams and commands are open.
    let id = site.web.get("/sse/make-id/bob").await;
    assert_eq!(id.status(), 200);
    let mut stream = site.web.stream("/sse/events?client=bob_1").await;
    greeted(&mut stream).await;
    site.web.put("/sse/listen/bob_1/k").await.is("ok");
    for &route in PRIVILEGED {
        let missing = ask(&site, route, &[]).await;
        let says = missing.error(401, Some("Authorization"));
        assert_eq!(says, "this needs the hub's token; send it as Authorization: Bearer TOKEN");
        assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"sse-hub\""));
        for wrong in [
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer x",
            "bearer 0123456789ABCDEF",
        ] {
            let answer = ask(&site, route, &[("authorization", wrong)]).await;
            // The same words however wrong it is, and nothing of what was sent.
            let says = answer.error(401, Some("Authorization"));
            assert_eq!(says, "that is not the hub's token; see SSE_HUB_TOKEN or token_file", "{wrong}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"sse-hub\", error=\"invalid_token\""));
        }
        for odd in ["Basic 0123456789abcdef", "0123456789abcdef", "Bearer", ""] {
            assert_eq!(ask(&site, route, &[("authorization", odd)]).await.status(), 401, "{odd}");
        }
        // In the query, where logs would keep it, it counts for nothing.
        let (method, path, body) = route;
        let query = format!("{path}?token={TOKEN}&access_token={TOKEN}");
        assert_eq!(ask(&site, (method, &query, body), &[]).await.status(), 401);
    }
    assert!(site.hub.is_registered("bob_1").await, "nothing was cleared");
    site.web.put("/sse/submit-task/bob_1/t").await.is("ok");
    for &route in PRIVILEGED.iter().filter(|route| route.1 != "clear-registrants") {
        let answer = ask(&site, route, &[BEARER]).await;
        // The last one comes after the task's end.
        let status = if route.1.starts_with("progress") { answer.status().min(200) } else { answer.status() };
        assert_eq!(status, 200, "{route:?}: {answer:?}");
    }
    assert_eq!(ask(&site, PRIVILEGED[1], &[BEARER]).await.status(), 200);
    assert!(!site.hub.is_registered("bob_1").await);
    // The first thing that came is what the token allowed: nothing forged before it.
    let (first, _) = stream.event().await;
    assert!(first.starts_with("event:completed\n") || first.contains("ad-hoc"), "{first}");
}

#[tokio::test]
async fn a_strangers_page_changes_nothing() {
    const APP: &str = "https://app.example";
    let site = Site::with(builder().worker("t"), |setup| setup.router.guard = guard(None, &["*", APP])).await;
    let mut stream = site.web.stream("/sse/events?client=bob_1").await;
    greeted(&mut stream).await;
    let commands = [
        ("GET", "make-id/bob", ""),
        ("GET", "disconnect-registrant/bob_1", ""),
        ("PUT", "submit-task/bob_1/t", ""),
        ("PUT", "listen/bob_1/k", ""),
        ("DELETE", "listen/bob_1/k", ""),
        ("GET", "tasks/bob_1", ""),
    ];
    for &route in PRIVILEGED.iter().chain(&commands) {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "https://app.example.evil.example")],
            &[("origin", "http://app.example")],
        ] {
            let answer = ask(&site, route, headers).await;
            answer.error(403, Some("Origin"));
            assert_eq!(answer.header("access-control-allow-origin"), None, "{route:?} {headers:?}");
        }
    }
    assert!(site.hub.is_registered("bob_1").await);
    assert_eq!(site.hub.tasks("bob_1").await.expect("tasks"), []);
    // Its own page, a listed one and what is no browser may.
    let own = format!("http://{}", site.web.0);
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", APP)],
        &[("origin", own.as_str())],
        &[],
    ] {
        ask(&site, commands[3], headers).await.is("ok");
    }
    // Streams are open to any page by default.
    site.web.stream_with("/sse/events", &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]).await;
    site.web.post("/sse/publish", r#"{"to":"all","data":"fence"}"#).await;
    stream.expect("data:fence\n\n").await;
}

#[tokio::test]
async fn streams_are_closed_to_strangers_without_a_star() {
    const APP: &str = "https://app.example";
    let site = Site::with(builder(), |setup| setup.router.guard = guard(None, &[APP])).await;
    for path in ["/sse/events", "/sse/register-listener/bob_1"] {
        let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
        site.web.ask("GET", path, &evil, b"").await.error(403, Some("Origin"));
        let stream = site.web.stream_with(path, &[("origin", APP), ("sec-fetch-site", "cross-site")]).await;
        assert_eq!(stream.head.header("access-control-allow-origin"), Some(APP));
        assert_eq!(stream.head.header("vary"), Some("origin"));
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_loopback() {
    let site = Site::start().await;
    let port = site.web.0.port();
    for host in ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", ""] {
        for path in ["/", "/metrics", "/healthz", "/sse/events", "/sse/make-id/bob", "/sse/list-registrants", "/app.js"] {
            let answer = site.web.ask("GET", path, &[("host", host)], b"").await;
            answer.error(403, Some("Host"));
        }
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}"), "LOCALHOST".to_owned()] {
        assert_eq!(site.web.ask("GET", "/healthz", &[("host", &host)], b"").await.status(), 200, "{host}");
    }
    // Two of them, one of them foreign.
    let both = [("host", "localhost"), ("host", "evil.example")];
    assert!(matches!(site.web.ask("GET", "/healthz", &both, b"").await.status(), 400 | 403));
    let absolute = format!("http://evil.example:{port}/healthz");
    assert_eq!(site.web.ask("GET", &absolute, &[("host", "localhost")], b"").await.status(), 403);
}

#[tokio::test]
async fn head_carries_nothing_out() {
    let site = Site::with(builder(), |_| {}).await;
    let mut stream = site.web.stream("/sse/register-listener/bob_1").await;
    stream.frame().await;
    for route in ["register-listener/bob_1", "events?client=bob_1"] {
        let head = site.web.ask("HEAD", &format!("/sse/{route}"), &[], b"").await;
        assert_eq!((head.status(), head.header("content-type")), (200, Some("text/event-stream")), "{route}");
    }
    for route in ["make-id/bob", "disconnect-registrant/bob_1", "list-registrants", "clear-registrants", "trigger-cleanup"] {
        assert_eq!(site.web.ask("HEAD", &format!("/sse/{route}"), &[], b"").await.status(), 405, "{route}");
    }
    site.hub.notify_ad_hoc("bob_1").await.expect("bob is still there");
    assert!(stream.frame().await.contains("ad-hoc"));
}

#[tokio::test]
async fn nothing_stays_of_an_id_that_another_site_brings() {
    let site = Site::with(builder(), |_| {}).await;
    for path in ["/sse/register-listener/eve_1", "/sse/events?client=eve_2"] {
        let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
        let mut stream = site.web.stream_with(path, &evil).await;
        stream.frame().await;
        assert_eq!(site.hub.list().await.expect("a list").len(), 1);
        drop(stream);
        sse_tests::net::eventually("the id is gone", async || site.hub.list().await.expect("a list").is_empty()).await;
    }
}
