//! What each connection should be given, and what it took.

use sse_proto::wire::Event;
use sse_proto::{CloseReason, ConnId, EventIds, GapReason, Greeting, Overrun, Stale};

use super::text::{encode_body, field, task_body};
use super::{Client, Connection, Model, Next, Notice, Phase, Sending, Task, WALK};

impl Model {
    /// What `transmit` should give.
    pub fn transmit(&mut self, conn: ConnId) -> Result<Next, Stale> {
        if !self.connections.contains_key(&conn) {
            return Err(Stale);
        }
        let connection = self.connection(conn);
        if matches!(connection.phase, Phase::Closing(_)) || connection.report_gap.is_some() {
            return Ok(Next::Nothing);
        }
        if let Some(next) = self.notice(conn) {
            return Ok(next);
        }
        let (evicted, policy) = (self.evicted, self.config.overrun);
        let has_tasks = {
            let key = self.connections[&conn].client;
            self.clients.iter().any(|c| c.key == Some(key) && !c.tasks.is_empty())
        };
        let connection = self.connection(conn);
        connection.completions = false;
        if connection.position <= evicted && connection.position <= connection.until {
            if connection.offset > 0 || policy == Overrun::Close {
                self.enter(conn, Phase::Closing(CloseReason::Overrun));
                return Ok(Next::Nothing);
            }
            connection.gap = Some(GapReason::Overrun);
            connection.report_gap = Some(GapReason::Overrun);
            // What the log lost of completions, the client's table still has.
            connection.completions = has_tasks;
            connection.completions_sent_too = true;
            connection.told = connection.told.max(connection.position - 1);
            connection.position = evicted + 1;
            connection.owes_position = true;
            self.enter(conn, Phase::Ready);
            return Ok(Next::Nothing);
        }
        let frames = self.frames(conn);
        let (first, passed_all, looked_to) = frames;
        let connection = self.connection(conn);
        if connection.offset == 0 {
            match first {
                Some(sequence) => connection.position = sequence,
                None if !passed_all => {
                    connection.position = looked_to + 1;
                    self.enter(conn, Phase::Ready);
                    return Ok(Next::Nothing);
                }
                None => {
                    connection.position = connection.position.max(connection.until + 1);
                    connection.queue.clear();
                    if let Some(next) = self.notice(conn) {
                        return Ok(next);
                    }
                    if self.connection(conn).phase != Phase::Idle {
                        self.rest(conn);
                    }
                    return Ok(Next::Nothing);
                }
            }
        }
        let connection = &self.connections[&conn];
        // One look at the log passes so many frames, whoever they are for; it does not end before the first that is for this one.
        let first = self.history[self.kept_from..].iter().position(|frame| frame.sequence >= connection.position);
        let end = self.kept_from + first.unwrap_or(0) + WALK;
        let mut frames: Vec<_> = connection
            .queue
            .iter()
            .filter(|&(&index, &live)| live && self.history[index].sequence <= connection.until)
            .filter(|&(&index, _)| self.history[index].sequence >= connection.position)
            .enumerate()
            .take_while(|&(nth, (&index, _))| nth == 0 || index < end)
            .map(|(_, (&index, _))| self.history[index].bytes.clone())
            .collect();
        frames[0].drain(..connection.offset);
        Ok(Next::Frames(frames))
    }

    /// The engine gave this farewell.
    pub fn farewell(&mut self, conn: ConnId, bytes: &[u8]) {
        let sending = self.connection(conn).sending.as_mut();
        sending.expect("a farewell is being sent").bytes = bytes.to_vec();
    }

    /// The peer took `written` bytes of what it was given.
    pub fn written(&mut self, now: u64, conn: ConnId, mut written: usize) -> Result<usize, Stale> {
        self.time(now);
        if !self.connections.contains_key(&conn) {
            return Err(Stale);
        }
        let connection = self.connections.get_mut(&conn).expect("it is open");
        if written == 0 || matches!(connection.phase, Phase::Closing(_)) {
            return Ok(0);
        }
        let client = connection.client;
        let mut whole = 0;
        let mut arrived = Vec::new();
        if let Some(sending) = connection.sending.take() {
            connection.offset += written;
            assert!(connection.offset <= sending.bytes.len());
            if connection.offset < sending.bytes.len() {
                connection.sending = Some(sending);
            } else {
                connection.offset = 0;
                whole = 1;
                match sending.notice {
                    Notice::Greeting => connection.greeting = false,
                    Notice::Gap => connection.gap = None,
                    Notice::Completion(sequence) => arrived.push(sequence),
                    Notice::Position => {}
                    Notice::Heartbeat => connection.heartbeat = false,
                    Notice::Farewell => {
                        self.enter(conn, Phase::Closing(CloseReason::Drained));
                        return Ok(1);
                    }
                }
            }
        } else {
            while written > 0 {
                let (&index, &live) = connection.queue.iter().next().expect("it was given frames");
                let frame = &self.history[index];
                if !live || frame.sequence < connection.position {
                    connection.queue.remove(&index);
                    continue;
                }
                connection.position = frame.sequence;
                let rest = frame.bytes.len() - connection.offset;
                if written < rest {
                    connection.offset += written;
                    break;
                }
                written -= rest;
                whole += 1;
                connection.offset = 0;
                connection.position += 1;
                connection.queue.remove(&index);
                if frame.ends_task {
                    arrived.push(frame.sequence);
                }
            }
        }
        for client in self.clients.iter_mut().filter(|c| c.key == Some(client)) {
            for task in &mut client.tasks {
                task.sent |= task.has_ended() && arrived.contains(&task.sequence);
            }
        }
        let connection = &self.connections[&conn];
        let done = connection.sending.is_none() && connection.position > connection.until && self.choose(connection).is_none();
        if done {
            self.rest(conn);
        } else {
            self.enter(conn, Phase::Writing);
        }
        Ok(whole)
    }

    /// The connection has nothing to send.
    fn rest(&mut self, conn: ConnId) {
        let finishing = self.connections[&conn].finishing;
        self.enter(conn, if finishing { Phase::Closing(CloseReason::Unregistered) } else { Phase::Idle });
    }

    /// The notice that is being sent, or the next one that is due.
    pub(super) fn notice(&mut self, conn: ConnId) -> Option<Next> {
        let connection = &self.connections[&conn];
        if connection.sending.is_none() {
            if connection.offset > 0 {
                return None;
            }
            let (sending, last) = self.choose(connection)?;
            let connection = self.connection(conn);
            connection.owes_position &= !last;
            if let Notice::Completion(sequence) = sending.notice {
                connection.told = sequence;
            }
            connection.sending = Some(sending);
        }
        let connection = &self.connections[&conn];
        let sending = connection.sending.as_ref()?;
        if let Notice::Completion(sequence) = sending.notice {
            let mut owner = self.clients.iter().filter(|c| c.key == Some(connection.client));
            let kept = |c: &Client| c.tasks.iter().any(|t| t.sequence == sequence);
            if !owner.any(kept) {
                self.enter(conn, Phase::Closing(CloseReason::Unregistered));
                return Some(Next::Nothing);
            }
        }
        Some(match (sending.notice, connection.farewell) {
            (Notice::Farewell, Some((min, max))) if sending.bytes.is_empty() => Next::Farewell(min, max),
            _ => Next::Notice(sending.bytes[connection.offset..].to_vec()),
        })
    }

    /// The next notice, and whether it carries the connection's position.
    pub(super) fn choose(&self, connection: &Connection) -> Option<(Sending, bool)> {
        let position = connection.position - 1;
        let client = self.clients.iter().find(|c| c.key == Some(connection.client));
        let client = client.expect("a connection has a client");
        let completion = self.completion(connection, client, connection.told);
        let make = |notice, id: Option<u64>, body: String, last| {
            let bytes = match id {
                Some(sequence) => self.numbered(sequence, &body).into_bytes(),
                None => body.into_bytes(),
            };
            Some((Sending { notice, bytes }, last))
        };
        if connection.greeting {
            let last = connection.gap.is_none() && completion.is_none();
            let retry = self.config.retry;
            let retry = retry.map_or(String::new(), |ms| format!("retry:{ms}\n"));
            let id = &client.id;
            let body = match connection.greeting_form {
                Greeting::Connected => {
                    format!("event:connected\ndata:{{\"client\":\"{id}\"}}\n\n")
                }
                Greeting::Registered => format!("data:\"registered^{id}\"\n\n"),
                Greeting::Position => "\n".into(),
                Greeting::Silent => String::new(),
            };
            return make(Notice::Greeting, last.then_some(position), connection.preface.to_owned() + &retry + &body, last);
        }
        if let Some(reason) = connection.gap {
            let last = completion.is_none();
            let body = format!("event:gap\ndata:{{\"reason\":\"{reason}\"}}\n\n");
            return make(Notice::Gap, last.then_some(position), body, last);
        }
        if let Some(task) = completion {
            let last = self.completion(connection, client, task.sequence).is_none();
            let id = if last { position } else { task.sequence };
            let body = task_body(connection.dialect, &client.id, &task.name, task.state, task.ended, task.detail.as_deref());
            return make(Notice::Completion(task.sequence), Some(id), body, last);
        }
        if connection.owes_position {
            return make(Notice::Position, Some(position), "\n".into(), true);
        }
        if connection.heartbeat {
            let body = format!(":{}\n\n", self.config.heartbeat_comment);
            return make(Notice::Heartbeat, None, body, false);
        }
        if connection.farewell.is_some() && connection.position > connection.until {
            return make(Notice::Farewell, None, String::new(), false);
        }
        None
    }

    /// The first completion after `told` that the connection will not find in the log.
    pub(super) fn completion<'c>(&self, connection: &Connection, client: &'c Client, told: u64) -> Option<&'c Task> {
        let due = |task: &&Task| {
            connection.completions
                && task.has_ended()
                && task.sequence > told
                && task.sequence < connection.position
                && (connection.completions_sent_too || !task.sent)
        };
        client.tasks.iter().filter(due).min_by_key(|t| t.sequence)
    }

    pub(super) fn id_line(&self, sequence: u64) -> String {
        match self.config.event_ids {
            EventIds::Numbered => format!("id:{:08x}-{sequence}\n", self.epoch.0),
            EventIds::Given => String::new(),
        }
    }

    /// The frame with its number in the last line.
    pub(super) fn numbered(&self, sequence: u64, body: &str) -> String {
        let fields = body.strip_suffix('\n').expect("a frame ends with a blank line");
        format!("{fields}{}\n", self.id_line(sequence))
    }

    pub(super) fn encode(&self, sequence: u64, event: &Event<'_>) -> Vec<u8> {
        let body = encode_body(event);
        let frame = match event.id {
            Some(id) => field("id", id.as_str()) + &body,
            None => self.numbered(sequence, &body),
        };
        frame.into_bytes()
    }
}
