//! Serving HTTP/1.1: the accept loop, its limits, and an orderly end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::hub::StreamAbort;

/// How HTTP is served.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Open sockets at most; more wait in the listener's queue.
    pub max_connections: usize,
    /// How long a peer may take over a request's head.
    pub header_timeout: Duration,
    /// How long a peer may take nothing while something waits for it; `None`: for ever.
    pub write_timeout: Option<Duration>,
}

/// Bytes hyper may hold for a peer that takes nothing.
const MAX_BUFFER: usize = 16 * 1024;
/// How long to wait when the process is out of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop` is done; then accepts nobody and calls `finish`, and returns when both that and all
/// connections are done, or after `grace`, which ends them.
pub async fn serve<F>(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    stop: impl Future<Output = ()>,
    finish: F,
    grace: Duration,
) where
    F: AsyncFnOnce(),
{
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS)));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((socket, _)) => {
                let watcher = connections.watcher();
                let router = router.clone();
                tokio::spawn(async move {
                    let _place = place;
                    connect(socket, router, options, watcher).await;
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; those that are open go on");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
    drop(listener);
    let done = async {
        finish().await;
        connections.shutdown().await;
    };
    if tokio::time::timeout(grace, done).await.is_err() {
        tracing::warn!("connections were still open at the end of the grace period");
    }
}

/// Serves one connection until it is done or its peer takes nothing for too long.
async fn connect(socket: TcpStream, router: Router, options: ServeOptions, watcher: Watcher) {
    // Frames leave when they are written.
    let _ = socket.set_nodelay(true);
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(options.write_timeout);
    let abort = StreamAbort::default();
    let for_requests = abort.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(for_requests.clone());
        router.clone().oneshot(request)
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(Box::pin(socket)), service);
    tokio::select! {
        served = watcher.watch(connection) => if let Err(error) = served {
            tracing::trace!(error = %error, "a connection broke");
        },
        () = abort.aborted() => tracing::debug!("a connection was cut: its peer took nothing"),
    }
}

/// Errors that concern the connection that was to be accepted, and no other.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
