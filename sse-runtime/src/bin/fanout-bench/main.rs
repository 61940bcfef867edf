//! `fanout-bench`: the hub beside the machine's limit and two peers, interleaved and pinned. `--help` says how.
//!
//! It starts servers and [load](load) as processes: `serve`, `load` and `misbehave` are its own, and `pinned` starts any program on
//! one processor, tied to this one's life.

#[path = "../sse-load/load/mod.rs"]
mod load;

mod bench;
mod child;
mod misbehave;
mod options;
mod plot;
mod scenario;
mod serve;
mod servers;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let rest = args.get(2..).unwrap_or_default();
    let ended = match args.get(1).map(String::as_str) {
        Some("load") => return load::main("fanout-bench load", std::env::args_os().skip(1)),
        Some("serve") => serve::run(rest.first().map_or("", String::as_str)).map(|()| true),
        Some("misbehave") => misbehave::run(rest).map(|()| true),
        Some("pinned") => Err(child::become_pinned(rest)),
        _ => match options::Options::parse(args) {
            Ok(options) => bench::run(&options),
            Err(error) => {
                let _ = error.print();
                return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
            }
        },
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "fanout-bench: {failure}");
            ExitCode::from(2)
        }
    }
}
