//! The encoder, byte by byte.

use sse_proto::wire::{BufferTooSmall, Encode, Event, EventName, Frame, IdField, Lines};

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
    event.encode_to_vec(&mut appended);
    Frame::new(&event, |len| vec![0; len]).encode_to(&mut appended);
    assert_eq!(appended, format!("before{expected}{expected}{expected}").into_bytes());
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

/// Data of every length around the borders of blocks and regions, with a break of every kind and what only looks like one at every
/// place: by slice, by `Vec`, measured, and by a naive twin.
#[test]
fn a_break_is_found_wherever_it_stands() {
    for len in
        (0..=70usize).chain([95, 96, 127, 128, 129, 255, 256, 257, 258, 319, 320, 321, 511, 512, 513, 600, 2047, 2048, 4500])
    {
        for inserted in ["", "\n", "\r", "\r\n", "\n\r", "\u{B}", "\u{C}", "\t\u{E}"] {
            for at in (0..=len).step_by(if len < 130 { 1 } else { 7 }).chain([len.saturating_sub(1), len]) {
                let (front, behind) = (&"x".repeat(at), &"é".repeat(len)[..2 * ((len - at) / 2)]);
                let data = format!("{front}{inserted}{behind}");
                check_against_twin(Event::data(&data));
                check_against_twin(Event { id: Some(IdField::new(" 1").unwrap()), comment: Some(&data), ..Event::data(&data) });
            }
        }
    }
}

fn check_against_twin(event: Event<'_>) {
    let mut expected = String::new();
    if let Some(id) = event.id {
        expected += &format!("id: {}\n", id.as_str());
    }
    for (name, value) in [("data", event.data), ("", event.comment)] {
        let Some(value) = value else { continue };
        for line in value.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
            expected += &format!("{name}:{}{line}\n", if line.starts_with(' ') { " " } else { "" });
        }
    }
    expected += "\n";
    let ways: [fn(&Event<'_>, &mut Vec<u8>); 2] = [|event, out| event.encode_to(out), |event, out| event.encode_to_vec(out)];
    for encode in ways {
        let mut appended = Vec::new();
        encode(&event, &mut appended);
        assert!(appended == expected.as_bytes(), "{event:?} appended");
    }
    assert_eq!(event.encoded_len(), expected.len(), "{event:?}");
    for room in [expected.len(), expected.len() + 200, 16 << 10] {
        let mut out = vec![0xAA; room];
        assert_eq!(event.encode(&mut out), Ok(expected.len()), "{event:?}");
        assert!(out[..expected.len()] == *expected.as_bytes(), "{event:?} in {room} bytes");
        assert!(out[expected.len()..].iter().all(|&byte| byte == 0xAA), "{event:?} wrote past its length");
    }
    let mut short = vec![0; expected.len() - 1];
    assert_eq!(event.encode(&mut short), Err(BufferTooSmall { needed: expected.len() }));
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
    for lines in ["data:x", "\n", "data:x\n\n", "\ndata:x\n", "data:x\n\ndata:y\n", "data:x\r\n", "data:x\rdata:y\n"] {
        assert_eq!(Lines::new(lines.as_bytes()), None, "{lines:?}");
    }
    for lines in ["", "data:x\n", "data:x\ndata:y\n"] {
        assert_eq!(Lines::new(lines.as_bytes()).map(Lines::as_bytes), Some(lines.as_bytes()));
    }
}

/// Long data is copied while it is looked through: a break near its end is found when most of it has been written.
#[test]
fn long_data_with_a_break_is_refused_or_split_whatever_was_written_before() {
    for at in [0, 255, 256, 300, 599] {
        let mut data = "x".repeat(600);
        data.replace_range(at..at + 1, "\n");
        let event = Event::data(&data);
        let needed = event.encoded_len();
        assert_eq!(event.encode(&mut vec![0; needed - 1]), Err(BufferTooSmall { needed }));
        let mut exact = vec![0; needed];
        assert_eq!(event.encode(&mut exact), Ok(needed));
        let expected = format!("data:{}\ndata:{}\n\n", "x".repeat(at), "x".repeat(599 - at));
        assert_eq!(String::from_utf8(exact).unwrap(), expected);
    }
}
