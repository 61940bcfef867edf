//! Any request: names and ids in paths, queries, `Last-Event-ID`, bodies. It is answered, an error says what was wrong in JSON, and
//! whatever it published, the streams of others stay streams of whole events.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures_core::Stream as _;
use http_body_util::BodyExt as _;
use sse_proto::wire::{Decoder, Item, Limits};
use sse_runtime::auth::{Guard, Origins};
use sse_runtime::{Event, EventStream, Hub, Register, RouterOptions, Target, site};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use super::Choices;

/// Requests, one after the other: a route, names for its path, a query, an id, a body.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    // One hub for all, and one watcher: one input at a time.
    let here = SITE.lock().unwrap_or_else(PoisonError::into_inner);
    here.runtime.block_on(async {
        // Its id is random: no request can end it.
        let id = here.hub.allocate_id("watcher").await.expect("there is room");
        let mut stream = here.hub.register(Register::new(&id).topic("t").passing(true)).await.expect("there is room");
        let _target = here.hub.register(Register::new("target_1").topic("t").replace(true)).await.expect("there is room");
        let mut decoder = Decoder::new(Limits::default());
        for _ in 0..MOST {
            if choices.is_empty() {
                break;
            }
            if let Some(request) = request(&mut choices) {
                ask(&here.router, request).await;
            }
        }
        let mark = format!("mark {}", MARKS.fetch_add(1, Ordering::Relaxed));
        here.hub.publish(Target::All, Event::data(&mark)).await.expect("it can be published");
        read_until(&mut stream, &mut decoder, &mark, |_| {}).await;
    });
}

struct Site {
    runtime: Runtime,
    hub: Hub,
    router: Router,
}

static SITE: LazyLock<Mutex<Site>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let configure = |config: &mut sse_runtime::HubConfig| config.shards = 1;
    let within = runtime.enter();
    let hub = Hub::builder().configure(configure).worker("work").build().expect("a hub");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let guard = Guard::new(address, None, Origins::any(), Vec::new(), None);
    let router = site(hub.clone(), &RouterOptions::new(guard));
    drop(within);
    Mutex::new(Site { runtime, hub, router })
});

static MARKS: AtomicU64 = AtomicU64::new(0);

const MOST: usize = 8;

const ROUTES: [(&str, &str); 14] = [
    ("POST", "publish"),
    ("POST", "publish"),
    ("GET", "events"),
    ("GET", "register-listener/{}"),
    ("GET", "make-id/{}"),
    ("GET", "disconnect-registrant/{}"),
    ("PUT", "listen/{}/{}"),
    ("DELETE", "listen/{}/{}"),
    ("PUT", "submit-task/{}/{}"),
    ("GET", "tasks/{}"),
    ("GET", "trigger-adhoc/{}"),
    ("POST", "notify/{}"),
    ("POST", "complete/{}/{}"),
    ("POST", "progress/{}/{}"),
];

/// `None` for what no client can send.
fn request(choices: &mut Choices<'_>) -> Option<Request<Body>> {
    let (method, route) = choices.one_of(&ROUTES);
    let flags = choices.byte();
    let mut path = String::from("/sse/");
    for (index, part) in route.split("{}").enumerate() {
        if index > 0 {
            path.push_str(&if flags & 1 == 0 { choices.text() } else { escaped(&choices.text()) });
        }
        path.push_str(part);
    }
    if flags & 2 == 0 {
        path.push('?');
        path.push_str(&choices.text());
    }
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:8080");
    if flags & 4 == 0 {
        let len = usize::from(choices.byte());
        request = request.header("last-event-id", choices.bytes(len));
    }
    let len = usize::from(choices.short());
    request.body(Body::from(choices.bytes(len).to_vec())).ok()
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "%{byte:02X}");
        out
    })
}

async fn ask(router: &Router, request: Request<Body>) {
    let what = format!("{} {}", request.method(), request.uri());
    let answer = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let status = answer.status();
    let is_stream =
        answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    assert!(!status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{what}: {status}");
    if is_stream {
        // It goes as soon as it came.
        return;
    }
    let body = answer.into_body().collect().await.expect("a body in memory").to_bytes();
    if status.is_client_error() || status.is_server_error() {
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = error["error"].as_str().unwrap_or_default();
        assert!(!said.is_empty(), "{what}: {status} without a word: {:?}", String::from_utf8_lossy(&body));
    }
}

/// Every event until `mark` is a whole one.
pub(super) async fn read_until(
    stream: &mut EventStream,
    decoder: &mut Decoder<sse_proto::storage::HeapScratch>,
    mark: &str,
    mut look: impl FnMut(Item<'_>),
) {
    loop {
        let chunk = poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await.expect("the stream goes on");
        let mut feed = decoder.feed(&chunk);
        while let Some(item) = feed.next_item().expect("every event is within the limits") {
            if matches!(&item, Item::Event(event) if event.data == mark) {
                return;
            }
            look(item);
        }
    }
}
