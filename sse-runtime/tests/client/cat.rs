//! `sse-cat` as a person and as a script runs it.

use std::io::Write as _;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::support::{Hub, NO_CONTENT, OK, Server, program, within};

const BIN: &str = env!("CARGO_BIN_EXE_sse-cat");

async fn cat(args: &[&str]) -> (i32, String, String) {
    let output = within(Command::new(BIN).args(args).stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
    parts(&output)
}

fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn in_a_pipe_there_is_nothing_but_data() {
    let first = format!("{OK}: hello\nid: 1\nevent: tick\nretry: 1\ndata: a\ndata: \u{1b}[31mb\n\n");
    let second = format!("{OK}data: ü\n\n");
    let server = Server::answers(&[&first, "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", &second, NO_CONTENT]).await;
    let (code, stdout, stderr) = cat(&["--retry", "1ms", &server.url("/")]).await;
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "a\n\u{1b}[31mb\nü\n", ""));
    let ids: Vec<String> = server.requests().iter().map(|request| request.header("last-event-id").to_owned()).collect();
    assert_eq!(ids, ["", "1", "1", "1"]);
}

#[tokio::test]
async fn json_is_one_object_a_line_and_pretty_shows_what_could_steer_a_terminal() {
    let answer = format!("{OK}data: 0\n\nid: 1\nevent: tick\ndata: a\ndata: \u{1b}[31m\"b\"\n\n");
    let server = Server::answers(&[&answer]).await;
    let (code, stdout, _) = cat(&["--json", "--max-events", "2", &server.url("/")]).await;
    let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        serde_json::json!({ "event": "message", "data": "0", "id": "" }),
        serde_json::json!({ "event": "tick", "data": "a\n\u{1b}[31m\"b\"", "id": "1" }),
    ];
    assert_eq!((code, lines.as_slice()), (0, expected.as_slice()));
    let (code, stdout, _) = cat(&["--pretty", "-n", "2", &server.url("/")]).await;
    assert_eq!((code, stdout.as_str()), (0, "message\n  0\ntick 1\n  a\n  \\u{1b}[31m\"b\"\n"));
}

#[tokio::test]
async fn it_sends_headers_a_body_from_a_file_and_where_to_resume() {
    let server = Server::answers(&[&format!("{OK}data: x\n\n")]).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all("{\"prompt\":\"ü\"}".as_bytes()).unwrap();
    let data = format!("@{}", file.path().display());
    let args = ["--once", "-H", "X-Mine: a: b", "--data", &data, "--last-event-id", "7", &server.url("/v1")];
    assert_eq!(cat(&args).await, (0, "x\n".to_owned(), String::new()));
    let request = &server.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str(), request.body.as_str()),
        ("POST", "/v1", "{\"prompt\":\"ü\"}")
    );
    assert_eq!((request.header("x-mine"), request.header("last-event-id")), ("a: b", "7"));
    cat(&["--once", "-X", "PUT", "--data", "raw", &server.url("/")]).await;
    assert_eq!((server.requests()[1].method.as_str(), server.requests()[1].body.as_str()), ("PUT", "raw"));
}

#[tokio::test]
async fn exit_codes_tell_a_script_what_happened() {
    let check = async |answers: &[&str], args: &[&str], code: i32, says: &str| {
        let server = Server::answers(answers).await;
        let url = server.url("/");
        let mut all = vec!["--retry", "1ms"];
        all.extend(args);
        all.push(&url);
        let (got, _, stderr) = cat(&all).await;
        assert_eq!(got, code, "{answers:?} {args:?}: {stderr}");
        assert!(stderr.contains(says) && stderr.lines().count() == usize::from(!says.is_empty()), "{stderr}");
    };
    let events = format!("{OK}data: x\n\n");
    let event = events.as_str();
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\ndata: x\n\n";
    check(&[event], &["-n", "1"], 0, "").await;
    check(&[event], &["-n", "3"], 0, "").await;
    check(&[event], &["--once"], 0, "").await;
    check(&[event, NO_CONTENT], &[], 0, "").await;
    check(&["HTTP/1.1 404 Not Found\r\n\r\n"], &[], 1, "404").await;
    check(&["HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n"], &[], 1, "not an event stream").await;
    check(&["HTTP/1.1 302 Elsewhere\r\nlocation: /\r\n\r\n"], &[], 1, "without end").await;
    check(&["HTTP/1.1 500 Oops\r\n\r\n"], &["--max-attempts", "2"], 3, "500").await;
    check(&[cut], &["--once"], 3, "failed").await;
    let (code, stdout, stderr) = cat(&["--retri", "1ms", "http://x/"]).await;
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("sse-cat: ") && stderr.contains("--retry"), "{stderr}");
    for (args, says) in [
        (vec!["ftp://x/"], "http://"),
        (vec!["-H", "nonsense", "http://x/"], "--header"),
        (vec!["--data", "@/nowhere/x", "http://x/"], "/nowhere/x"),
        (vec!["--liveness", "soon", "http://x/"], "--liveness"),
        (vec!["--liveness", "0s", "http://x/"], "--liveness"),
        (vec!["--max-attempts", "0", "http://x/"], "--max-attempts"),
        (vec!["--remember-ids", "99999999999999999", "http://x/"], "at most"),
        (vec!["--data", "@", "http://x/"], "\"\""),
        (vec!["http://127.0.0.1:99999/"], "port"),
    ] {
        let (code, stdout, stderr) = cat(&args).await;
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.starts_with("sse-cat: ") && stderr.contains(says), "{stderr}");
    }
}

#[tokio::test]
async fn each_event_is_there_when_it_comes_and_a_reader_that_leaves_is_no_mistake() {
    let server = Server::start(|_, _, mut socket| async move {
        socket.write_all(OK.as_bytes()).await.unwrap();
        while socket.write_all(b"data: x\n\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut child = Command::new(BIN).arg(server.url("/")).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut stdout = tokio::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    within(tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut line)).await.unwrap();
    assert_eq!(line, "x\n");
    drop(stdout);
    assert_eq!(within(child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn on_a_terminal_it_shows_its_state_and_stays_quiet_when_told() {
    let answer = format!("{OK}id: 1\nevent: tick\ndata: a\n\n");
    let run = async |args: &str| {
        let server = Server::answers(&[&answer, NO_CONTENT]).await;
        let command = format!("{BIN} --retry 1ms {args} {}", server.url("/"));
        // `script` gives it a terminal, and its own output is no terminal.
        let mut script = Command::from(program("/usr/bin/script", "bsdutils"));
        let output = script
            .args(["-qec", &command, "/dev/null"])
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let (code, stdout, _) = parts(&within(output).await.unwrap());
        assert_eq!(code, 0, "{stdout}");
        stdout
    };
    let shown = run("").await;
    for part in ["asking http://", "open: http://", "\u{1b}[1;36mtick", "  a", "the server ended the stream", "again in", "204"]
    {
        assert!(shown.contains(part), "no {part:?} in {shown:?}");
    }
    assert_eq!(run("--quiet").await, "a\r\n");
    let mixed = run("--verbose --json").await;
    assert!(mixed.contains("open: ") && mixed.contains("{\"data\":\"a\""), "{mixed:?}");
}

#[tokio::test]
async fn it_follows_our_hub() {
    let hub = Hub::start();
    hub.publish("news", 0..3, 0).await;
    let url = format!("http://{}/sse/events?topic=news&lastEventId=earliest", hub.address);
    let (code, stdout, stderr) = cat(&["--json", "-n", "4", &url]).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let events: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<&str> =
        events.iter().filter(|event| event["event"] == "number").filter_map(|event| event["data"].as_str()).collect();
    assert_eq!(numbers, ["0\n", "1\n", "2\n"], "{stdout}");
    // And resumes where a script says.
    let resumed = cat(&["-n", "2", "--last-event-id", events[2]["id"].as_str().unwrap(), &hub.url("news")]).await;
    assert!(resumed.1.ends_with("2\n\n") && !resumed.1.contains("1\n\n"), "{resumed:?} {stdout}");
}
