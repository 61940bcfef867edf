//! What `sse-load` says of servers that do not do what they should.

use std::net::TcpListener;

use super::server::{self, Does, Manners};
use super::{faults, load, number};

/// Publishes 40 messages to 5 readers, one request at a time.
fn run(manners: Manners, more: &[&str]) -> (Option<i32>, serde_json::Value, String) {
    let url = format!("http://{}/", server::start(manners));
    let args = ["-n", "5", "--publish", &url, "--messages", "40", "--flood", "1", "--size", "40", "--patience", "0.3", &url];
    load(&[&args, more].concat())
}

#[test]
fn every_delivery_is_accounted_for_in_every_framing_at_every_cut() {
    for chunked in [true, false] {
        for pace in [&["--flood", "1"][..], &["--lockstep"], &["--outstanding", "8"], &["--rate", "400"]] {
            let url = format!("http://{}/", server::start(Manners { chunked, ..Manners::default() }));
            let args = ["-n", "5", "--publish", &url, "--messages", "160", "--size", "40", &url];
            let (code, report, stderr) = load(&[&args, pace].concat());
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{report}");
            assert_eq!((number(&report, "/deliver/received"), faults(&report)), (800, [0; 4]), "chunked: {chunked}, {pace:?}");
            assert!(report.pointer("/latency_ms/p99").unwrap().as_f64().unwrap() > 0.0);
        }
    }
}

#[test]
fn what_is_lost_repeated_or_swapped_is_said_and_is_code_1() {
    let check = |does: fn(usize, usize) -> Does, expected: [u64; 4]| {
        let (code, report, _) = run(Manners { does, ..Manners::default() }, &[]);
        assert_eq!((code, faults(&report)), (Some(1), expected), "{report}");
        assert_eq!(number(&report, "/deliver/expected"), 200);
        let (code, ..) = run(Manners { does, ..Manners::default() }, &["--allow-loss"]);
        assert_eq!(code, Some(0));
    };
    check(|message, reader| if reader == 2 && message % 10 == 3 { Does::Lose } else { Does::Deliver }, [4, 0, 0, 0]);
    check(|message, reader| if reader < 2 && message % 10 == 3 { Does::Repeat } else { Does::Deliver }, [0, 8, 0, 0]);
    check(|message, reader| if reader == 4 && message % 10 == 3 { Does::Hold } else { Does::Deliver }, [0, 0, 4, 0]);
    check(
        |message, reader| match (message, reader) {
            (7, 0) | (39, 1) => Does::Lose,
            (8, 0) => Does::Repeat,
            (9, 0) => Does::Hold,
            _ => Does::Deliver,
        },
        [2, 1, 1, 0],
    );
}

#[test]
fn a_stream_that_the_server_ends_is_said_and_what_it_lacks_is_lost() {
    let does = |message, reader| if (message, reader) == (30, 3) { Does::End } else { Does::Deliver };
    let (code, report, _) = run(Manners { does, ..Manners::default() }, &[]);
    assert_eq!((code, number(&report, "/deliver/streams_ended"), faults(&report)), (Some(1), 1, [10, 0, 0, 0]), "{report}");
}

#[test]
fn in_lockstep_a_loss_ends_the_run_when_patience_does() {
    let does = |message, reader| if (message, reader) == (5, 3) { Does::Lose } else { Does::Deliver };
    let url = format!("http://{}/", server::start(Manners { does, ..Manners::default() }));
    let (code, report, _) = load(&["-n", "5", "--publish", &url, "--messages", "40", "--lockstep", "--patience", "0.2", &url]);
    assert_eq!((code, number(&report, "/publish/sent"), faults(&report)), (Some(1), 6, [1, 0, 0, 0]), "{report}");
}

#[test]
fn refused_publications_are_counted_and_not_expected() {
    let (code, report, _) = run(Manners { answers: "503 Service Unavailable", ..Manners::default() }, &[]);
    assert_eq!((code, number(&report, "/publish/refused"), number(&report, "/deliver/expected")), (Some(1), 40, 0), "{report}");
    assert_eq!(report["publish"]["first_refusal"], "the server answered 503");
}

#[test]
fn a_server_that_cannot_be_used_is_one_line_and_code_2() {
    let check = |args: &[&str], says: &str| {
        let (code, report, stderr) = load(args);
        assert_eq!((code, report), (Some(2), serde_json::Value::Null), "{args:?}: {stderr}");
        assert!(stderr.starts_with("sse-load: ") && stderr.contains(says) && stderr.lines().count() == 1, "{args:?}: {stderr}");
    };
    let refuses = server::start(Manners { refuses: Some("503 Service Unavailable"), ..Manners::default() });
    check(&["-n", "3", &format!("http://{refuses}/")], "the server answered 503");
    let unknown = server::start(Manners { answers: "404 Not Found", ..Manners::default() });
    let unknown = format!("http://{unknown}/");
    check(&["-n", "3", "--publish", &unknown, &unknown], "publishing: the server answered 404");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/", silent.local_addr().unwrap());
    check(&["-n", "3", "--open-timeout", "0.2", &silent], "3 streams are not answered within 200ms");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(&["-n", "3", &format!("http://{closed}/")], "refused");
    check(&["--server-pid", "4194305", &silent], "--server-pid 4194305");
    check(&["-n", "4000000000", &silent], "descriptors are needed");
    check(&["--publish", &unknown, "--body", "hello", &unknown], "{data}");
}

#[test]
fn mistakes_are_said_before_anything_is_opened() {
    for (args, says) in [
        (&["http://example.com/"][..], "not on loopback"),
        (&["http://10.0.0.1/"], "not on loopback"),
        (&["https://127.0.0.1/"], "only http://"),
        (&["--lockstep", "--flood", "2", "http://127.0.0.1:1/"], "cannot be used with"),
        (&["--stalled", "101", "http://127.0.0.1:1/"], "--stalled 101 is more than"),
        (&["--messages", "1", "http://127.0.0.1:1/"], "--publish"),
        (&["--publish", "http://127.0.0.1:1/", "--size", "15", "http://127.0.0.1:1/"], "15"),
    ] {
        let (code, _, stderr) = load(args);
        assert!(code == Some(2) && stderr.contains(says), "{args:?}: {stderr}");
    }
}

#[test]
fn help_shows_the_placeholders_and_a_line_to_copy() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sse-load")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for shown in ["in URL, {n} is", "events?topic=t{n}'", r#"'{"to":{"topic":"t{n}"},"data":"{data}"}'"#] {
        assert!(help.contains(shown), "no {shown} in {help}");
    }
}
