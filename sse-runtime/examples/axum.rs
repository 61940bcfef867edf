//! The hub inside one's own axum application: its routes below `/live/`, one's own handlers beside them.
//!
//! ```sh
//! cargo run -p sse-runtime --example axum
//! curl -N 'http://127.0.0.1:3000/live/events?topic=orders'     # in one terminal
//! curl -X POST http://127.0.0.1:3000/orders/7                  # in another
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::error::Error;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use sse_runtime::auth::{Guard, Origins, Token};
use sse_runtime::{Event, Hub, Register, RouterOptions, Target, TaskRun, router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;

    // Clients submit tasks by name, and hear of the end wherever they are by then.
    let hub = Hub::builder().task("report", report).build()?;

    // The hub's own routes. With a token, publishing over HTTP needs it; handlers in this process do not.
    let token = Token::new("an-example-of-a-token")?;
    let guard = Guard::new(address, Some(token), Origins::any(), Vec::new(), None);
    let options = RouterOptions { prefix: "/live/".parse()?, ..RouterOptions::new(guard) };

    let app = Router::new()
        .route("/orders/{id}", post(order))
        .route("/stream/{user}", axum::routing::get(stream))
        .with_state(hub.clone())
        .merge(router(hub, &options));
    println!("listening on http://{address}/");
    axum::serve(listener, app).await?;
    Ok(())
}

/// A handler that publishes: everyone who listens to `orders` hears of it.
async fn order(State(hub): State<Hub>, Path(id): Path<u64>) -> Result<String, StatusCode> {
    let event = Event::json(&json!({ "order": id })).and_then(|event| event.event("placed"));
    let event = event.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let sent = hub.publish(Target::topic("orders"), event).await;
    sent.map(|id| format!("{id}\n")).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// A stream of one's own making: the hub's manager without its routes.
async fn stream(State(hub): State<Hub>, Path(user): Path<String>) -> Result<axum::response::Response, StatusCode> {
    let id = hub.allocate_id(&user).await.map_err(|_| StatusCode::BAD_REQUEST)?;
    let events = hub.register(Register::new(&id).topic("orders")).await;
    let events = events.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let response = axum::response::Response::builder().header("content-type", "text/event-stream");
    response.body(axum::body::Body::new(events)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// A task: what it returns reaches the client, even one that was away meanwhile.
async fn report(run: TaskRun) -> Result<Value, String> {
    for page in 1..=3 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        run.progress(&json!({ "page": page })).await.map_err(|error| error.to_string())?;
    }
    Ok(json!({ "pages": 3 }))
}
