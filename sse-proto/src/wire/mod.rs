//! The wire format of `text/event-stream` (WHATWG HTML, section 9.2): values that are proven not to break the framing, the
//! encoder and the decoder.
//!
//! This module owns no connection and knows no clock; it turns values into bytes and bytes into values.

mod decode;
pub(crate) mod encode;
mod field;
pub(crate) mod measure;
mod scan;
pub(crate) mod utf8;

pub use decode::{DecodeError, Decoder, Feed, Item, Limits, MessageEvent};
pub use encode::{BufferTooSmall, Encode, Event, Frame};
pub(crate) use encode::{decimal, id_line_len, line};
pub use field::{EventName, FieldError, FieldErrorKind, IdField, Lines};
