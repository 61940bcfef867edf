//! Serving HTTP/1.1: who accepts, who speaks, and an orderly end.
//!
//! Shards accept connections and serve streams and publications themselves: see `front`. Everything else comes here, with what
//! was already read, and is served by hyper and the router.

pub(crate) mod front;
mod head;
mod rewind;
mod visitor;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use self::front::Door;
use self::rewind::Rewind;
use crate::hub::{Hub, StreamAbort, no_shard};
use crate::router::direct::Direct;
use crate::router::{RouterOptions, site};

/// How HTTP is served.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Open sockets at most; more wait in the listener's queue.
    pub max_connections: usize,
    /// How long a peer may take over a request's head.
    pub header_timeout: Duration,
    /// How long a peer may take nothing while something waits for it; `None`: for ever.
    pub write_timeout: Option<Duration>,
    /// Whether several streams are written in one system call, where the kernel has one for that.
    pub io_uring: bool,
}

/// Bytes hyper may hold for a peer that takes nothing.
const MAX_BUFFER: usize = 16 * 1024;
/// Bodies up to this length are published by shards: larger ones must be collected for a while, which is left to hyper.
const MAX_BODY: usize = 64 * 1024;
/// Connections on their way to hyper.
const ARRIVALS: usize = 1024;

/// Serves everything that [`site`] offers on `listener` until `stop` is done; then accepts nobody and calls `finish`, and returns
/// when both that and all connections are done, or after `grace`, which ends them. Dropping the future ends them too, and closes
/// the listener.
///
/// # Errors
///
/// When the operating system does not give each shard a hold of the listener.
pub async fn serve<F>(
    listener: TcpListener,
    hub: Hub,
    router: &RouterOptions,
    options: ServeOptions,
    stop: impl Future<Output = ()>,
    finish: F,
    grace: Duration,
) -> io::Result<()>
where
    F: AsyncFnOnce(),
{
    let listener = listener.into_std()?;
    set_options(&listener, options.write_timeout)?;
    let (arrivals, mut arriving) = mpsc::channel(ARRIVALS);
    let service = Arc::new(Service {
        direct: Direct::new(hub.clone(), router),
        stream_head: head::stream(&Direct::stream_headers()),
        arrivals,
        places: Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS))),
        header_timeout: options.header_timeout,
        request_timeout: router.request_timeout,
        max_body: router.max_body.min(MAX_BODY),
        io_uring: options.io_uring,
        phase: AtomicU8::new(Phase::Open as u8),
    });
    let site = site(hub.clone(), router);
    let serving = Serving { hub, service };
    // All before any is open: who comes in by the first may take the last descriptor.
    let doors = (0..serving.hub.shard_count()).map(|shard| {
        let listener = listener.try_clone().map_err(|error| no_shard(shard, &error))?;
        Ok(Door::new(serving.service.clone(), listener))
    });
    let doors: Vec<Door> = doors.collect::<io::Result<_>>()?;
    drop(listener);
    for (shard, door) in doors.into_iter().enumerate() {
        serving.hub.open_door(shard, door).await.map_err(io::Error::other)?;
    }

    let connections = GracefulShutdown::new();
    let take = |arrival, watcher| tokio::spawn(connect(arrival, site.clone(), options, watcher));
    {
        let mut stop = std::pin::pin!(stop);
        while let Some(arrival) = tokio::select! {
            arrival = arriving.recv() => arrival,
            () = &mut stop => None,
        } {
            take(arrival, connections.watcher());
        }
    }
    serving.enter(Phase::Stopping);
    let done = async {
        {
            let mut finish = std::pin::pin!(finish());
            while let Some(arrival) = tokio::select! {
                arrival = arriving.recv() => arrival,
                () = &mut finish => None,
            } {
                take(arrival, connections.watcher());
            }
        }
        connections.shutdown().await;
    };
    if tokio::time::timeout(grace, done).await.is_err() {
        tracing::warn!("connections were still open at the end of the grace period");
    }
    Ok(())
}

/// What shards need to know of a server.
pub(crate) struct Service {
    direct: Direct,
    /// What the head of every stream begins with.
    stream_head: Vec<u8>,
    arrivals: mpsc::Sender<Arrival>,
    /// For all sockets, whoever has them.
    places: Arc<Semaphore>,
    header_timeout: Duration,
    request_timeout: Duration,
    /// The longest body that shards publish themselves.
    max_body: usize,
    io_uring: bool,
    phase: AtomicU8,
}

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nobody is accepted; what was begun is finished.
    Stopping,
    /// All are sent away.
    Closed,
}

impl Service {
    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Open,
            1 => Phase::Stopping,
            _ => Phase::Closed,
        }
    }
}

/// A server at work: its doors close with it.
struct Serving {
    hub: Hub,
    service: Arc<Service>,
}

impl Serving {
    fn enter(&self, phase: Phase) {
        self.service.phase.store(phase as u8, Ordering::Release);
        self.hub.wake_all();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.enter(Phase::Closed);
    }
}

/// A connection for hyper, and what was already read of it.
struct Arrival {
    socket: std::net::TcpStream,
    read: Bytes,
    _place: OwnedSemaphorePermit,
}

/// Sets what accepted sockets inherit: frames leave when they are written, and a peer that acknowledges nothing of what was sent
/// for as long as `silence` is gone.
fn set_options(listener: &std::net::TcpListener, silence: Option<Duration>) -> io::Result<()> {
    let listener = socket2::SockRef::from(listener);
    listener.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    listener.set_tcp_user_timeout(silence)?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = silence;
    Ok(())
}

/// Serves one connection until it is done or its peer takes nothing for too long.
async fn connect(arrival: Arrival, router: Router, options: ServeOptions, watcher: Watcher) {
    let Ok(socket) = TcpStream::from_std(arrival.socket) else {
        return;
    };
    let mut socket = TimeoutStream::new(Rewind::new(arrival.read, socket));
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_inherit_the_options_of_the_listener() {
        let silence = Duration::from_millis(1_500);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        set_options(&listener, Some(silence)).unwrap();
        let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let accepted = socket2::SockRef::from(&accepted);
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(silence));
        assert!(accepted.tcp_nodelay().unwrap());
    }
}
