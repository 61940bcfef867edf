//! The server that one writes with axum and tokio in an afternoon: a broadcast channel for each topic, a stream for each reader.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};

#[derive(Clone, Default)]
struct Topics(Arc<Mutex<HashMap<String, broadcast::Sender<String>>>>);

pub(super) fn serve(nodelay: bool) -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let app = Router::new().route("/{topic}", get(events).post(publish)).with_state(Topics::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        super::announce(listener.local_addr()?)?;
        if nodelay {
            let listener = listener.tap_io(|socket| {
                let _ = socket.set_nodelay(true);
            });
            axum::serve(listener, app).await
        } else {
            axum::serve(listener, app).await
        }
    })
}

async fn events(State(topics): State<Topics>, Path(topic): Path<String>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = BroadcastStream::new(topics.sender(topic).subscribe());
    // A reader that lags loses what it lags by: the channel's way.
    Sse::new(events.filter_map(|event| Some(Ok(Event::default().data(event.ok()?))))).keep_alive(KeepAlive::default())
}

async fn publish(State(topics): State<Topics>, Path(topic): Path<String>, body: String) -> StatusCode {
    let _ = topics.sender(topic).send(body);
    StatusCode::ACCEPTED
}

impl Topics {
    fn sender(&self, topic: String) -> broadcast::Sender<String> {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.entry(topic).or_insert_with(|| broadcast::channel(CAPACITY).0).clone()
    }
}

const CAPACITY: usize = 256;
