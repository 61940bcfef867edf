//! The server.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use sse_runtime::auth::Guard;
use sse_runtime::config::{self, Command, ServerConfig};
use sse_runtime::serve::{ServeOptions, serve};
use sse_runtime::tasks::{Upstream, demo};
use sse_runtime::{Hub, HubConfig, RouterOptions, telemetry};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

fn main() -> ExitCode {
    let config = match config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(Command::Run(loaded)) => loaded.config,
        Ok(Command::Say(text)) => {
            // Nobody is left to tell when the reader has gone, as in `sse-hub --help | head -1`.
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&error),
    };
    if let Err(error) = telemetry::init(config.log_format, &config.log) {
        return refuse(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error),
    }
}

/// One line, and the exit code of a program that was called wrongly.
fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "sse-hub: {error}");
    ExitCode::from(2)
}

async fn run(config: ServerConfig) -> io::Result<()> {
    let listener = bind(config.listen)?;
    let address = listener.local_addr()?;
    let hub = hub(&config)?;
    let guard = Guard::new(
        address,
        config.token.clone(),
        config.cors_origins.clone(),
        config.allowed_hosts.clone(),
        Some(hub.metrics().clone()),
    );
    let options = RouterOptions {
        prefix: config.prefix.clone(),
        max_body: config.http.max_body,
        request_timeout: config.http.request_timeout,
        end_on_disconnect: config.policy.end_on_disconnect,
        ..RouterOptions::new(guard)
    };
    let signalled = signalled()?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{address}/")?;
    stdout.flush()?;
    let memory = hub.config().memory_bounds();
    tracing::info!(
        logs = %Bytes(memory.logs),
        streams = %Bytes(memory.streams),
        clients = %Bytes(memory.clients),
        topics = %Bytes(memory.topics),
        tasks = %Bytes(memory.tasks),
        "memory at most, should every limit be reached; it is taken when it is needed",
    );
    tracing::info!(shards = config.shards, prefix = %config.prefix, "open the page in a browser; ctrl-c ends the hub");

    let shutdown = config.shutdown.clone();
    let finish = async || {
        tracing::info!("telling streams to come back later");
        let all_gone = hub.shut_down(shutdown.grace, shutdown.retry, shutdown.retry + shutdown.retry_spread).await;
        if !all_gone {
            tracing::warn!("streams were still open at the end of the grace period");
        }
    };
    let serve_options = ServeOptions {
        max_connections: config.http.max_connections,
        header_timeout: config.http.header_timeout,
        io_uring: config.http.io_uring,
        write_timeout: Some(config.timers.write_stall),
    };
    let grace = shutdown.grace + Duration::from_millis(500);
    serve(listener, hub.clone(), &options, serve_options, signalled, finish, grace).await?;
    tracing::info!("done");
    Ok(())
}

/// A number of bytes as a person reads it.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes < 10 << 20 => write!(f, "{} KiB", bytes.div_ceil(1 << 10)),
            bytes if bytes < 10 << 30 => write!(f, "{} MiB", bytes.div_ceil(1 << 20)),
            bytes => write!(f, "{} GiB", bytes.div_ceil(1 << 30)),
        }
    }
}

/// Connections that may wait to be accepted: as many as the kernel allows (`net.core.somaxconn`). It resets some of those beyond.
const BACKLOG: u32 = 65_535;

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "; stop what listens there, or choose another port with --listen (port 0 picks a free one)"
            }
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{hint}"))
    })
}

fn hub(config: &ServerConfig) -> io::Result<Hub> {
    let mut builder = Hub::builder().config(HubConfig::from(config));
    if config.policy.demo_tasks {
        builder = builder.task("sleep", demo::sleep).task("progress-demo", demo::progress);
    }
    for task in &config.tasks {
        builder = match &task.url {
            Some(url) => {
                let upstream = Upstream::new(url.uri().clone(), task.timeout, task.attempts, task.backoff)?;
                builder.upstream(&task.name, upstream)
            }
            None => builder.worker(&task.name),
        };
    }
    builder.build()
}

/// Done when the process is asked to end. Whoever asks again does not want to wait.
fn signalled() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut asked = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let (first, signalled) = oneshot::channel();
    tokio::spawn(async move {
        asked().await;
        // Nobody waits for it when the server has ended by itself.
        let _ = first.send(());
        asked().await;
        tracing::warn!("asked again: ending at once");
        std::process::exit(1);
    });
    Ok(async {
        let _ = signalled.await;
    })
}
