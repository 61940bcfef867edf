//! Sockets without tokio: non-blocking, on loopback, each from an address of our choice.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};

use super::failure::Failure;

/// An epoll instance and the events it told.
pub(crate) struct Poll {
    fd: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS) })
    }

    pub(crate) fn add(&self, socket: &OwnedFd, token: u64, flags: epoll::EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.fd, socket, epoll::EventData::new_u64(token), flags)?)
    }

    pub(crate) fn modify(&self, socket: &OwnedFd, token: u64, flags: epoll::EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, socket, epoll::EventData::new_u64(token), flags)?)
    }

    pub(crate) fn delete(&self, socket: &OwnedFd) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, socket)?)
    }

    /// Waits until something happens, at most `timeout`. How many events there are.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        let timeout = Timespec { tv_sec: timeout.as_secs().min(3_600) as i64, tv_nsec: timeout.subsec_nanos().into() };
        self.events.clear();
        match epoll::wait(&self.fd, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error.into()),
        }
    }

    /// The token of an event of the last wait.
    pub(crate) fn token(&self, index: usize) -> u64 {
        self.events[index].data.u64()
    }
}

/// Begins to connect to `server`, from `source` if one is given.
pub(crate) fn connect(server: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    // Closing resets it: thousands of ports that wait for their time to pass would make the next run slow to connect.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
    }
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Whether a connection stands, once its socket is writable.
pub(crate) fn connected(socket: &OwnedFd) -> io::Result<()> {
    Ok(sockopt::socket_error(socket)??)
}

/// Reads what has come; `None` if nothing has, 0 at the end.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match rustix::net::recv(socket, buffer, RecvFlags::empty()) {
        Ok((read, _)) => Ok(Some(read)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes what the kernel takes now.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
        Ok(written) => Ok(written),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The address that the connection with this number comes from, since one has too few ports for all of them; `None` leaves the
/// choice to the kernel, which then finds a free port faster.
pub(crate) fn source(server: SocketAddr, connection: usize) -> Result<Option<Ipv4Addr>, Failure> {
    let block = connection / PORTS_PER_ADDRESS;
    match (server.ip(), u32::try_from(block)) {
        (_, Ok(0)) => Ok(None),
        (IpAddr::V4(_), Ok(block)) if block < ADDRESSES => Ok(Some(Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + block))),
        _ => Err(Failure::new(format!("{} has too few ports for {connection} connections: use 127.0.0.1", server.ip()))),
    }
}

/// Half of the 28,232 ephemeral ports of Linux: above that the kernel searches long for a free one.
const PORTS_PER_ADDRESS: usize = 14_000;
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const ADDRESSES: u32 = 1 << 20;
/// As many as a wait can tell at once.
const EVENTS: usize = 1_024;
