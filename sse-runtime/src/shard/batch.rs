//! What goes to several sockets at once, in one system call: by io_uring, on Linux from 6.1 on, where nothing forbids it.

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod uring;

use std::io;

#[cfg(target_os = "linux")]
pub(crate) use self::uring::Batch;

/// What became of one of them.
pub(crate) struct Sent {
    /// How long it was.
    pub(crate) len: usize,
    /// How much of it the kernel took, or why nothing, as if it had been asked for this one alone.
    /// [`io::ErrorKind::ConnectionAborted`] when nobody knows.
    pub(crate) taken: io::Result<usize>,
}

/// There is none here.
#[cfg(not(target_os = "linux"))]
pub(crate) enum Batch {}

#[cfg(not(target_os = "linux"))]
impl Batch {
    pub(crate) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn push(&mut self, _: &mio::net::TcpStream, _: &[&[u8]]) -> bool {
        match *self {}
    }

    pub(crate) fn send(&mut self) -> std::vec::Drain<'_, Sent> {
        match *self {}
    }
}
