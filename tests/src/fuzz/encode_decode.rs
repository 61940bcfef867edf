//! Any events: every way to encode them agrees, and they decode to what was meant.

use super::{Choices, cuts};
use crate::encoding::{Sent, check_fields, check_round_trip};

/// Places to cut at, then events: which fields, and a text for each.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let places = choices.places();
    let mut events = Vec::new();
    while !choices.is_empty() {
        events.push(event(&mut choices));
    }
    check_round_trip(&events, |len| cuts(&places, len));
}

fn event(choices: &mut Choices<'_>) -> Sent {
    let fields = choices.byte();
    let mut text = |bit: u8| (fields & bit != 0).then(|| choices.text());
    let (id, name, data, comment) = (text(1), text(2), text(4), text(8));
    for value in [&id, &name].into_iter().flatten() {
        check_fields(value);
    }
    Sent {
        id: id.map(|id| id.replace(['\r', '\n', '\0'], "")),
        event: name.map(|name| name.replace(['\r', '\n'], "")),
        retry: (fields & 16 != 0).then(|| u32::from(choices.short()) << (fields >> 5 << 1)),
        // Some are so long that they are encoded another way.
        data: data.map(|data| data.repeat(1 + 3 * usize::from(fields >> 5))),
        comment,
    }
}
