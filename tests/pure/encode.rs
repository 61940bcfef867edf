//! The encoder, byte by byte.

use sse_proto::wire::{BufferTooSmall, Encode, Event, EventName, Frame, IdField};

fn check(event: Event<'_>, expected: &str) {
    let mut out = [0xAA; 256];
    let len = event.encode(&mut out).unwrap();
    assert_eq!(core::str::from_utf8(&out[..len]).unwrap(), expected);
    assert_eq!(event.encoded_len(), len);
    assert_eq!(event.encode(&mut out[..len - 1]), Err(BufferTooSmall { needed: len }));
    let mut body = [0xAA; 256];
    event.encode_body(&mut body[..event.body_len()]);
    assert!(expected.ends_with(core::str::from_utf8(&body[..event.body_len()]).unwrap()));
    let mut appended = b"before".to_vec();
    event.encode_to(&mut appended);
    Frame::new(&event, |len| vec![0; len]).encode_to(&mut appended);
    assert_eq!(appended, format!("before{expected}{expected}").into_bytes());
    assert!(out[len..].iter().all(|&byte| byte == 0xAA), "wrote past its length");
}

#[test]
fn fields_in_order() {
    let event = Event {
        id: Some(IdField::new("i1").unwrap()),
        event: Some(EventName::new("ev").unwrap()),
        data: Some(r#"{"hello":"world"}"#),
        ..Event::default()
    };
    check(event, "id:i1\nevent:ev\ndata:{\"hello\":\"world\"}\n\n");
}

#[test]
fn line_breaks_of_every_kind_split_data() {
    check(Event::data("a\nb\rc\r\nd\n"), "data:a\ndata:b\ndata:c\ndata:d\ndata:\n\n");
    check(Event::comment("a\rb"), ":a\n:b\n\n");
}

#[test]
fn as_many_lines_as_there_are() {
    for breaks in 0..20 {
        let data = ["x", "", " y"].into_iter().cycle().take(breaks + 1).collect::<Vec<_>>();
        let expected: String =
            data.iter().map(|line| format!("data:{}{line}\n", &line[..usize::from(line.starts_with(' '))])).collect();
        for separator in ["\n", "\r", "\r\n"] {
            check(Event::data(&data.join(separator)), &format!("{expected}\n"));
        }
    }
}

#[test]
fn a_leading_space_survives() {
    check(Event::data(" a\n b"), "data:  a\ndata:  b\n\n");
}

#[test]
fn a_named_event_always_dispatches() {
    check(Event { event: Some(EventName::new("ev").unwrap()), ..Event::default() }, "event:ev\ndata:\n\n");
}

#[test]
fn retry_in_milliseconds() {
    check(Event { retry: Some(100), ..Event::default() }, "retry:100\n\n");
    check(Event { retry: Some(0), ..Event::default() }, "retry:0\n\n");
}

#[test]
fn what_breaks_framing_cannot_be_built() {
    assert_eq!(EventName::new("a\nb").unwrap_err().position, 1);
    assert_eq!(IdField::new("ab\0").unwrap_err().position, 2);
    assert!(EventName::new("nul\0is fine here").is_ok());
}
