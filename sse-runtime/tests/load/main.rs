//! The measuring tools as programs: `sse-load` against servers that fail in every way and against the hub; `fanout-bench` and
//! what it leaves behind.
#![allow(clippy::unwrap_used)]

mod bench;
mod faults;
mod hub;
mod server;

use std::process::{Command, Output};

use serde_json::Value;

/// Runs `sse-load` with these arguments: its exit code, its report (null if there is none) and what it complained about.
fn load(args: &[&str]) -> (Option<i32>, Value, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_sse-load")).args(args).arg("--json").env_clear().output().expect("sse-load starts");
    (status.code(), serde_json::from_slice(&stdout).unwrap_or_default(), String::from_utf8(stderr).unwrap())
}

/// A number of a report.
fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {report}"))
}

/// Lost, duplicates, out of order, at the wrong reader.
fn faults(report: &Value) -> [u64; 4] {
    ["lost", "duplicates", "out_of_order", "strays"].map(|fault| number(report, &format!("/deliver/{fault}")))
}
