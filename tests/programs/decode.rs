//! The example `decode`: bytes in, lines of JSON out.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sse_tests::decoding::Seen;
use sse_tests::vectors::{Vector, vectors};

#[test]
fn every_vector_in_chunks_of_every_size() {
    let vectors = vectors();
    std::thread::scope(|scope| {
        for chunk in ["1", "2", "3", "7", "64", "4096"] {
            let vectors = &vectors;
            scope.spawn(move || vectors.iter().for_each(|vector| check_vector(vector, chunk)));
        }
    });
}

fn check_vector(vector: &Vector, chunk: &str) {
    let mut expected: Vec<Value> = Vec::new();
    for event in &vector.events {
        let Seen::Event { event, data, last_event_id } = event else { panic!("{event:?}") };
        expected.push(json!({ "type": event, "data": data, "last_event_id": last_event_id }));
    }
    let max_event = vector.max_event.map(|bytes| bytes.to_string());
    let mut args = vec!["--chunk", chunk, "--last-event-id", &vector.initial];
    args.extend(max_event.iter().flat_map(|bytes| ["--max-event", bytes]));
    let output = decode(&args, &vector.input);
    let at = format!("{} in chunks of {chunk}", vector.name);
    assert!(output.status.success(), "{at}: {output:.1000?}");
    assert!(output.stdout.is_ascii(), "{at}: some readers split lines at U+2028");
    let mut lines: Vec<Value> =
        output.stdout.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
    let end = lines.pop().unwrap();
    assert!(lines == expected, "{at}: {lines:.1000?}");
    let retry = end["retry_ms"].as_u64();
    assert!(vector.retries.contains(&retry), "{at}: {end:.1000}");
    assert!(end == json!({ "final_last_event_id": vector.last_event_id, "retry_ms": retry }), "{at}: {end:.1000}");
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaints.lines().count(), vector.errors, "{at}: {complaints}");
}

#[test]
fn values_come_as_the_next_word_or_behind_an_equals_sign() {
    for args in [&["--last-event-id", "a=b", "--max-event", "1"][..], &["--last-event-id=a=b", "--max-event=1"]] {
        let output = decode(args, b"data: x\n\ndata: xy\n\n");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let expected = [
            json!({ "type": "message", "data": "x", "last_event_id": "a=b" }),
            json!({ "final_last_event_id": "a=b", "retry_ms": null }),
        ];
        let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, expected, "{args:?}");
    }
}

#[test]
fn a_mistake_is_one_line_and_code_1() {
    for (args, says) in [
        (&["--chunks", "1"][..], "--chunk"),
        (&["--chunk"], "takes a value"),
        (&["--chunk", "many"], "a number"),
        (&["--max-event", "-1"], "a number"),
        (&["--last-event-id", "a\nb"], "line break"),
        (&["stream.txt"], "stream.txt"),
    ] {
        let output = decode(args, b"data: x\n\n");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{args:?}: {complaint}");
        assert!(complaint.contains(says) && complaint.lines().count() == 1, "{args:?}: {complaint}");
    }
}

/// `cargo test --workspace` builds the example; a run that names a test alone does not.
fn decode(args: &[&str], input: &[u8]) -> Output {
    let directory = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
    let program = directory.join("decode");
    assert!(program.exists(), "{} is not built: run cargo build -p sse-proto --example decode", program.display());
    let mut child =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // It may end, and close its side, without having read everything.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}
