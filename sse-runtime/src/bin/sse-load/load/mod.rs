//! A load generator for servers of Server-Sent Events, as cheap as it can be: it shares a machine with what it measures.
//!
//! One thread, one epoll loop, one buffer that every socket is read into. Streams are not decoded: each payload carries a
//! [mark](mark::Marks) that is searched for in the bytes, and the [ledger](ledger::Ledger) says what its arrival means. It
//! speaks to loopback only.
//!
//! [`readers`] opens the streams, [`publishers`] sends and awaits answers, [`run`] is the loop, [`report`] what came of it.

mod answer;
mod failure;
mod histogram;
mod ledger;
mod mark;
mod options;
pub(crate) mod process;
mod publishers;
mod readers;
mod report;
mod run;
mod socket;
mod template;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

pub(crate) use self::failure::Failure;
use self::options::Options;
use self::report::Report;

/// Runs the tool with these arguments, the first of which is its name, and says how it ended: 0, all is accounted for;
/// 1, something is lost, repeated or out of order, or the server refused; 2, a mistake, or a server that cannot be used.
pub(crate) fn main(name: &str, args: impl Iterator<Item = OsString>) -> ExitCode {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(error) => {
            let said = Options::said(&error);
            if error.use_stderr() {
                let _ = std::io::stderr().write_all(said.as_bytes());
                return ExitCode::from(MISTAKE);
            }
            let _ = std::io::stdout().write_all(said.as_bytes());
            return ExitCode::SUCCESS;
        }
    };
    match run::run(&options).and_then(|report| print(&report, &options).map(|()| report)) {
        Ok(report) if options.allow_loss || report.is_sound() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(UNSOUND),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{name}: {failure}");
            ExitCode::from(MISTAKE)
        }
    }
}

fn print(report: &Report, options: &Options) -> Result<(), Failure> {
    let text = if options.json {
        let mut text = serde_json::to_string_pretty(report).map_err(|error| Failure::new(format!("the report: {error}")))?;
        text.push('\n');
        text
    } else {
        report.to_string()
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new(format!("the report cannot be written: {error}")))
}

const UNSOUND: u8 = 1;
const MISTAKE: u8 = 2;
