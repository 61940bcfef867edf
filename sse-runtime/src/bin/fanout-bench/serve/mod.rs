//! Servers to compare with, each a process of its own: `fanout-bench serve NAME`.
//!
//! All speak the same: `GET /t7` is a stream of topic 7, `POST /t7` publishes its body to it.

mod axum;
mod epoll;
mod ring;

use std::io::Write as _;
use std::net::SocketAddr;

use crate::load::{Failure, process};

/// Serves on a free port of loopback until it is ended; its first line says where.
pub(crate) fn run(name: &str) -> Result<(), Failure> {
    process::raise_descriptors(0)?;
    match name {
        "epoll" => epoll::serve(epoll::Writing::Coalescing),
        "epoll-each" => epoll::serve(epoll::Writing::EachEvent),
        "uring" => epoll::serve(epoll::Writing::Batched),
        "axum" => axum::serve(false),
        "axum-nodelay" => axum::serve(true),
        _ => return Err(Failure::new(format!("there is no server called {name:?}"))),
    }
    .map_err(|error| Failure::new(format!("serve {name}: {error}")))
}

fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on http://{address}/")?;
    stdout.flush()
}
