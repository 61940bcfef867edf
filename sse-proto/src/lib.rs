//! Server-Sent Events as a sans-IO state machine.
//!
//! [`Engine`] is a whole hub without I/O: ids, registration, topics, tasks, one log with a cursor per connection, resume,
//! heartbeats and sweeping. [`client`] is the other side: connect, resume, give up. [`wire`] is the format itself. Clocks, randomness
//! and sockets stay with the caller.
//!
//! Features only add: `alloc` brings storage on the heap ([`Heap`]), `std` (the default) the fastest search routines, and code made for
//! speed where it is else made for size. Without any, the engine lives in [`Fixed`] memory, the decoder and the client in a caller's
//! buffer.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod client;
mod config;
mod engine;
mod id;
pub mod manager;
mod portable;
#[cfg(feature = "std")]
mod simd;
pub mod storage;
mod time;
pub mod wire;

#[cfg(not(feature = "std"))]
use portable as simd;

pub use config::{Age, Config, ConfigError, EventIds, Limits, Overrun};
pub use engine::{
    Audience, ClientInfo, CloseReason, Dialect, Engine, Full, GapReason, Greeting, IdError, KeptClient, KeptFrame, KeptTask,
    Left, ListenError, MAX_EVENT_ID, Memory, Outcome, Output, PublishError, RegisterError, Registered, Registration, Resume,
    RowSizes, Stale, Target, TaskError, TaskInfo, TaskState, Usage,
};
pub use id::{ClientId, ClientKey, ConnId, Epoch, EventId, IdForm, NameError, check_name, check_topic};
pub use storage::Storage;
pub use storage::fixed::Fixed;
#[cfg(feature = "alloc")]
pub use storage::{Heap, MemoryBounds};
pub use time::Instant;
