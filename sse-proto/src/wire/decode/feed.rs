//! One chunk: its lines, what they mean, and what of it is borrowed or kept.

use super::line::{has_nul, milliseconds, value_of};
use super::{DecodeError, Decoder, Item, MessageEvent, Phase, Span, State};
use crate::storage::{Scratch, Slot};
use crate::wire::scan::LineEnd;
use crate::wire::utf8::{Checked, last_boundary};

/// One chunk being decoded.
///
/// Dropping it loses what has not been decoded; [`remaining`](Self::remaining) is what to feed again later. What has been decoded
/// is kept by the decoder, also in the middle of an event.
#[derive(Debug)]
#[must_use = "the chunk is decoded by taking the items out"]
pub struct Feed<'d, 'i, S> {
    decoder: &'d mut Decoder<S>,
    input: &'i [u8],
    /// Everything before it is decoded or kept.
    position: usize,
    checked: Checked<'i>,
    /// Nothing is kept of the next event.
    between_events: bool,
    /// The caller wants text, not bytes.
    wants_text: bool,
}

impl<'d, 'i, S: Scratch> Feed<'d, 'i, S> {
    #[inline]
    pub(super) fn new(decoder: &'d mut Decoder<S>, input: &'i [u8]) -> Self {
        let between_events = decoder.state == State::BETWEEN_EVENTS;
        decoder.ends.restart(input);
        let position = if input.len() < LARGE { 0 } else { decoder.keep_ahead(input) };
        Self { decoder, input, position, checked: Checked::new(), between_events, wants_text: false }
    }

    /// The next item of this chunk, as text: ill-formed UTF-8 is replaced as the Encoding Standard says. `None` when the chunk is
    /// used up. An item comes with the byte that completes it: a CR ends a line, whether an LF follows or not.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; calling again goes on behind the event that was in error.
    #[inline]
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, DecodeError> {
        self.next_item_if(|_| true)
    }

    /// The same without the events whose own id is not wanted: they leave no trace, the last event id stays as it was.
    #[inline(always)]
    pub(crate) fn next_item_if(&mut self, mut wanted: impl FnMut(&str) -> bool) -> Result<Option<Item<'_>>, DecodeError> {
        self.wants_text = true;
        let Some(end) = self.decoder.ends.peek(self.input) else { return self.keep_tail() };
        if self.between_events {
            if let Some(data) = self.next_plain(end, |checked, input, data| checked.get(input, data.start, data.end)) {
                return Ok(Some(Item::Event(MessageEvent {
                    event: "message",
                    data,
                    last_event_id: self.decoder.last_event_id(),
                })));
            }
        } else if self.ends_data_line() {
            return Ok(None);
        } else if let Some((data, name)) = self.next_plain_kept(end)? {
            let texts = self.decoder.scratch.decode_text(data.start..data.end, false)?;
            let event = name.resolve(texts.name);
            return Ok(Some(Item::Event(MessageEvent { event, data: texts.text, last_event_id: texts.last_id })));
        }
        let step = loop {
            match self.step()? {
                None => return Ok(None),
                Some(Step::Event { has_id: true, .. }) if !wanted(self.decoder.last_event_id()) => {
                    self.decoder.scratch.swap_ids()
                }
                Some(step) => break step,
            }
        };
        Ok(Some(match step {
            Step::Event { data: Value::Input(data), name, has_id } => {
                let scratch = &mut self.decoder.scratch;
                match self.checked.get(self.input, data.start, data.end) {
                    Some(data) => Item::Event(MessageEvent {
                        event: name.resolve(scratch.get(Slot::Name)),
                        data,
                        last_event_id: scratch.get(Slot::LastId),
                    }),
                    None => {
                        let texts = scratch.decode(&self.input[data.start..data.end], has_id)?;
                        Item::Event(MessageEvent {
                            event: name.resolve(texts.name),
                            data: texts.text,
                            last_event_id: texts.last_id,
                        })
                    }
                }
            }
            Step::Event { data: Value::Kept(data), name, has_id } => {
                let texts = self.decoder.scratch.decode_text(data.start..data.end, has_id)?;
                Item::Event(MessageEvent { event: name.resolve(texts.name), data: texts.text, last_event_id: texts.last_id })
            }
            Step::Comment(Value::Input(comment)) => {
                Item::Comment(match self.checked.get(self.input, comment.start, comment.end) {
                    Some(comment) => comment,
                    None => self.decoder.scratch.decode(&self.input[comment.start..comment.end], false)?.text,
                })
            }
            Step::Comment(Value::Kept(comment)) => {
                Item::Comment(self.decoder.scratch.decode_text(comment.start..comment.end, false)?.text)
            }
            Step::Retry(ms) => Item::Retry(ms),
            Step::IdChanged => Item::IdChanged(self.decoder.last_event_id()),
        }))
    }

    /// The same with data and comments as the bytes that were sent, unchecked. Names and ids are text here too: they are compared
    /// and sent back.
    ///
    /// # Errors
    ///
    /// As [`next_item`](Self::next_item).
    #[inline]
    pub fn next_raw(&mut self) -> Result<Option<Item<'_, [u8]>>, DecodeError> {
        self.wants_text = false;
        let Some(end) = self.decoder.ends.peek(self.input) else { return self.keep_tail() };
        if self.between_events {
            if let Some(data) = self.next_plain(end, |_, input, data| Some(&input[data.start..data.end])) {
                return Ok(Some(Item::Event(MessageEvent {
                    event: "message",
                    data,
                    last_event_id: self.decoder.last_event_id(),
                })));
            }
        } else if self.ends_data_line() {
            return Ok(None);
        } else if let Some((data, name)) = self.next_plain_kept(end)? {
            let scratch = &self.decoder.scratch;
            return Ok(Some(Item::Event(MessageEvent {
                event: name.resolve(scratch.get(Slot::Name)),
                data: &scratch.text()[data.start..data.end],
                last_event_id: scratch.get(Slot::LastId),
            })));
        }
        let step = self.step()?;
        let scratch = &self.decoder.scratch;
        let bytes = |value| match value {
            Value::Input(span) => &self.input[span.start..span.end],
            Value::Kept(span) => &scratch.text()[span.start..span.end],
        };
        Ok(step.map(|step| match step {
            Step::Event { data, name, .. } => Item::Event(MessageEvent {
                event: name.resolve(scratch.get(Slot::Name)),
                data: bytes(data),
                last_event_id: scratch.get(Slot::LastId),
            }),
            Step::Comment(comment) => Item::Comment(bytes(comment)),
            Step::Retry(ms) => Item::Retry(ms),
            Step::IdChanged => Item::IdChanged(scratch.get(Slot::LastId)),
        }))
    }

    /// What of the chunk has not been decoded yet.
    pub fn remaining(&self) -> &'i [u8] {
        &self.input[self.position..]
    }

    /// The common case at one stroke: one `data` line and the blank line, both ended alike. Takes it or leaves everything as it is.
    #[inline(always)]
    fn next_plain<T: ?Sized>(
        &mut self,
        LineEnd { at: end, paired }: LineEnd,
        value: impl FnOnce(&mut Checked<'i>, &'i [u8], Span) -> Option<&'i T>,
    ) -> Option<&'i T> {
        if !paired {
            return None;
        }
        // A CR may have an LF behind it, which the general way knows to take.
        let (line, ends) = self.input.get(self.position..end + 2)?.split_last_chunk()?;
        let after = line.strip_prefix(b"data:")?;
        if ends != b"\n\n" || line.len() > self.decoder.limits.max_plain() {
            return None;
        }
        let start = end - after.len() + usize::from(after.first() == Some(&b' '));
        let value = value(&mut self.checked, self.input, Span { start, end })?;
        self.decoder.ends.take_pair();
        self.position = end + 2;
        Some(value)
    }

    /// The same for an event of which nothing but data and perhaps a name was kept: its line ends in this chunk, or the blank line is
    /// all that is missing.
    #[inline(always)]
    fn next_plain_kept(&mut self, LineEnd { at: end, paired }: LineEnd) -> Result<Option<(Span, Name<'i>)>, DecodeError> {
        let decoder = &mut *self.decoder;
        let name = if decoder.state.any(State::HAS_NAME) { Name::Kept } else { Name::Found("") };
        let state = decoder.state.without(State::HAS_NAME);
        if state == State::HAS_DATA && self.input[self.position] == b'\n' {
            decoder.ends.take(self.input);
            self.position += 1;
            return Ok(Some((self.dispatch_kept(self.decoder.data), name)));
        }
        if state != State::IN_LINE || !paired {
            return Ok(None);
        }
        let rest = &self.input[self.position..end];
        let line_start = decoder.line_start;
        let kept = &decoder.scratch.text()[line_start..];
        if !kept.starts_with(b"data:")
            || self.input.get(end..end + 2) != Some(b"\n\n")
            || kept.len() + rest.len() > decoder.limits.max_plain()
        {
            return Ok(None);
        }
        if let Err(error) = self.keep_line(Span { start: self.position, end }) {
            return Err(self.fail(error, false));
        }
        self.decoder.ends.take_pair();
        self.position = end + 2;
        let text = self.decoder.scratch.text();
        let value = line_start + "data:".len();
        let start = value + usize::from(text.get(value) == Some(&b' '));
        let end = text.len();
        Ok(Some((self.dispatch_kept(Span { start, end }), name)))
    }

    /// The same for the end of a data line that is a chunk of its own, as every end is in a stream that comes byte by byte. Takes it
    /// or leaves everything as it is.
    #[inline(always)]
    fn ends_data_line(&mut self) -> bool {
        let decoder = &mut *self.decoder;
        if self.input != b"\n" || decoder.state.without(State::HAS_NAME | State::HAS_ID) != State::IN_LINE {
            return false;
        }
        let text = decoder.scratch.text();
        let line = &text[decoder.line_start..];
        if !line.starts_with(b"data:") || line.len() > decoder.limits.max_plain() {
            return false;
        }
        let start = decoder.line_start + "data:".len() + usize::from(line.get("data:".len()) == Some(&b' '));
        decoder.data = Span { start, end: text.len() };
        decoder.line_start = text.len();
        decoder.state.clear(State::IN_LINE);
        decoder.state.set(State::HAS_DATA);
        decoder.ends.take(self.input);
        self.position = 1;
        true
    }

    #[inline(always)]
    fn dispatch_kept(&mut self, data: Span) -> Span {
        self.decoder.state = State::BETWEEN_EVENTS;
        self.decoder.line_start = 0;
        self.between_events = true;
        data
    }

    /// Keeps what is left of the chunk, which has no line end.
    #[inline(always)]
    fn keep_tail<T>(&mut self) -> Result<Option<T>, DecodeError> {
        let state = self.decoder.state.only(State::OUTSIDE | State::AFTER_CR | State::IN_LINE);
        if state == State::IN_LINE && self.keep_whole() {
            return Ok(None);
        }
        if self.position == self.input.len() {
            return Ok(None);
        }
        if state.any(State::OUTSIDE | State::AFTER_CR) {
            return self.step().map(|_| None);
        }
        if !state.any(State::IN_LINE) {
            self.decoder.scratch.truncate(self.decoder.line_start);
            if self.keep_whole() {
                self.decoder.state.set(State::IN_LINE);
                return Ok(None);
            }
        }
        self.keep_rest().map(|()| None).map_err(|error| self.fail(error, false))
    }

    /// Appends a small chunk to the unfinished line: the whole of it, if that is what there is to keep and there is room.
    #[inline(always)]
    fn keep_whole(&mut self) -> bool {
        let kept = self.position == 0
            && self.input.len() <= FEW
            && self.decoder.has_line_room(self.input.len()).is_ok()
            && self.decoder.scratch.push(self.input).is_ok();
        if kept {
            self.position = self.input.len();
        }
        kept
    }

    #[inline(never)]
    fn step(&mut self) -> Result<Option<Step<'i>>, DecodeError> {
        self.between_events = false;
        if self.decoder.state.any(State::OUTSIDE | State::AFTER_CR) {
            self.begin()?;
        }
        if !self.decoder.state.any(State::IN_LINE) && self.decoder.scratch.text().len() > self.decoder.line_start {
            self.decoder.scratch.truncate(self.decoder.line_start);
        }
        let mut found = Found { data: None, name: None };
        while let Some(line) = self.next_line() {
            let step = if self.decoder.state.any(State::IN_LINE) {
                self.end_kept_line(line)
            } else if line.len() == 0 {
                Ok(self.end_event(&mut found))
            } else {
                self.interpret(line, &mut found)
            };
            match step {
                Ok(None) => {}
                Ok(Some(step)) => {
                    self.between_events = self.decoder.state == State::BETWEEN_EVENTS;
                    return Ok(Some(step));
                }
                Err(error) => return Err(self.fail(error, true)),
            }
        }
        if let Err(error) = self.keep_found(&mut found) {
            return Err(self.fail(error, true));
        }
        if self.position == self.input.len() {
            return Ok(None);
        }
        match self.keep_rest() {
            Ok(()) => Ok(None),
            Err(error) => Err(self.fail(error, false)),
        }
    }

    /// The next whole line, without its end.
    #[inline(always)]
    fn next_line(&mut self) -> Option<Span> {
        let end = self.decoder.ends.take(self.input)?;
        let line = Span { start: self.position, end };
        self.position = end + 1;
        if self.input[end] == b'\r' {
            match self.input.get(end + 1) {
                Some(b'\n') => {
                    self.position += 1;
                    self.decoder.ends.take(self.input);
                }
                Some(_) => {}
                None => self.decoder.state.set(State::AFTER_CR),
            }
        }
        Some(line)
    }

    /// What a whole line of the input means that is not blank.
    #[inline(always)]
    fn interpret(&mut self, line: Span, found: &mut Found<'i>) -> Result<Option<Step<'i>>, DecodeError> {
        let bytes = &self.input[line.start..line.end];
        if bytes.len() > self.decoder.limits.max_line {
            return Err(DecodeError::LineTooLong);
        }
        if let Some(skipped) = value_of(b"data", bytes) {
            let value = Span { start: line.start + skipped, end: line.end };
            if found.data.is_none() && !self.decoder.state.any(State::HAS_DATA) {
                if value.len() > self.decoder.limits.max_event {
                    return Err(DecodeError::EventTooLong);
                }
                found.data = Some(value);
            } else {
                if let Some(first) = found.data.take() {
                    self.keep_data(first)?;
                }
                self.keep_data(value)?;
            }
        } else if let Some(skipped) = value_of(b"event", bytes) {
            found.name = self.short_text(Span { start: line.start + skipped, end: line.end });
            if found.name.is_none() {
                self.decoder.scratch.set(Slot::Name, &bytes[skipped..])?;
                self.decoder.state.set(State::HAS_NAME);
            }
        } else if let Some(skipped) = value_of(b"id", bytes) {
            if !has_nul(&bytes[skipped..]) {
                match self.short_text(Span { start: line.start + skipped, end: line.end }) {
                    Some(id) => self.decoder.scratch.set_str(Slot::NextId, id)?,
                    None => self.decoder.scratch.set(Slot::NextId, &bytes[skipped..])?,
                }
                self.decoder.state.set(State::HAS_ID);
            }
        } else if let Some(skipped) = value_of(b"", bytes) {
            self.keep_found(found)?;
            return Ok(Some(Step::Comment(Value::Input(Span { start: line.start + skipped, end: line.end }))));
        } else if let Some(skipped) = value_of(b"retry", bytes)
            && let Some(ms) = milliseconds(&bytes[skipped..])
        {
            self.keep_found(found)?;
            return Ok(Some(Step::Retry(ms)));
        }
        Ok(None)
    }

    /// A name or an id as text when it is well-formed. Where nothing else is text, it is checked with those close behind it.
    #[inline(always)]
    fn short_text(&mut self, value: Span) -> Option<&'i str> {
        let end = if self.wants_text { self.input.len() } else { self.input.len().min(value.end + NEAR) };
        self.checked.get(&self.input[..end], value.start, value.end)
    }

    /// A blank line: section 9.2.6, "dispatch the event".
    #[inline]
    fn end_event(&mut self, found: &mut Found<'i>) -> Option<Step<'i>> {
        let decoder = &mut *self.decoder;
        let state = decoder.state;
        decoder.state.clear(State::HAS_ID | State::HAS_NAME | State::HAS_DATA);
        if state.any(State::HAS_ID) {
            decoder.scratch.swap_ids();
        }
        let name = match found.name.take() {
            Some(name) => Name::Found(name),
            None if state.any(State::HAS_NAME) => Name::Kept,
            None => Name::Found(""),
        };
        decoder.line_start = 0;
        let data = match found.data.take() {
            Some(data) => Value::Input(data),
            None if state.any(State::HAS_DATA) => Value::Kept(decoder.data),
            // The slots have been swapped: the next id is the one before.
            None if state.any(State::HAS_ID) && !same(decoder.scratch.get(Slot::NextId), decoder.scratch.get(Slot::LastId)) => {
                return Some(Step::IdChanged);
            }
            None => {
                decoder.scratch.truncate(0);
                return None;
            }
        };
        Some(Step::Event { data, name, has_id: state.any(State::HAS_ID) })
    }

    /// The end of a line that began in an earlier chunk.
    fn end_kept_line(&mut self, rest: Span) -> Result<Option<Step<'i>>, DecodeError> {
        self.keep_line(rest)?;
        let decoder = &mut *self.decoder;
        decoder.state.clear(State::IN_LINE);
        let start = decoder.line_start;
        let end = decoder.scratch.text().len();
        let bytes = &decoder.scratch.text()[start..];
        if let Some(skipped) = value_of(b"data", bytes) {
            return decoder.keep_data_in_place(Span { start: start + skipped, end }).map(|()| None);
        }
        if let Some(skipped) = value_of(b"event", bytes) {
            decoder.scratch.set_from_text(Slot::Name, start + skipped..end)?;
            decoder.state.set(State::HAS_NAME);
        } else if let Some(skipped) = value_of(b"id", bytes) {
            if !has_nul(&bytes[skipped..]) {
                decoder.scratch.set_from_text(Slot::NextId, start + skipped..end)?;
                decoder.state.set(State::HAS_ID);
            }
        } else if let Some(skipped) = value_of(b"", bytes) {
            // The next step takes it out of the text.
            return Ok(Some(Step::Comment(Value::Kept(Span { start: start + skipped, end }))));
        } else if let Some(skipped) = value_of(b"retry", bytes) {
            let ms = milliseconds(&bytes[skipped..]);
            decoder.scratch.truncate(start);
            return Ok(ms.map(Step::Retry));
        }
        decoder.scratch.truncate(start);
        Ok(None)
    }

    /// The chunk is used up: its unfinished line goes to the decoder.
    #[inline(always)]
    fn keep_rest(&mut self) -> Result<(), DecodeError> {
        let rest = Span { start: self.position, end: self.input.len() };
        self.position = self.input.len();
        let decoder = &mut *self.decoder;
        let begins = !decoder.state.any(State::IN_LINE | State::HAS_DATA);
        decoder.state.set(State::IN_LINE);
        if begins && self.input.len() <= FEW {
            decoder.has_line_room(rest.len())?;
            decoder.line_start += decoder.scratch.push_back(self.input, rest.start)?;
            return Ok(());
        }
        self.keep_line(rest)
    }

    /// Appends to the unfinished line.
    #[inline(always)]
    fn keep_line(&mut self, part: Span) -> Result<(), DecodeError> {
        if self.input.len() > FEW {
            return self.keep_long_line(part);
        }
        if part.len() == 0 {
            return Ok(());
        }
        self.decoder.has_line_room(part.len())?;
        Ok(self.decoder.scratch.push_front(&self.input[part.start..], part.len())?)
    }

    /// What is kept is checked before it, while it is at hand. Small pieces are cheaper to check when they are together.
    #[inline]
    fn keeps_text(&self) -> bool {
        self.wants_text && self.input.len() >= LARGE && self.decoder.scratch.wants_text()
    }

    #[inline(always)]
    fn keep_long_line(&mut self, part: Span) -> Result<(), DecodeError> {
        let bytes = &self.input[part.start..part.end];
        let is_long = self.wants_text && self.decoder.scratch.is_long_text(bytes.len());
        if self.wants_text && self.decoder.scratch.wants_text() {
            let whole = last_boundary(bytes);
            let end = part.start + whole;
            // Where a line ends, the lines behind it are checked with it; where one goes on, it may be one of many small pieces.
            let text = if is_long || self.input.len() >= LARGE || part.end < self.input.len() {
                self.checked.get(self.input, part.start, end)
            } else {
                self.checked.known(part.start, end)
            };
            if let Some(text) = text {
                self.decoder.has_line_room(bytes.len())?;
                self.decoder.scratch.push_text(text)?;
                return if whole < bytes.len() { Ok(self.decoder.scratch.push(&bytes[whole..])?) } else { Ok(()) };
            }
        }
        self.decoder.keep_line(bytes)
    }

    /// Appends a data line to the event. There is no unfinished line.
    fn keep_data(&mut self, value: Span) -> Result<(), DecodeError> {
        let text = match self.keeps_text() {
            true => self.checked.get(self.input, value.start, value.end),
            false => None,
        };
        let decoder = &mut *self.decoder;
        let first = !decoder.state.any(State::HAS_DATA);
        let start = if first { decoder.line_start } else { decoder.data.start };
        match text {
            Some(text) => {
                if !first {
                    decoder.scratch.push_text("\n")?;
                }
                decoder.scratch.push_text(text)?;
            }
            None => {
                if !first {
                    decoder.scratch.push(b"\n")?;
                }
                decoder.scratch.push(&self.input[value.start..value.end])?;
            }
        }
        decoder.has_data(Span { start, end: decoder.scratch.text().len() })
    }

    /// What the chunk gave of an event that is not whole yet goes to the decoder.
    fn keep_found(&mut self, found: &mut Found<'i>) -> Result<(), DecodeError> {
        if let Some(data) = found.data.take() {
            self.keep_data(data)?;
        }
        if let Some(name) = found.name.take() {
            self.decoder.scratch.set_str(Slot::Name, name)?;
            self.decoder.state.set(State::HAS_NAME);
        }
        Ok(())
    }

    /// Drops the event and passes over what is left of it.
    #[cold]
    fn fail(&mut self, error: DecodeError, at_line_start: bool) -> DecodeError {
        self.decoder.abandon_event();
        self.decoder.phase = Phase::Skip { at_line_start };
        self.decoder.state.set(State::OUTSIDE);
        error
    }

    /// What is not the body of an event: the byte order mark, the LF of a CRLF, the rest of an event in error.
    #[cold]
    fn begin(&mut self) -> Result<(), DecodeError> {
        if self.decoder.state.any(State::OUTSIDE)
            && let Phase::Start { matched } = self.decoder.phase
        {
            self.match_byte_order_mark(usize::from(matched))?;
        }
        if self.decoder.state.any(State::AFTER_CR)
            && let Some(first) = self.input.get(self.position)
        {
            self.decoder.state.clear(State::AFTER_CR);
            if *first == b'\n' {
                self.position += 1;
                self.decoder.ends.take(self.input);
            }
        }
        if self.decoder.state.any(State::OUTSIDE)
            && let Phase::Skip { mut at_line_start } = self.decoder.phase
        {
            while let Some(line) = self.next_line() {
                if at_line_start && line.len() == 0 {
                    self.decoder.state.clear(State::OUTSIDE);
                    return Ok(());
                }
                at_line_start = true;
            }
            if self.position < self.input.len() {
                self.position = self.input.len();
                at_line_start = false;
            }
            self.decoder.phase = Phase::Skip { at_line_start };
        }
        Ok(())
    }

    /// One byte order mark at the very start is not part of the stream.
    fn match_byte_order_mark(&mut self, mut matched: usize) -> Result<(), DecodeError> {
        while let Some(byte) = self.input.get(self.position) {
            if *byte != BYTE_ORDER_MARK[matched] {
                self.decoder.state.clear(State::OUTSIDE);
                if matched > 0 {
                    // It was the beginning of a line instead; it may lie in chunks gone by.
                    self.decoder.state.set(State::IN_LINE);
                    if let Err(error) = self.decoder.keep_line(&BYTE_ORDER_MARK[..matched]) {
                        return Err(self.fail(error, false));
                    }
                }
                return Ok(());
            }
            self.position += 1;
            matched += 1;
            if matched == BYTE_ORDER_MARK.len() {
                self.decoder.state.clear(State::OUTSIDE);
                return Ok(());
            }
        }
        self.decoder.phase = Phase::Start { matched: matched as u8 };
        Ok(())
    }
}

/// Where a value lies: in the chunk, or in the text kept by the decoder.
#[derive(Clone, Copy, Debug)]
enum Value {
    Input(Span),
    Kept(Span),
}

/// What a chunk has given of the current event, borrowed from it.
struct Found<'i> {
    data: Option<Span>,
    name: Option<&'i str>,
}

enum Step<'i> {
    Event { data: Value, name: Name<'i>, has_id: bool },
    Comment(Value),
    Retry(u64),
    IdChanged,
}

enum Name<'i> {
    Found(&'i str),
    Kept,
}

impl<'a> Name<'a> {
    #[inline]
    fn resolve<'k>(self, kept: &'k str) -> &'k str
    where
        'a: 'k,
    {
        match self {
            Name::Found("") => "message",
            Name::Found(name) => name,
            Name::Kept if kept.is_empty() => "message",
            Name::Kept => kept,
        }
    }
}

/// Comparing two empty strings by `memcmp` can be slow out of all proportion: their pointers dangle.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && (a.is_empty() || a == b)
}

/// Up to this length, bytes are looked at without a mask.
const FEW: usize = 64;

/// So far behind a name there may be another.
const NEAR: usize = 512;

/// From this length of a chunk on, its pieces are large.
const LARGE: usize = 4096;

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
