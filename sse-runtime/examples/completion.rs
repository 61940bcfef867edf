//! A completion of a language model, streamed: one POST, its answer token by token, and the end that the protocol names.
//!
//! ```sh
//! cargo run -p sse-runtime --example completion              # against a small server in this program
//! OPENAI_API_KEY=… cargo run -p sse-runtime --example completion -- https://api.openai.com/v1/chat/completions gpt-4o-mini 'Say hi'
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::env;
use std::error::Error;
use std::io::{Write as _, stdout};
use std::time::Duration;

use axum::extract::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::{Value, json};
use sse_runtime::client::EventSource;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let url = match args.next() {
        Some(url) => url,
        None => serve().await?,
    };
    let model = args.next().unwrap_or_else(|| "parrot-1".to_owned());
    let prompt = args.next().unwrap_or_else(|| "What is said once, is it heard once?".to_owned());

    let body = json!({ "model": model, "stream": true, "messages": [{ "role": "user", "content": prompt }] });
    let mut request = EventSource::builder(&url)
        .post(body.to_string())
        .header("content-type", "application/json")
        // A busy server (429, 5xx) is asked again. An answer that broke off is not: it would begin anew, and be paid for again.
        .max_attempts(5)
        .reconnect(false)
        .liveness(Duration::from_secs(60));
    if let Ok(key) = env::var("OPENAI_API_KEY") {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let mut completion = request.build()?;

    let mut out = stdout();
    while let Some(event) = completion.next_event().await? {
        if event.data == "[DONE]" {
            println!();
            return Ok(());
        }
        let chunk: Value = serde_json::from_str(&event.data)?;
        if let Some(token) = chunk["choices"][0]["delta"]["content"].as_str() {
            write!(out, "{token}")?;
            out.flush()?;
        }
    }
    Err("the answer broke off".into())
}

/// A server that speaks as OpenAI's does, on a free port; returns where.
async fn serve() -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/chat/completions", listener.local_addr()?);
    let app = axum::Router::new().route("/v1/chat/completions", post(complete));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// Says the prompt again, word by word.
async fn complete(Json(request): Json<Value>) -> impl IntoResponse {
    let prompt = request["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    let chunk = |delta: Value, finish: Option<&str>| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": request["model"],
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        })
    };
    let mut chunks = vec![chunk(json!({ "role": "assistant", "content": "" }), None)];
    chunks.extend(prompt.split_inclusive(' ').map(|word| chunk(json!({ "content": word }), None)));
    chunks.push(chunk(json!({}), Some("stop")));
    let mut events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    events.push("data: [DONE]\n\n".to_owned());
    ([(CONTENT_TYPE, "text/event-stream")], axum::body::Body::new(Paced { events: events.into_iter(), pause: None }))
}

/// A body that sends one event every thirty milliseconds, so that one sees it stream.
struct Paced {
    events: std::vec::IntoIter<String>,
    pause: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl http_body::Body for Paced {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
        }
        self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(30))));
        std::task::Poll::Ready(self.events.next().map(|event| Ok(http_body::Frame::data(event.into()))))
    }
}
