//! Where a connection's bytes go: into the mailbox of a body that someone else writes, or straight into a socket.

use std::io::{self, IoSlice, Write as _};
use std::mem;
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry};
use tokio::sync::OwnedSemaphorePermit;

use super::mailbox::Mailbox;
use super::{Batch, Watch};
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
    pub(super) stream: TcpStream,
    /// What of the response's head was not written yet: it leaves together with the first frame.
    head: Option<Box<[u8]>>,
    /// How the kernel tells of it, if it does: to the shard whose thread has it.
    pub(super) watch: Option<Watch>,
    /// The kernel tells when it takes bytes again.
    asks_writable: bool,
    /// The place among all sockets of the server.
    _place: OwnedSemaphorePermit,
}

impl Socket {
    /// `head` is the response's head, which nobody has sent.
    pub(crate) fn new(stream: TcpStream, head: Vec<u8>, place: OwnedSemaphorePermit, watch: Option<Watch>) -> Self {
        Self { stream, head: Some(head.into()), watch, asks_writable: false, _place: place }
    }

    /// The same socket for someone else.
    pub(crate) fn into_parts(self) -> (TcpStream, OwnedSemaphorePermit) {
        (self.stream, self._place)
    }

    /// Leaves `slices` to be sent with what is for others; false if they must be written by themselves.
    pub(super) fn push(&self, slices: &[&[u8]], batch: &mut Batch) -> bool {
        self.head.is_none() && batch.push(&self.stream, slices)
    }

    /// Writes as much of `slices` as the kernel takes, the response's head before it; how much of `slices` that was.
    pub(super) fn write(&mut self, slices: &[&[u8]], scratch: &mut Vec<u8>) -> io::Result<usize> {
        if let Some(head) = self.head.take() {
            return self.write_with_head(&head, slices, scratch);
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

    /// In one piece: the kernel takes that in less time than two, if they are small.
    #[cold]
    fn write_with_head(&mut self, head: &[u8], slices: &[&[u8]], scratch: &mut Vec<u8>) -> io::Result<usize> {
        let first = slices.first().copied().unwrap_or_default();
        scratch.clear();
        scratch.extend_from_slice(head);
        scratch.extend_from_slice(&first[..first.len().min(super::writing::CHUNK)]);
        let written = retry(|| self.stream.write(scratch));
        let of_head = head.len().min(*written.as_ref().unwrap_or(&0));
        if of_head < head.len() {
            self.head = Some(head[of_head..].into());
        }
        written.map(|written| written - of_head)
    }

    /// The kernel refused bytes: it shall tell when it takes some again.
    pub(super) fn ask_writable(&mut self, registry: &Registry) -> io::Result<()> {
        if let Some(watch) = self.watch
            && !mem::replace(&mut self.asks_writable, true)
        {
            registry.reregister(&mut self.stream, watch.token(), Interest::READABLE | Interest::WRITABLE)?;
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
        if let Some(head) = self.head.take() {
            let _ = retry(|| self.stream.write(&head));
        }
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
