//! Server-Sent Events on tokio: the hub, its HTTP interface and the `sse-hub` server.
//!
//! [`Hub`] is what an application holds: it registers clients, publishes, and runs tasks. [`router`] offers it over HTTP below any
//! axum application; the `sse-hub` program is [`site`] with [`serve`](serve::serve) around it. The protocol itself is the engine of
//! [`sse_proto`], one for each [shard](HubConfig::shards).
//!
//! [`client`] is the other side: [`client::EventSource`] follows any stream, this hub's or another's.
#![deny(unsafe_code)]

pub mod auth;
pub mod client;
mod clock;
pub mod config;
pub mod error;
mod event;
mod hub;
pub mod metrics;
mod router;
mod sequencer;
pub mod serve;
mod shard;
mod stream;
pub mod tasks;
pub mod telemetry;

pub use event::{ClientRef, Event, StreamId, Target};
pub use hub::{
    EventError, Hub, HubBuilder, HubConfig, HubError, HubEvent, HubMemory, Register, Registrant, StartAt, StreamAbort, TaskEnd,
    TaskStatus,
};
pub use router::{RouterOptions, router, site};
pub use stream::EventStream;
pub use tasks::TaskRun;

/// The engine, for its configuration and the types that appear here.
pub use sse_proto as proto;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
