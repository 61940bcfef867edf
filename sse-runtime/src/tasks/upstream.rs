//! Tasks that someone else does: each submission is POSTed to a URL.

use std::io;
use std::time::Duration;

use axum::http::{Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use super::TaskRun;

/// Where submissions of a task are sent, and how patiently.
///
/// A submission is a POST of `{"id": …, "task": …, "params": …}`. Any 2xx accepts it; the upstream then reports progress and end
/// over HTTP (`progress/:id/:task`, `complete/:id/:task`). 408, 429, 5xx and no answer are tried again; any other answer refuses.
#[derive(Debug)]
pub struct Upstream {
    url: Uri,
    timeout: Duration,
    attempts: usize,
    backoff: Duration,
    client: Sender,
}

#[derive(Debug)]
enum Sender {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Encrypted(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// What one attempt came to.
enum Attempt {
    Accepted,
    Refused(String),
    Again(String),
}

impl Upstream {
    /// Sends submissions to `url`: `attempts` times at most, each with `timeout` for the answer, `backoff` between the first
    /// two and twice as long each time after. An `https` upstream is checked against the certificates this machine trusts.
    ///
    /// # Errors
    ///
    /// When the upstream is `https` and the machine's certificates cannot be read.
    pub fn new(url: Uri, timeout: Duration, attempts: usize, backoff: Duration) -> io::Result<Self> {
        let client = Client::builder(TokioExecutor::new());
        let client = if url.scheme_str() == Some("https") {
            let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
            Sender::Encrypted(client.build(connector))
        } else {
            Sender::Plain(client.build_http())
        };
        Ok(Self { url, timeout, attempts: attempts.max(1), backoff, client })
    }

    /// Hands a submission over; `Err` is the reason to tell the client.
    pub(crate) async fn submit(&self, run: &TaskRun) -> Result<(), String> {
        let body = json!({ "id": &*run.client.id, "task": &*run.task, "params": run.params }).to_string();
        let body = Bytes::from(body);
        let mut wait = self.backoff;
        for attempt in 1.. {
            let reason = match self.attempt(body.clone()).await {
                Attempt::Accepted => return Ok(()),
                Attempt::Refused(reason) => return Err(reason),
                Attempt::Again(reason) => reason,
            };
            tracing::warn!(task = &*run.task, attempt, %reason, "the task's upstream did not accept it");
            if attempt >= self.attempts {
                return Err(reason);
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        Err("not tried".to_owned())
    }

    async fn attempt(&self, body: Bytes) -> Attempt {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body));
        let Ok(request) = request else {
            return Attempt::Refused("the task's upstream has no usable URL".to_owned());
        };
        let response = match &self.client {
            Sender::Plain(client) => client.request(request),
            Sender::Encrypted(client) => client.request(request),
        };
        match tokio::time::timeout(self.timeout, response).await {
            Err(_) => Attempt::Again("the task's upstream did not answer in time".to_owned()),
            Ok(Err(_)) => Attempt::Again("the task's upstream cannot be reached".to_owned()),
            Ok(Ok(response)) => match response.status() {
                status if status.is_success() => Attempt::Accepted,
                status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => again(status),
                status if status.is_server_error() => again(status),
                status => Attempt::Refused(format!("the task's upstream refused it: {status}")),
            },
        }
    }
}

fn again(status: StatusCode) -> Attempt {
    Attempt::Again(format!("the task's upstream answered {status}"))
}
