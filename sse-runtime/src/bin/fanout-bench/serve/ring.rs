//! Many sends in one system call, by io_uring.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use io_uring::{IoUring, opcode, types};
use rustix::net::SendFlags;

/// A ring that nothing is under way in between two calls.
pub(super) struct Ring(IoUring);

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        Ok(Self(builder.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun().build(ENTRIES)?))
    }

    /// Sends to each socket what is beside it, as much as the kernel takes at once; how much that was, in the same order: 0 for a
    /// socket that took nothing or broke.
    pub(super) fn send<'a>(&mut self, sends: impl IntoIterator<Item = (BorrowedFd<'a>, &'a [u8])>) -> Vec<usize> {
        let mut sends = sends.into_iter().peekable();
        let mut sent = Vec::new();
        while sends.peek().is_some() {
            let first = sent.len();
            for (socket, bytes) in sends.by_ref().take(ENTRIES as usize) {
                let send = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), bytes.len() as u32)
                    .flags((SendFlags::NOSIGNAL | SendFlags::DONTWAIT).bits() as i32)
                    .build()
                    .user_data(sent.len() as u64);
                // SAFETY: the kernel reads `bytes` between submission and completion. They are borrowed for longer than this call,
                // which once it has submitted goes on, or aborts, until it has seen every completion.
                if unsafe { self.0.submission().push(&send) }.is_err() {
                    std::process::abort();
                }
                sent.push(0);
            }
            let mut left = sent.len() - first;
            while left > 0 {
                match self.0.submit_and_wait(left) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The kernel may go on reading what is lent to it.
                    Err(_) => std::process::abort(),
                }
                for done in self.0.completion() {
                    sent[done.user_data() as usize] = usize::try_from(done.result()).unwrap_or(0);
                    left -= 1;
                }
            }
        }
        sent
    }
}

/// Sends in one system call, at most.
const ENTRIES: u32 = 1_024;
