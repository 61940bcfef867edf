//! `sse-hub` at work: it listens, answers, and ends when it is asked to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

/// A running program, which ends with this.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::run(&mut command(args, env))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix("/\n")?.parse().ok())
            .unwrap_or_else(|| panic!("the first line: {line:?}"));
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("connects");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        socket
    }

    /// The whole answer to a GET.
    fn get(&self, path: &str) -> String {
        let mut socket = self.connect();
        write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// A stream whose greeting has come.
    fn stream(&self, path: &str) -> TcpStream {
        let mut socket = self.connect();
        write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        let mut text = String::new();
        while !text.contains("id:") {
            let mut buffer = [0; 1024];
            let read = socket.read(&mut buffer).expect("a greeting");
            assert!(read > 0, "the stream ended after {text:?}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        socket
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.expect("kill").success());
    }

    /// Its exit code and what it logged.
    fn ended(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                let mut log = String::new();
                let stderr = self.child.stderr.as_mut().expect("piped");
                stderr.read_to_string(&mut log).expect("a log");
                return (status.code(), log);
            }
            assert!(begun.elapsed() < DEADLINE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-hub"));
    command.args(["--listen", "127.0.0.1:0"]).args(args).env_clear().env("PATH", "/usr/bin:/bin").envs(env.iter().copied());
    command
}

#[test]
fn it_tells_its_health_and_what_it_counts() {
    let hub = Program::start(&["--shards", "2"], &[]);
    assert!(hub.get("/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(hub.get("/readyz").ends_with("\r\n\r\nready"));
    let _stream = hub.stream("/sse/register-listener/bob_1");
    let metrics = hub.get("/metrics");
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"), "{metrics}");
    for line in ["sse_hub_connections 1", "sse_hub_clients 1", "sse_hub_gaps_total{reason=\"epoch\"} 0", "# EOF"] {
        assert!(metrics.lines().any(|found| found.trim_end() == line), "{line} in {metrics}");
    }
    assert!(hub.get("/").contains("<!doctype html>") || hub.get("/").contains("<!DOCTYPE html>"));
}

#[test]
fn terminate_tells_streams_to_come_back_at_different_times() {
    for signal in ["-TERM", "-INT"] {
        // It ends when all have taken their last frame, not when the time for that is over.
        let set = ["--set", "shutdown.retry=2s", "--set", "shutdown.retry_spread=8s", "--set", "shutdown.grace=1h"];
        let hub = Program::start(&set, &[]);
        let mut streams: Vec<TcpStream> = (0..12).map(|n| hub.stream(&format!("/sse/events?client=bob_{n}"))).collect();
        let idle = hub.connect();
        hub.signal(signal);
        let mut retries = Vec::new();
        for stream in &mut streams {
            let mut rest = String::new();
            stream.read_to_string(&mut rest).expect("an orderly end");
            assert!(rest.ends_with("\n\n"), "the last frame is whole: {rest:?}");
            let retry = rest.lines().find_map(|line| line.strip_prefix("retry:"));
            retries.push(retry.and_then(|retry| retry.parse::<u32>().ok()).unwrap_or_else(|| panic!("{rest:?}")));
        }
        let (code, log) = hub.ended();
        assert_eq!(code, Some(0), "{log}");
        assert!(retries.iter().all(|retry| (2_000..=10_000).contains(retry)), "{retries:?}");
        let (least, most) = (retries.iter().min(), retries.iter().max());
        assert!(most.zip(least).is_some_and(|(most, least)| most - least > 2_000), "spread: {retries:?}");
        drop(idle);
    }
}

#[test]
fn a_stream_that_does_not_read_does_not_hold_it_up_longer_than_the_grace() {
    let hub = Program::start(&["--set", "shutdown.grace=300ms", "--set", "timers.write_stall=1h"], &[]);
    let _stuck = hub.stream("/sse/events?topic=t");
    let event = format!(r#"{{"to":"all","data":"{}"}}"#, "x".repeat(60_000));
    for _ in 0..150 {
        let mut socket = hub.connect();
        write!(
            socket,
            "POST /sse/publish HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{event}",
            event.len()
        )
        .expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    hub.signal("-TERM");
    let (code, log) = hub.ended();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_port_in_use_is_one_line_and_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let output =
        Command::new(env!("CARGO_BIN_EXE_sse-hub")).args(["--listen", &address]).env_clear().output().expect("sse-hub starts");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{stderr}");
    assert!(stderr.starts_with(&format!("sse-hub: cannot listen on {address}: ")) && stderr.contains("port 0"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn too_few_descriptors_to_start_with_are_told_with_what_to_do() {
    for descriptors in [16, 40] {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_sse-hub")]);
        let output =
            limited.args(["--listen", "127.0.0.1:0", "--shards", "8", "--log", "error"]).output().expect("sse-hub starts");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.starts_with("sse-hub: shard ") && stderr.contains("ulimit -n"), "{stderr}");
    }
}

#[test]
fn beyond_loopback_it_wants_a_token_and_then_asks_for_it() {
    let hub = Program::start(&[], &[("SSE_HUB_TOKEN", "0123456789abcdef")]);
    assert!(hub.get("/sse/list-registrants").starts_with("HTTP/1.1 401 "));
    hub.stream("/sse/register-listener/bob_1");
    for (listen, token) in [("0.0.0.0:0", None), ("[::]:0", None), ("0.0.0.0:0", Some("short"))] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sse-hub"));
        command.args(["--listen", listen]).env_clear();
        if let Some(token) = token {
            command.env("SSE_HUB_TOKEN", token);
        }
        let output = command.output().expect("sse-hub starts");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains("token") && !stderr.contains("\"short\""), "{stderr}");
    }
}

#[test]
fn m20_diagnostics_come_when_asked_for_and_never_show_a_whole_id() {
    let id = "bob_abcdefghijklmnopqrstuvwxyz";
    for (log, told) in [("sse_runtime=debug", true), ("info", false)] {
        let hub = Program::start(&["--log", log, "--log-format", "json"], &[]);
        drop(hub.stream(&format!("/sse/register-listener/{id}")));
        hub.signal("-TERM");
        let (code, log) = hub.ended();
        assert_eq!((code, log.contains("\"registered\"")), (Some(0), told), "{log}");
        assert!(!log.contains(id), "{log}");
        assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    }
}

#[test]
fn m1_m3_options_reach_the_routes() {
    let hub = Program::start(&["--prefix", "/x/y/", "--set", "policy.id_form=compatible"], &[]);
    let answer = hub.get("/x/y/make-id/bob");
    let id = answer.split("\r\n\r\n").nth(1).expect("a body");
    assert!(id.starts_with("bob_") && id.len() < 16, "{answer}");
    assert!(hub.get("/sse/make-id/bob").starts_with("HTTP/1.1 404 "));
}

/// A built example. `cargo test` builds them; a test run that names one test target alone does not.
fn example(name: &str) -> Command {
    let directory = std::path::Path::new(env!("CARGO_BIN_EXE_sse-hub")).parent().expect("a directory");
    let program = directory.join("examples").join(name);
    assert!(program.exists(), "{} is not built: run cargo build -p sse-runtime --examples", program.display());
    Command::new(program)
}

/// Reads until `expected` has come.
fn expect(socket: &mut TcpStream, expected: &str) {
    let mut text = String::new();
    while !text.contains(expected) {
        let mut buffer = [0; 1024];
        let read = socket.read(&mut buffer).expect("in time");
        assert!(read > 0, "the stream ended after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[test]
fn the_axum_example_publishes_from_a_handler_and_guards_the_hubs_routes() {
    let app = Program::run(example("axum").arg("127.0.0.1:0"));
    let mut routed = app.stream("/live/events?topic=orders");
    let mut own = app.stream("/stream/eve");
    let post = |path: &str| {
        let mut socket = app.connect();
        write!(socket, "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(post("/orders/7").starts_with("HTTP/1.1 200 OK\r\n"));
    for stream in [&mut routed, &mut own] {
        expect(stream, "event:placed\ndata:{\"order\":7}\n");
    }
    assert!(post("/live/notify/orders").starts_with("HTTP/1.1 401 Unauthorized\r\n"));
}

#[test]
fn the_publish_example_reaches_a_listener() {
    let hub = Program::start(&[], &[]);
    let mut stream = hub.stream("/sse/events?topic=news");
    let published = example("publish").args(["news", "It works", &hub.address.to_string()]).output().expect("it runs");
    assert!(published.status.success(), "{published:?}");
    expect(&mut stream, "event:greeting\ndata:It works\n");
}
