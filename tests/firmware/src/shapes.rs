//! Three shapes of fixed memory: what docs/memory.md tells the sizes of, and what a program of yours may begin with.

use sse_proto::storage::fixed::{
    Clients, Connections, DetailBytes, Fixed, FrameBytes, Labels, LogBytes, LogEntries, Subscriptions, Tasks, TextBytes,
};

/// For a chip with 16 KiB.
pub(crate) type Lamp = Fixed<
    Connections<4>,
    Clients<8>,
    Labels<16>,
    Subscriptions<16>,
    Tasks<4>,
    DetailBytes<64>,
    LogBytes<{ 2 * 1024 }>,
    LogEntries<32>,
    FrameBytes<512>,
    TextBytes<40>,
>;

/// For one with 64 KiB.
pub(crate) type Room = Fixed<
    Connections<16>,
    Clients<32>,
    Labels<64>,
    Subscriptions<64>,
    Tasks<16>,
    DetailBytes<128>,
    LogBytes<{ 8 * 1024 }>,
    LogEntries<64>,
    FrameBytes<1024>,
    TextBytes<40>,
>;

/// For one with 256 KiB and more.
pub(crate) type House = Fixed<
    Connections<64>,
    Clients<128>,
    Labels<256>,
    Subscriptions<256>,
    Tasks<64>,
    DetailBytes<256>,
    LogBytes<{ 64 * 1024 }>,
    LogEntries<512>,
    FrameBytes<2048>,
    TextBytes<64>,
>;
