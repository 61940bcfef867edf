//! From the log to the peers: what is ready, what was taken, who is gone.

use std::io;

use bytes::Bytes;
use mio::event::Event;
use sse_proto::{ClientKey, CloseReason, ConnId, GapReason, Heap, Output, Storage};

use super::members::Member;
use super::outlet::{Body, Outlet};
use super::{Batch, Seat, Shard};
use crate::hub::HubEvent;
use crate::metrics;
use crate::telemetry::short;

/// Connections written before commands and sockets are looked after: few, so that what is published meanwhile joins the frames
/// of those that wait; many enough that looking costs next to nothing.
const OUTPUTS: usize = 64;
/// Bytes handed to a stream at once: small enough that a peer that takes nothing holds little, large enough for big runs.
pub(super) const CHUNK: usize = 16 * 1024;
/// Bytes written to one socket before the others have their turn.
const BURST: usize = 256 * 1024;
/// Runs of the log that one write is made of.
pub(super) const RUNS: usize = 16;

impl Shard {
    /// Streams that took their chunk get the next one; those that were dropped are gone.
    pub(super) fn take_returns(&mut self) {
        let mut returned = std::mem::take(&mut self.returned);
        self.returns.take(&mut returned);
        for conn in returned.drain(..) {
            let Some(Seat { outlet: Outlet::Body(body), .. }) = seat_of(&mut self.seats, conn) else {
                continue;
            };
            let progress = body.mailbox.progress();
            if progress.taken > 0 {
                body.in_flight = false;
                self.counted.bytes += progress.taken as u64;
            }
            if progress.dropped {
                self.disconnect(conn);
            } else if progress.taken > 0 {
                self.fill(conn);
            }
        }
        self.returned = returned;
    }

    /// Sockets that had their turn get another one; whether some need one more.
    pub(super) fn take_unfinished(&mut self) -> bool {
        for conn in std::mem::take(&mut self.unfinished) {
            self.fill(conn);
        }
        !self.unfinished.is_empty()
    }

    /// The kernel tells of the socket of the connection in `slot`.
    pub(super) fn socket_event(&mut self, slot: usize, event: &Event) {
        let Some(Seat { conn, outlet: Outlet::Socket(socket), .. }) = self.seats.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let conn = *conn;
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.scratch.resize(CHUNK, 0);
            if !socket.is_open(&mut self.scratch) || event.is_read_closed() {
                return self.disconnect(conn);
            }
        }
        if event.is_writable() {
            self.fill(conn);
        }
    }

    pub(super) fn disconnect(&mut self, conn: ConnId) {
        if let Ok(left) = self.engine.handle_disconnect(self.now(), conn) {
            self.leave(conn, left.client, left.last, None);
        }
    }

    /// True when there may be more.
    pub(super) fn look_after_outputs(&mut self) -> bool {
        let mut sockets = std::mem::take(&mut self.to_write);
        let mut more = true;
        for _ in 0..OUTPUTS {
            match self.engine.poll_output() {
                // Looked up in a row: the processor fetches their rows ahead, which it does not do with a system call between two of them.
                Some(Output::Write(conn)) if self.has_socket(conn) => sockets.push(conn),
                Some(output) => self.look_after(output),
                None => {
                    more = false;
                    break;
                }
            }
        }
        self.write_each(&sockets);
        sockets.clear();
        self.to_write = sockets;
        more
    }

    fn look_after(&mut self, output: Output<<Heap as Storage>::Text>) {
        match output {
            Output::Write(conn) => self.fill(conn),
            Output::Close { conn, client, reason, last } => self.close(conn, client, reason, last),
            Output::Gap { conn, reason } => {
                self.shared.metrics.gaps.of(gap_label(reason)).inc();
                tracing::info!(slot = conn.slot(), %reason, "a stream missed events and is told so");
                if let Some(member) = self.owner(conn) {
                    let client = member.client.clone();
                    self.tell(HubEvent::Gap { client, reason });
                }
            }
            Output::Expired { client, id } => {
                tracing::debug!(client = %short(&id), "expired");
                if let Some(member) = self.forget(client) {
                    self.tell(HubEvent::Expired { client: member.client });
                }
                self.shared.changes.happened();
            }
            Output::Unused { id } => {
                tracing::trace!(client = %short(&id), "the id was not used in time")
            }
        }
    }

    fn has_socket(&mut self, conn: ConnId) -> bool {
        matches!(seat_of(&mut self.seats, conn), Some(Seat { outlet: Outlet::Socket(_), .. }))
    }

    /// Gives `conn` its next bytes.
    fn fill(&mut self, conn: ConnId) {
        match seat_of(&mut self.seats, conn) {
            Some(Seat { outlet: Outlet::Socket(_), .. }) => self.write(conn),
            Some(Seat { outlet: Outlet::Body(body), .. }) if !body.in_flight => self.hand_over(conn),
            _ => {}
        }
    }

    /// Writes what waits for each of `conns` into its socket, in as few system calls as it takes.
    fn write_each(&mut self, mut conns: &[ConnId]) {
        let Some(mut batch) = self.batch.take_if(|_| conns.len() > 1) else {
            return conns.iter().for_each(|conn| self.write(*conn));
        };
        while let [first, others @ ..] = conns {
            let pushed = conns.iter().take_while(|conn| self.push(**conn, &mut batch)).count();
            if pushed == 0 {
                self.write(*first);
                conns = others;
                continue;
            }
            for (conn, sent) in conns.iter().zip(batch.send()) {
                let is_interrupted = matches!(&sent.taken, Err(error) if error.kind() == io::ErrorKind::Interrupted);
                let (offered, taken) = self.beside_head(*conn, sent.len, sent.taken);
                if is_interrupted || self.wrote(*conn, offered, taken).is_some() {
                    self.write(*conn);
                }
            }
            conns = &conns[pushed..];
        }
        self.batch = Some(batch);
    }

    /// Leaves what waits for `conn` to be sent with what is for others; false if there is nothing, or it must be written by itself.
    fn push(&mut self, conn: ConnId, batch: &mut Batch) -> bool {
        let Some(Seat { outlet: Outlet::Socket(socket), .. }) = seat_of(&mut self.seats, conn) else {
            return false;
        };
        let mut slices = [&b""[..]; RUNS];
        let filled = self.engine.transmit(conn, &mut slices).unwrap_or(0);
        filled > 0 && socket.push(&slices[..filled], batch)
    }

    /// What was offered and taken of what a batch had for `conn`, without the response's head.
    fn beside_head(&mut self, conn: ConnId, len: usize, taken: io::Result<usize>) -> (usize, io::Result<usize>) {
        match seat_of(&mut self.seats, conn) {
            Some(Seat { outlet: Outlet::Socket(socket), .. }) => socket.beside_head(len, taken),
            _ => (len, taken),
        }
    }

    /// Writes what waits for `conn` into its socket, from the log, until the kernel refuses or others must have their turn.
    fn write(&mut self, conn: ConnId) {
        let mut burst = 0;
        while burst < BURST {
            let Some(Seat { outlet: Outlet::Socket(socket), .. }) = seat_of(&mut self.seats, conn) else {
                return;
            };
            let mut slices = [&b""[..]; RUNS];
            let filled = self.engine.transmit(conn, &mut slices).unwrap_or(0);
            if filled == 0 {
                return;
            }
            let offered = slices[..filled].iter().map(|slice| slice.len()).sum();
            let taken = socket.write(&slices[..filled], &mut self.scratch);
            match self.wrote(conn, offered, taken) {
                Some(written) => burst += written,
                None => return,
            }
        }
        self.unfinished.push(conn);
    }

    /// The kernel took so much of `offered` bytes, or nothing; how much, if there is more for it.
    fn wrote(&mut self, conn: ConnId, offered: usize, taken: io::Result<usize>) -> Option<usize> {
        let written = match taken {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.disconnect(conn);
                return None;
            }
        };
        self.counted.deliveries += self.engine.handle_written(self.turn, conn, written).unwrap_or(0) as u64;
        self.counted.bytes += written as u64;
        if written == offered {
            return (!self.engine.is_caught_up(conn)).then_some(written);
        }
        if let Some(Seat { outlet: Outlet::Socket(socket), .. }) = seat_of(&mut self.seats, conn)
            && socket.ask_writable(&self.registry).is_err()
        {
            self.disconnect(conn);
        }
        None
    }

    /// Puts the next bytes for `conn` into its mailbox, which is empty. To the engine they are written then: the mailbox is to a
    /// stream what its send buffer is to a socket. A peer that takes nothing is found by what waits behind it, a heartbeat if
    /// nothing else.
    fn hand_over(&mut self, conn: ConnId) {
        self.scratch.clear();
        while self.scratch.len() < CHUNK {
            let mut slices = [&b""[..]; RUNS];
            let filled = self.engine.transmit(conn, &mut slices).unwrap_or(0);
            let before = self.scratch.len();
            for slice in &slices[..filled] {
                let room = CHUNK - self.scratch.len();
                self.scratch.extend_from_slice(&slice[..slice.len().min(room)]);
            }
            let copied = self.scratch.len() - before;
            let Some(whole) = self.engine.handle_written(self.turn, conn, copied).ok().filter(|_| copied > 0) else {
                break;
            };
            self.counted.deliveries += whole as u64;
        }
        let Some(Seat { outlet: Outlet::Body(body), .. }) = seat_of(&mut self.seats, conn) else {
            return;
        };
        if self.scratch.is_empty() {
            return;
        }
        if self.last_chunk != self.scratch {
            self.last_chunk = Bytes::copy_from_slice(&self.scratch);
        }
        body.in_flight = true;
        body.mailbox.put(self.last_chunk.clone());
    }

    fn close(&mut self, conn: ConnId, client: ClientKey, reason: CloseReason, last: bool) {
        if let Some(Seat { outlet: Outlet::Body(Body { abort: Some(abort), .. }), .. }) = seat_of(&mut self.seats, conn) {
            // A peer that takes nothing would keep a stream that has ended for ever.
            match (reason, self.engine.config().write_stall) {
                (CloseReason::Stalled, _) => abort.abort(),
                (_, Some(patience)) => abort.abort_after(patience),
                (_, None) => {}
            }
        }
        tracing::debug!(slot = conn.slot(), ?reason, "a stream was ended");
        self.leave(conn, client, last, Some(reason));
    }

    /// The connection is gone from the engine.
    fn leave(&mut self, conn: ConnId, client: ClientKey, last: bool, reason: Option<CloseReason>) {
        match self.seats.get_mut(conn.slot()).and_then(Option::take).map(|seat| seat.outlet) {
            Some(Outlet::Body(body)) => body.mailbox.end(),
            Some(Outlet::Socket(socket)) => {
                if let Some(watch) = socket.watch {
                    self.watch_ends(watch);
                }
                // Who left reads no end.
                if reason.is_some() {
                    socket.end();
                }
            }
            None => {}
        }
        self.shared.metrics.closed.of(reason.map_or(metrics::CloseReason::ClientLeft, close_label)).inc();
        let Some(member) = self.member(client) else {
            return;
        };
        let name = member.client.clone();
        self.tell(HubEvent::Left { client: name, last, reason });
        if self.engine.client_info(client).is_none() && last {
            self.forget(client);
            self.shared.changes.happened();
        }
    }

    fn owner(&self, conn: ConnId) -> Option<&Member> {
        self.member(self.engine.client_of(conn).ok()?)
    }

    pub(super) fn tell(&self, event: HubEvent) {
        // Nobody may be listening.
        let _ = self.shared.events.send(event);
    }
}

/// The seat of a connection that is still open.
fn seat_of(seats: &mut [Option<Seat>], conn: ConnId) -> Option<&mut Seat> {
    seats.get_mut(conn.slot())?.as_mut().filter(|seat| seat.conn == conn)
}

pub(super) fn gap_label(reason: GapReason) -> metrics::GapReason {
    match reason {
        GapReason::Evicted => metrics::GapReason::Evicted,
        GapReason::Epoch => metrics::GapReason::Epoch,
        GapReason::Unknown => metrics::GapReason::Unknown,
        GapReason::Overrun => metrics::GapReason::Overrun,
    }
}

fn close_label(reason: CloseReason) -> metrics::CloseReason {
    match reason {
        CloseReason::Stalled => metrics::CloseReason::WriteStall,
        CloseReason::Overrun => metrics::CloseReason::Overrun,
        CloseReason::Replaced => metrics::CloseReason::Replaced,
        CloseReason::Expired => metrics::CloseReason::Expired,
        CloseReason::Unregistered => metrics::CloseReason::Unregistered,
        CloseReason::Drained => metrics::CloseReason::Shutdown,
    }
}
