//! `sse-load` against the hub.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::{faults, load, number};

/// A running hub, which ends with this.
struct Hub {
    child: Child,
    base: String,
}

impl Hub {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sse-hub"))
            .args(["--listen", "127.0.0.1:0", "--shards", "1", "--log", "error"])
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .expect("sse-hub starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, base }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_hub_loses_repeats_and_swaps_nothing_in_a_second() {
    let hub = Hub::start();
    let (streams, publish) = (format!("{}sse/events?topic=t{{n}}", hub.base), format!("{}sse/publish", hub.base));
    let id = hub.child.id().to_string();
    let body = r#"{"to":{"topic":"t{n}"},"data":"{data}"}"#;
    let args = ["-n", "100", "--publish", &publish, "--body", body, "--server-pid", &id, "--seconds", "1", &streams];
    for more in
        [&["--outstanding", "16"][..], &["--topics", "10", "--outstanding", "16"], &["--rate", "100", "--stalled", "10"]]
    {
        let (code, report, stderr) = load(&[&args, more].concat());
        assert_eq!((code, stderr.as_str(), faults(&report)), (Some(0), "", [0; 4]), "{more:?}: {report}");
        assert!(number(&report, "/deliver/received") > 100, "{report}");
        assert_eq!(number(&report, "/deliver/received"), number(&report, "/deliver/expected"));
        for measured in ["/server/cpu_seconds_per_million", "/connect/server_cpu_us_each", "/latency_ms/p999"] {
            assert!(report.pointer(measured).unwrap().as_f64().unwrap() > 0.0, "{measured} in {report}");
        }
    }
    let (code, report, stderr) = load(&["-n", "50", "--seconds", "0.1", "--server-pid", &id, &streams]);
    assert_eq!((code, stderr.as_str(), number(&report, "/connect/connections")), (Some(0), "", 50), "{report}");
}
