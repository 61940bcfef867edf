//! `fanout-bench`: what it prints and draws, and that nothing it started outlives it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn bench(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanout-bench"));
    // On one processor, since there may be no other: the figures are not looked at.
    command.args(["--hub", env!("CARGO_BIN_EXE_sse-hub"), "--server-cpu", "0", "--load-cpu", "0"]).args(args);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command
}

#[test]
fn it_prints_a_table_with_its_targets_and_draws_it() {
    let directory = tempfile::tempdir().unwrap();
    let (svg, json) = (directory.path().join("fanout.svg"), directory.path().join("fanout.json"));
    let args = ["--quick", "--seconds", "0.2", "--server", "hub,epoll,epoll-each,axum,axum-nodelay", "--scenario", "bursts"];
    let files = ["--svg", svg.to_str().unwrap(), "--json", json.to_str().unwrap()];
    let Output { status, stdout, stderr } = bench(&args).args(files).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    // A target may be missed here.
    assert!(matches!(status.code(), Some(0 | 1)), "{stdout}{stderr}");
    assert!(stdout.contains("| epoll, a write an event ") && stdout.contains("bursts: processor time to that of"), "{stdout}");
    let drawn = fs::read_to_string(svg).unwrap();
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n") && drawn.matches("<rect").count() == 6, "{drawn}");
    let runs: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    for run in &runs {
        let figure = |name: &str| run["figures"][name].as_f64().unwrap_or_else(|| panic!("{name} in {run}"));
        assert!(figure("cpu_seconds_per_million") > 0.0 && figure("deliveries_per_second") > 0.0, "{run}");
        assert_eq!((figure("lost"), figure("duplicates"), figure("out_of_order")), (0.0, 0.0, 0.0), "{run}");
    }
    assert_eq!(runs.len(), 5);
}

#[test]
fn what_it_started_ends_with_it_however_it_ends() {
    for signal in ["-TERM", "-INT", "-KILL"] {
        let mut command = bench(&["--server", "epoll", "--scenario", "lockstep", "--seconds", "60"]);
        let mut bench = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let id = bench.id();
        let started = await_some(|| Some(descendants(id)).filter(|started| started.len() == 2), &mut bench);
        assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
        let code = bench.wait().unwrap().code();
        assert_eq!(code, if signal == "-KILL" { None } else { Some(2) }, "{signal}");
        await_some(|| started.iter().all(|&(id, begun)| start_time(id) != Some(begun)).then_some(()), &mut bench);
    }
}

/// The value that there is within ten seconds.
fn await_some<T>(mut look: impl FnMut() -> Option<T>, bench: &mut Child) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if begun.elapsed() > Duration::from_secs(10) {
            let _ = bench.kill();
            panic!("not in time");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes that descend from this one, and when each began.
fn descendants(id: u32) -> HashSet<(u32, u64)> {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return HashSet::new() };
    let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let ids: Vec<u32> =
        children.flat_map(|ids| ids.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect();
    ids.into_iter().filter_map(|id| Some((id, start_time(id)?))).collect()
}

/// When a process began, which tells it from a later one with its id. `None` once it is gone.
fn start_time(id: u32) -> Option<u64> {
    let path = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(Path::new(&path)).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if fields.first() == Some(&"Z") { None } else { fields.get(19)?.parse().ok() }
}
