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
    head: Option<Arc<[u8]>>,
    /// How the kernel tells of it, if it does: to the shard whose thread has it.
    pub(super) watch: Option<Watch>,
    /// The kernel tells when it takes bytes again.
    asks_writable: bool,
    /// The place among all sockets of the server.
    _place: OwnedSemaphorePermit,
}

impl Socket {
    /// `head` is the response's head, which nobody has sent.
    pub(crate) fn new(stream: TcpStream, head: Arc<[u8]>, place: OwnedSemaphorePermit, watch: Option<Watch>) -> Self {
        Self { stream, head: Some(head), watch, asks_writable: false, _place: place }
    }

    /// The same socket for someone else.
    pub(crate) fn into_parts(self) -> (TcpStream, OwnedSemaphorePermit) {
        (self.stream, self._place)
    }

    /// Leaves `slices` to be sent with what is for others, the response's head before them; false if they must be written by
    /// themselves. What came of it goes through [`beside_head`](Self::beside_head).
    pub(super) fn push(&self, slices: &[&[u8]], batch: &mut Batch) -> bool {
        let Some(head) = &self.head else {
            return batch.push(&self.stream, slices);
        };
        let mut pieces = [&b""[..]; super::writing::RUNS + 1];
        pieces[0] = head;
        pieces[1..=slices.len()].copy_from_slice(slices);
        batch.push(&self.stream, &pieces[..=slices.len()])
    }

    /// The response's head and `offered` bytes behind it, `len` together, were to be written: how many bytes are `offered`, and how
    /// many of them the kernel took. What of the head it did not take is kept.
    pub(super) fn beside_head(&mut self, len: usize, taken: io::Result<usize>) -> (usize, io::Result<usize>) {
        let Some(head) = self.head.take() else {
            return (len, taken);
        };
        let of_head = head.len().min(*taken.as_ref().unwrap_or(&0));
        if of_head < head.len() {
            self.head = Some(head[of_head..].into());
        }
        (len - head.len(), taken.map(|taken| taken - of_head))
    }

    /// Writes as much of `slices` as the kernel takes, the response's head before it; how much of `slices` that was.
    pub(super) fn write(&mut self, slices: &[&[u8]], scratch: &mut Vec<u8>) -> io::Result<usize> {
        if self.head.is_some() {
            return self.write_with_head(slices, scratch);
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
    fn write_with_head(&mut self, slices: &[&[u8]], scratch: &mut Vec<u8>) -> io::Result<usize> {
        let first = slices.first().copied().unwrap_or_default();
        scratch.clear();
        scratch.extend_from_slice(self.head.as_deref().unwrap_or_default());
        scratch.extend_from_slice(&first[..first.len().min(super::writing::CHUNK)]);
        let written = retry(|| self.stream.write(scratch));
        self.beside_head(scratch.len(), written).1
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

#[cfg(test)]
mod tests {
    use std::net::{self, TcpListener};

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn what_the_kernel_took_is_told_without_the_head_and_the_rest_of_the_head_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_nonblocking(true).unwrap();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut socket = Socket::new(TcpStream::from_std(peer), (*b"head").into(), place, None);
        let mut check = |len: usize, taken: Result<usize, io::ErrorKind>, beside: Result<usize, io::ErrorKind>, kept: &[u8]| {
            let (offered, told) = socket.beside_head(len, taken.map_err(Into::into));
            assert_eq!((offered, told.map_err(|error| error.kind())), (10, beside), "{taken:?} of {len}");
            assert_eq!(socket.head.as_deref().unwrap_or_default(), kept, "{taken:?} of {len}");
        };
        check(14, Err(io::ErrorKind::WouldBlock), Err(io::ErrorKind::WouldBlock), b"head");
        check(14, Ok(3), Ok(0), b"d");
        check(11, Ok(3), Ok(2), b"");
        check(10, Ok(8), Ok(8), b"");
    }
}
