//! Where a connection's bytes go: into the mailbox of a body that someone else writes, or straight into a socket.

use std::io::{self, IoSlice, Write as _};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use tokio::sync::OwnedSemaphorePermit;

use super::mailbox::Mailbox;
use crate::hub::StreamAbort;

/// Where a connection's bytes go.
pub(super) enum Outlet {
    Body(Body),
    Socket(Socket),
}

/// A response body: hyper writes it, or whoever drives the [`EventStream`](crate::EventStream).
pub(super) struct Body {
    pub(super) mailbox: Arc<Mailbox>,
    /// The mailbox holds a chunk, or the stream took one and did not say so yet. The engine counts it as written.
    pub(super) in_flight: bool,
    pub(super) abort: Option<StreamAbort>,
}

/// A socket of the shard's own. It is asked for writability only once the kernel has refused bytes.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// What of the response's head was not written yet: it leaves together with the first frame.
    head: Option<Box<[u8]>>,
    /// It is registered with the kernel, by the shard whose thread has it.
    is_watched: bool,
    /// The kernel tells when it takes bytes again.
    asks_writable: bool,
    /// The place among all sockets of the server.
    _place: OwnedSemaphorePermit,
}

impl Socket {
    /// `head` is the response's head, which nobody has sent.
    pub(crate) fn new(stream: TcpStream, head: Vec<u8>, place: OwnedSemaphorePermit, is_watched: bool) -> Self {
        Self { stream, head: Some(head.into()), is_watched, asks_writable: false, _place: place }
    }

    /// The same socket for someone else.
    pub(crate) fn into_parts(self) -> (TcpStream, OwnedSemaphorePermit) {
        (self.stream, self._place)
    }

    /// A peer that leaves is told of from now on, under `token`.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match std::mem::replace(&mut self.is_watched, true) {
            true => registry.reregister(&mut self.stream, token, Interest::READABLE),
            false => registry.register(&mut self.stream, token, Interest::READABLE),
        }
    }

    /// The kernel tells the shard of `registry` nothing of it any more: another thread will have it.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        if std::mem::replace(&mut self.is_watched, false) {
            // Were it to fail, what the kernel goes on to tell would be looked at in vain.
            let _ = registry.deregister(&mut self.stream);
        }
    }

    /// Writes as much of `slices` as the kernel takes, the response's head before it; how much of `slices` that was.
    pub(super) fn write(&mut self, slices: &[&[u8]]) -> io::Result<usize> {
        if self.head.is_some() {
            return self.write_with_head(slices);
        }
        match slices {
            [slice] => retry(|| self.stream.write(slice)),
            _ => {
                let mut vector = [IoSlice::new(&[]); super::writing::RUNS];
                vector.iter_mut().zip(slices).for_each(|(entry, slice)| *entry = IoSlice::new(slice));
                retry(|| self.stream.write_vectored(&vector[..slices.len()]))
            }
        }
    }

    #[cold]
    fn write_with_head(&mut self, slices: &[&[u8]]) -> io::Result<usize> {
        let Some(head) = self.head.take() else {
            return Ok(0);
        };
        let first = slices.first().copied().unwrap_or_default();
        let written = retry(|| self.stream.write_vectored(&[IoSlice::new(&head), IoSlice::new(first)]));
        let of_head = head.len().min(*written.as_ref().unwrap_or(&0));
        if of_head < head.len() {
            self.head = Some(head[of_head..].into());
        }
        written.map(|written| written - of_head)
    }

    /// The kernel refused bytes: `token` is told when it takes some again.
    pub(super) fn ask_writable(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if !self.asks_writable {
            self.asks_writable = true;
            registry.reregister(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(())
    }

    /// Reads what the peer should not have sent; whether it is still there.
    pub(super) fn is_open(&mut self, scratch: &mut [u8]) -> bool {
        use std::io::Read as _;
        match retry(|| self.stream.read(scratch)) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Nothing follows what was written.
    pub(super) fn end(mut self) {
        // A stream that ended before its first frame has a head all the same.
        let _ = self.write_with_head(&[]);
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

/// Again, when a signal came in between.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
