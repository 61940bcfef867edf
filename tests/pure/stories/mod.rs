//! What the engine does, one story per behaviour. The harness checks every law after every step of them too.

mod admission;
mod delivery;
mod ending;
mod publish;
mod restore;
mod resume;
mod tasks;
mod timers;
mod topics;

use sse_proto::{ClientId, Config, Limits, Registration};

/// Small, and without what most stories are not about.
fn quiet() -> Config {
    Config {
        limits: Limits { frame_bytes: 1024, log_bytes: 8 * 1024, ..Limits::default() },
        heartbeat: None,
        write_stall: None,
        retry: None,
        ..Config::default()
    }
}

/// A log of so many frames.
fn log_of(log_entries: u32) -> Config {
    let limits = Limits { log_entries, ..quiet().limits };
    Config { limits, ..quiet() }
}

fn wish(id: &str) -> Registration<'_> {
    Registration::new(ClientId::new(id).unwrap())
}
