//! Encoding: the parts of an event to bytes.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use sse_proto::wire::{EventName, Frame, IdField};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{self, Failure};

/// One frame; what is left out does not appear.
///
/// # Errors
///
/// `invalid-field` with the field `event` or `id`.
#[wasm_bindgen]
pub fn encode(
    event: Option<String>,
    data: Option<String>,
    id: Option<String>,
    retry: Option<u32>,
    comment: Option<String>,
) -> Result<Vec<u8>, JsValue> {
    let frame = frame(event.as_deref(), data.as_deref(), id.as_deref(), retry, comment.as_deref())?;
    let mut out = Vec::new();
    frame.pieces(|piece| out.extend_from_slice(piece));
    Ok(out)
}

pub(crate) fn frame(
    event: Option<&str>,
    data: Option<&str>,
    id: Option<&str>,
    retry: Option<u32>,
    comment: Option<&str>,
) -> Result<Frame<Vec<u8>>, Failure> {
    let event = sse_proto::wire::Event {
        id: id.map(IdField::new).transpose().map_err(|error| error::field("id", error))?,
        event: event.map(EventName::new).transpose().map_err(|error| error::field("event", error))?,
        retry,
        data,
        comment,
    };
    Ok(Frame::new(&event, |len| vec![0; len]))
}
