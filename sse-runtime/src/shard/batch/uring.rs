//! The one place of this crate that lends memory to the kernel.

use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, RawFd};
use std::vec::Drain;

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};
use mio::net::TcpStream;

use super::Sent;

/// Sends in one call, at most.
const SENDS: usize = 64;
/// Bytes in one call, at most.
const BYTES: usize = 64 * 1024;
/// Bytes of one send, at most: to copy more takes longer than a call of its own.
const PIECE: usize = 4 * 1024;

/// Sends that wait to be made together. It belongs to the thread that made it.
pub(crate) struct Batch {
    ring: IoUring,
    /// A copy of what is to be sent. Empty once the ring has failed: it takes no more then.
    bytes: Box<[u8]>,
    pushed: Vec<(RawFd, Range<usize>)>,
    sent: Vec<Sent>,
}

impl Batch {
    pub(crate) fn new() -> io::Result<Self> {
        let mut ring = IoUring::builder();
        ring.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun().setup_submit_all();
        let ring = ring.build(SENDS as u32)?;
        let (pushed, sent) = (Vec::with_capacity(SENDS), Vec::with_capacity(SENDS));
        Ok(Self { ring, bytes: vec![0; BYTES].into(), pushed, sent })
    }

    /// Takes a copy of `pieces`, for `socket`, which stays open until [`send`](Self::send); false if there is no room, or nothing to send,
    /// and nothing was taken.
    pub(crate) fn push(&mut self, socket: &TcpStream, pieces: &[&[u8]]) -> bool {
        let start = self.pushed.last().map_or(0, |(_, place)| place.end);
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let place = start..start + len;
        let Some(mut room) =
            self.bytes.get_mut(place.clone()).filter(|_| (1..=PIECE).contains(&len) && self.pushed.len() < SENDS)
        else {
            return false;
        };
        for piece in pieces {
            let (front, rest) = room.split_at_mut(piece.len());
            front.copy_from_slice(piece);
            room = rest;
        }
        self.pushed.push((socket.as_raw_fd(), place));
        true
    }

    /// Sends what was pushed, and says what became of each, in their order.
    pub(crate) fn send(&mut self) -> Drain<'_, Sent> {
        self.sent.clear();
        for (index, (socket, place)) in self.pushed.drain(..).enumerate() {
            let bytes = &self.bytes[place];
            // SAFETY: what is lent is part of `self.bytes`, a heap allocation of its own. `push` alone writes to it, which borrows `self`
            // exclusively as this does, and it is freed with `self`. Before either, `complete` has seen that the kernel is done with it;
            // else it is leaked.
            let is_queued = unsafe { self.ring.submission().push(&entry(socket, bytes, index)) }.is_ok();
            debug_assert!(is_queued, "the queue has {SENDS} places, and all are free between two calls");
            self.sent.push(Sent { len: bytes.len(), taken: Err(io::ErrorKind::ConnectionAborted.into()) });
        }
        if let Err(error) = self.complete() {
            tracing::error!(%error, "io_uring fails; sockets are written one by one from now on");
            Box::leak(mem::take(&mut self.bytes));
        }
        self.sent.drain(..)
    }

    /// Has the kernel do what is queued, and takes the results. When it fails, the kernel may not be done.
    fn complete(&mut self) -> io::Result<()> {
        let mut left = self.sent.len();
        while left > 0 {
            let called = self.ring.submit_and_wait(left);
            for done in self.ring.completion() {
                left -= 1;
                if let Some(sent) = self.sent.get_mut(done.user_data() as usize) {
                    sent.taken = usize::try_from(done.result()).map_err(|_| io::Error::from_raw_os_error(-done.result()));
                }
            }
            match called {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// It never waits: what the kernel does not take at once is refused.
fn entry(socket: RawFd, bytes: &[u8], index: usize) -> Entry {
    opcode::Send::new(types::Fd(socket), bytes.as_ptr(), bytes.len() as u32)
        .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
        .build()
        .user_data(index as u64)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net;

    use super::*;

    /// Both ends of a connection.
    fn pair() -> (TcpStream, net::TcpStream) {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        (TcpStream::from_std(socket), peer)
    }

    /// `None` where the kernel has none for us, which the server answers by writing sockets one by one.
    fn batch() -> Option<Batch> {
        match Batch::new() {
            Ok(batch) => Some(batch),
            Err(error) => {
                use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
                assert!(matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported), "{error}");
                eprintln!("no io_uring on this machine: {error}");
                None
            }
        }
    }

    fn taken(batch: &mut Batch) -> Vec<Result<usize, io::ErrorKind>> {
        batch.send().map(|sent| sent.taken.map_err(|error| error.kind())).collect()
    }

    #[test]
    fn each_peer_gets_its_own_bytes_and_those_who_take_nothing_or_left_are_told_from_the_others() {
        let Some(mut batch) = batch() else { return };
        let [(first, mut peer), (full, idle), (broken, gone), (last, mut other)] = [(); 4].map(|()| pair());
        while (&full).write(&[b'x'; PIECE]).is_ok() {}
        drop(gone);
        // The kernel knows that a peer is gone once it has refused something.
        while (&broken).write(b"x").is_ok() {}
        for round in ["one", "another"] {
            assert!(batch.push(&first, &[b"to ", b"the ", b"first: ", round.as_bytes()]));
            assert!(batch.push(&full, &[b"full"]));
            assert!(batch.push(&broken, &[b"broken"]));
            assert!(batch.push(&last, &[round.as_bytes()]));
            let (refused, broke) = (Err(io::ErrorKind::WouldBlock), Err(io::ErrorKind::BrokenPipe));
            assert_eq!(taken(&mut batch), [Ok(14 + round.len()), refused, broke, Ok(round.len())]);
        }
        let read = |peer: &mut net::TcpStream, len| {
            let mut read = vec![0; len];
            peer.read_exact(&mut read).unwrap();
            String::from_utf8(read).unwrap()
        };
        assert_eq!(read(&mut peer, 38), "to the first: oneto the first: another");
        assert_eq!(read(&mut other, 10), "oneanother");
        drop(idle);
    }

    #[test]
    fn a_peer_that_takes_a_part_is_told_by_how_much() {
        let Some(mut batch) = batch() else { return };
        let (socket, peer) = pair();
        let mut sent = 0;
        let part = loop {
            assert!(batch.push(&socket, &[&[b'x'; PIECE]]));
            match taken(&mut batch)[..] {
                [Ok(PIECE)] => sent += PIECE,
                [Ok(part)] => break part,
                [Err(io::ErrorKind::WouldBlock)] => break 0,
                ref unknown => panic!("{unknown:?}"),
            }
        };
        drop(socket);
        let mut received = Vec::new();
        { peer }.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent + part);
    }

    #[test]
    fn what_has_no_room_is_left_to_the_caller() {
        let Some(mut batch) = batch() else { return };
        let (socket, mut peer) = pair();
        assert!(!batch.push(&socket, &[&[b'x'; PIECE], b"x"]));
        assert!(taken(&mut batch).is_empty());
        for _ in 0..2 {
            assert_eq!((0..).take_while(|_| batch.push(&socket, &[b"little"])).count(), SENDS);
            assert_eq!(taken(&mut batch), [Ok(6); SENDS]);
            assert_eq!((0..).take_while(|_| batch.push(&socket, &[&[b'x'; PIECE]])).count(), BYTES / PIECE);
            assert_eq!(taken(&mut batch), [Ok(PIECE); BYTES / PIECE]);
            peer.read_exact(&mut vec![0; 6 * SENDS + BYTES]).unwrap();
        }
    }

    #[test]
    fn a_ring_that_fails_takes_no_more() {
        let Some(mut batch) = batch() else { return };
        let (socket, _peer) = pair();
        let no_ring = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(batch.push(&socket, &[b"lost"]));
        // SAFETY: what the ring holds is a descriptor as before, which is closed with it.
        assert!(unsafe { libc::dup2(no_ring.as_raw_fd(), batch.ring.as_raw_fd()) } >= 0);
        assert_eq!(taken(&mut batch), [Err(io::ErrorKind::ConnectionAborted)]);
        assert!(!batch.push(&socket, &[b"more"]));
        assert!(!batch.push(&socket, &[b""]));
        assert!(taken(&mut batch).is_empty());
    }
}
