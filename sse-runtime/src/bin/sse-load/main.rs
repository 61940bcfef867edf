//! `sse-load`: opens many streams, publishes, and accounts for every delivery. `--help` says how.

mod load;

fn main() -> std::process::ExitCode {
    load::main("sse-load", std::env::args_os())
}
