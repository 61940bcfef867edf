//! Encoding: the parts of an event to bytes.

use alloc::string::String;
use alloc::vec::Vec;

use sse_proto::wire::{Encode, Event, EventName, IdField};

use crate::error::{self, Failure};
use crate::hub::record::Writer;
use crate::record::Reader;

/// One frame; what is left out does not appear.
///
/// # Errors
///
/// The field `event` or `id` cannot be one.
pub fn encode(record: &mut Reader<'_>, answer: &mut Writer) -> Result<f64, Failure> {
    let mut frame = Vec::new();
    pieces(&event(record)?, &mut frame);
    answer.bytes(&frame);
    Ok(0.0)
}

/// What an event was encoded to, until it is published.
pub(crate) struct Encoded {
    id: Option<String>,
    body: Vec<u8>,
}

impl Encoded {
    pub(crate) const fn of(body: Vec<u8>) -> Self {
        Self { id: None, body }
    }

    pub(crate) fn read(record: &mut Reader<'_>) -> Result<Self, Failure> {
        let event = event(record)?;
        let mut body = Vec::new();
        pieces(&Event { id: None, ..event }, &mut body);
        Ok(Self { id: event.id.map(|id| id.as_str().into()), body })
    }
}

impl Encode for Encoded {
    fn id(&self) -> Option<IdField<'_>> {
        IdField::new(self.id.as_deref()?).ok()
    }

    fn body_len(&self) -> usize {
        self.body.len()
    }

    fn encode_body(&self, out: &mut [u8]) -> usize {
        if let Some(out) = out.get_mut(..self.body.len()) {
            out.copy_from_slice(&self.body);
        }
        self.body.len()
    }
}

/// Event, data, id, reconnection time and comment.
fn event<'a>(record: &mut Reader<'a>) -> Result<Event<'a>, Failure> {
    let (event, data, id) = (record.text_or_none()?, record.text_or_none()?, record.text_or_none()?);
    let (retry, comment) = (record.float()?, record.text_or_none()?);
    Ok(Event {
        id: id.map(IdField::new).transpose().map_err(|error| error::field("id", error))?,
        event: event.map(EventName::new).transpose().map_err(|error| error::field("event", error))?,
        retry: (!retry.is_nan()).then_some(retry as u32),
        data,
        comment,
    })
}

/// By one function that is called for each piece: inlined into an event's many places it would be several times as large.
fn pieces(event: &Event<'_>, out: &mut Vec<u8>) {
    let put: &mut dyn FnMut(&[u8]) = &mut |piece| out.extend_from_slice(piece);
    event.pieces(put);
}
