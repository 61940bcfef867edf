//! The hub as a library: what an application relies on without any HTTP.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream as _;
use serde_json::{Value, json};
use sse_runtime::proto::{CloseReason, Config, GapReason, Limits};
use sse_runtime::{ClientRef, Event, EventStream, Hub, HubError, HubEvent, Register, StartAt, Target};
use sse_tests::net::{eventually, within};

use crate::site::builder;

/// Reads until `mark` has come and its frame is whole.
pub(crate) async fn read_until(stream: &mut EventStream, mark: &str) -> String {
    let mut text = String::new();
    within(mark, async {
        loop {
            let marked = text.find(mark);
            if marked.is_some_and(|at| text[at..].contains("\n\n")) {
                return text;
            }
            match chunk(stream).await {
                Some(more) => text.push_str(&more),
                None => panic!("the stream ended after {text:?}"),
            }
        }
    })
    .await
}

async fn chunk(stream: &mut EventStream) -> Option<String> {
    let bytes = poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await;
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

async fn to_the_end(stream: &mut EventStream) -> String {
    within("the end of the stream", async {
        let mut text = String::new();
        while let Some(more) = chunk(stream).await {
            text.push_str(&more);
        }
        text
    })
    .await
}

/// The open streams and clients, as the hub's metrics tell.
fn gauge(hub: &Hub, name: &str) -> usize {
    let metrics = hub.render_metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("sse_hub_{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {metrics}"))
}

async fn next_event(events: &mut tokio::sync::broadcast::Receiver<HubEvent>) -> HubEvent {
    within("a hub event", events.recv()).await.expect("not lagging")
}

#[test]
fn handles_go_wherever_they_are_needed() {
    fn everywhere<T: Clone + Send + Sync + 'static>() {}
    fn sendable<T: Send + 'static>() {}
    let _ = sendable::<EventStream>;
    // Its calls can be spawned.
    fn spawned(hub: Hub) {
        tokio::spawn(async move {
            let _ = hub.register(Register::new("a").metadata(1_u8)).await;
        });
    }
    let _ = (everywhere::<Hub>, spawned);
}

#[tokio::test]
async fn a_dropped_stream_disconnects_and_events_tell_of_it() {
    let hub = builder().build().expect("a hub");
    let mut events = hub.events();
    let bob = ClientRef::from("bob_1");
    let first = hub.register(Register::new("bob_1")).await.expect("a stream");
    assert!(!first.is_returning());
    let second = hub.register(Register::new("bob_1")).await.expect("a stream");
    assert!(second.is_returning());
    for returning in [false, true] {
        let connected = HubEvent::Connected { client: bob.clone(), returning, gap: None };
        assert_eq!(next_event(&mut events).await, connected);
    }
    for (stream, last) in [(first, false), (second, true)] {
        drop(stream);
        let left = HubEvent::Left { client: bob.clone(), last, reason: None };
        assert_eq!(next_event(&mut events).await, left);
    }
    eventually("no stream is left", async || gauge(&hub, "connections") == 0).await;
}

#[tokio::test]
async fn events_tell_why_the_hub_ended_a_stream() {
    let hub = builder().build().expect("a hub");
    let mut events = hub.events();
    let mut left = async || loop {
        if let HubEvent::Left { reason, .. } = next_event(&mut events).await {
            return reason;
        }
    };
    let mut old = hub.register(Register::new("bob_1").manager()).await.expect("a stream");
    let mut new = hub.register(Register::new("bob_1").manager()).await.expect("a stream");
    assert_eq!(left().await, Some(CloseReason::Replaced));
    to_the_end(&mut old).await;
    hub.unregister("bob_1", true).await.expect("known");
    assert_eq!(left().await, Some(CloseReason::Unregistered));
    to_the_end(&mut new).await;
    let mut last = hub.register(Register::new("bob_1")).await.expect("a stream");
    hub.close().await;
    to_the_end(&mut last).await;
    assert_eq!(left().await, Some(CloseReason::Drained));
}

#[tokio::test]
async fn events_tell_of_gaps_and_of_who_expired() {
    let hub = builder()
        .configure(|config| {
            config.engine.dormant_after = Duration::from_millis(50);
            config.engine.sweep_every = Duration::from_millis(10);
        })
        .build()
        .expect("a hub");
    let mut events = hub.events();
    let resume = Register::new("bob_1").start_at(StartAt::After("0000abcd-7".to_owned()));
    let mut stream = hub.register(resume).await.expect("a stream");
    let bob = ClientRef::from("bob_1");
    let gap = Some(GapReason::Epoch);
    assert_eq!(next_event(&mut events).await, HubEvent::Connected { client: bob.clone(), returning: false, gap });
    read_until(&mut stream, "event:gap\ndata:{\"reason\":\"epoch\"}").await;
    drop(stream);
    assert_eq!(next_event(&mut events).await, HubEvent::Left { client: bob.clone(), last: true, reason: None });
    assert_eq!(next_event(&mut events).await, HubEvent::Expired { client: bob });
}

#[tokio::test]
async fn a_chosen_set_by_what_the_application_knows() {
    let hub = builder().build().expect("a hub");
    let mut streams = Vec::new();
    for n in 0..8_u32 {
        let register = Register::new(&format!("user_{n}")).metadata(n);
        streams.push(hub.register(register).await.expect("a stream"));
    }
    let odd = |_: &ClientRef, _: &str, known: Option<&std::sync::Arc<dyn std::any::Any + Send + Sync>>| {
        known.and_then(|known| known.downcast_ref::<u32>()).is_some_and(|n| n % 2 == 1)
    };
    // What a client registers with first stays; it can be replaced.
    let again = hub.register(Register::new("user_1").metadata(100_u32)).await.expect("a stream");
    assert!(hub.set_metadata("user_0", 7_u32).await.expect("set"));
    assert!(!hub.set_metadata("nobody", 7_u32).await.expect("set"));
    hub.publish_where(odd, Event::data("odd")).await.expect("published");
    let panics = |client: &ClientRef, _: &str, _: Option<&_>| {
        if &*client.id == "user_3" { panic!("as planned") } else { true }
    };
    hub.publish_where(panics, Event::data("calm")).await.expect("published");
    hub.publish(Target::All, Event::data("fence")).await.expect("published");
    for (n, stream) in streams.iter_mut().enumerate() {
        let text = read_until(stream, "data:fence").await;
        assert_eq!(text.contains("data:odd\n"), n % 2 == 1 || n == 0, "user_{n}: {text}");
        assert_eq!(text.contains("data:calm\n"), n != 3, "user_{n}: {text}");
    }
    drop(again);
    let known = hub.metadata("user_2").await.expect("known");
    assert_eq!(known.downcast_ref::<u32>(), Some(&2));
    assert!(hub.metadata("nobody").await.is_none());
}

#[tokio::test]
async fn a_dropped_hub_ends_its_streams() {
    let hub = builder().build().expect("a hub");
    let mut stream = hub.register(Register::new("bob_1")).await.expect("a stream");
    let clone = hub.clone();
    drop(hub);
    clone.publish(Target::All, Event::data("still here")).await.expect("published");
    read_until(&mut stream, "still here").await;
    drop(clone);
    to_the_end(&mut stream).await;
}

#[tokio::test]
async fn a_closed_hub_says_so() {
    let hub = builder().build().expect("a hub");
    let mut stream = hub.register(Register::new("bob_1")).await.expect("a stream");
    hub.publish(Target::All, Event::data("last words")).await.expect("published");
    hub.close().await;
    let text = to_the_end(&mut stream).await;
    assert!(text.contains("data:last words\n"), "what waits is sent first: {text}");
    assert_eq!(hub.register(Register::new("bob_1")).await.err(), Some(HubError::Closed));
    assert_eq!(hub.allocate_id("bob").await.err(), Some(HubError::Closed));
    assert_eq!(hub.publish(Target::All, Event::data("x")).await.err(), Some(HubError::Closed));
    assert!(!hub.is_open());
}

#[tokio::test]
async fn a_registration_that_is_given_up_leaves_nothing_behind() {
    let limits = Limits { connections: 4, ..Limits::default() };
    let engine = Config { limits, ..Config::default() };
    let hub = builder().configure(|config| config.engine = engine).build().expect("a hub");
    for round in 0..200 {
        let mut registering = Box::pin(hub.register(Register::new(&format!("bob_{round}")).passing(true)));
        let polled = registering.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // Whatever came of it, nobody waits for it any more.
        drop(polled);
        drop(registering);
        if round % 4 == 3 {
            eventually("nothing is open", async || {
                hub.is_registered("x").await;
                gauge(&hub, "connections") == 0 && hub.list().await.expect("a list").is_empty()
            })
            .await;
        }
    }
    let mut streams = Vec::new();
    for n in 0..4 {
        streams.push(hub.register(Register::new(&format!("amy_{n}"))).await.expect("every place is free"));
    }
    let full = hub.register(Register::new("amy_5")).await.err();
    assert_eq!(full, Some(HubError::Full("connections")));
}

#[tokio::test]
async fn a_submission_that_is_given_up_is_done_or_was_never_made() {
    let hub = builder().task("quick", async |_| Ok(json!("done"))).build().expect("a hub");
    for round in 0..50 {
        let id = format!("bob_{round}");
        let mut stream = hub.register(Register::new(&id)).await.expect("a stream");
        {
            let submitting = pin!(hub.submit_task(&id, "quick", Value::Null));
            let _ = submitting.poll(&mut Context::from_waker(Waker::noop()));
        }
        // The shard has seen what was submitted once it has answered.
        match hub.tasks(&id).await.expect("tasks").first() {
            None => {}
            Some(_) => {
                read_until(&mut stream, "event:completed").await;
            }
        }
    }
}

#[tokio::test]
async fn each_stream_can_be_told_alone() {
    let hub = builder().build().expect("a hub");
    let mut first = hub.register(Register::new("bob_1")).await.expect("a stream");
    let mut second = hub.register(Register::new("bob_1")).await.expect("a stream");
    hub.publish(Target::Stream(second.id()), Event::data("for you")).await.expect("published");
    hub.publish(Target::client("bob_1"), Event::data("for both")).await.expect("published");
    assert!(!read_until(&mut first, "for both").await.contains("for you"));
    assert!(read_until(&mut second, "for both").await.contains("data:for you\n"));
    let gone = first.id();
    drop(first);
    eventually("the stream is gone", async || {
        hub.publish(Target::Stream(gone), Event::data("x")).await == Err(HubError::UnknownStream)
    })
    .await;
}

#[tokio::test]
async fn a_stream_wakes_whoever_polled_it_last() {
    let hub = builder().build().expect("a hub");
    let mut stream = hub.register(Register::new("bob_1")).await.expect("a stream");
    read_until(&mut stream, "connected").await;
    // A task that polls and goes away must not keep the wake-up.
    let polled = Pin::new(&mut stream).poll_next(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Pending);
    let reading = tokio::spawn(async move { read_until(&mut stream, "hello").await });
    hub.publish(Target::All, Event::data("hello")).await.expect("published");
    within("the event", reading).await.expect("read");
}

#[tokio::test]
async fn publishers_at_once_give_every_stream_the_same_order() {
    let hub = builder().build().expect("a hub");
    let mut streams = Vec::new();
    for n in 0..6 {
        streams.push(hub.register(Register::new(&format!("user_{n}"))).await.expect("a stream"));
    }
    let publishing: Vec<_> = (0..8)
        .map(|who| {
            let hub = hub.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    hub.publish(Target::All, Event::data(format!("{who}/{n}"))).await.expect("published");
                }
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await.expect("published all");
    }
    hub.publish(Target::All, Event::data("fence")).await.expect("published");
    let mut orders = Vec::new();
    for stream in &mut streams {
        let text = read_until(stream, "data:fence").await;
        let after_greeting = text.split_once("\n\n").expect("a greeting").1.to_owned();
        assert_eq!(after_greeting.matches("data:").count(), 401);
        orders.push(after_greeting);
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
}
