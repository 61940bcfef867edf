//! Processes that end with us, whatever happens: each is asked to terminate when it is dropped, when the bench is told to stop,
//! and by the kernel should the bench itself be killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal, setpriority_process, setsid};

use crate::load::{Failure, process};

/// A process that we started, on one processor.
pub(crate) struct Pinned {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    name: String,
}

/// Where a process runs.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) cpu: usize,
    /// Precedence: less is more.
    pub(crate) nice: i32,
}

/// Those that run, and whether more may be started.
struct Running {
    processes: Vec<u32>,
    stopped: bool,
}

impl Pinned {
    pub(crate) fn start(place: Place, program: &Path, args: &[String]) -> Result<Self, Failure> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let failed = |error: std::io::Error| Failure::new(format!("{} cannot be started: {error}", program.display()));
        let own = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(own);
        command.arg("pinned").args([place.cpu.to_string(), place.nice.to_string(), std::process::id().to_string()]);
        command.arg(program).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut running = running();
        if running.stopped {
            return Err(Failure::new("stopped"));
        }
        let mut child = command.spawn().map_err(failed)?;
        running.processes.push(child.id());
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Self { child, stdout, name })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints.
    pub(crate) fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().ok_or_else(|| Failure::new("no output"))?;
        let read = stdout.read_line(&mut line).map_err(|error| Failure::new(format!("{}: {error}", self.name)))?;
        if read == 0 { Err(self.complaint()) } else { Ok(line) }
    }

    /// All that it prints until it ends, which is something.
    pub(crate) fn output(mut self) -> Result<String, Failure> {
        let mut output = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_to_string(&mut output).map_err(|error| Failure::new(format!("{}: {error}", self.name)))?;
        }
        if output.is_empty() { Err(self.complaint()) } else { Ok(output) }
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// That it ended too early. It said why on the standard error that it shares with us.
    pub(crate) fn complaint(&self) -> Failure {
        Failure::new(format!("{} ended too early; see what it said above", self.name))
    }

    /// From here on its id may become another's.
    fn forget(&self) {
        let id = self.child.id();
        running().processes.retain(|&running| running != id);
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.forget();
        if self.has_ended() {
            return;
        }
        terminate(self.child.id());
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends what runs and starts no more.
pub(crate) fn stop() {
    let mut running = running();
    running.stopped = true;
    running.processes.iter().for_each(|&process| terminate(process));
}

/// Whether [`stop`] was called.
pub(crate) fn is_stopped() -> bool {
    running().stopped
}

/// Becomes the program that `args` name, on one processor, and to be terminated when its parent ends.
pub(crate) fn become_pinned(args: &[String]) -> Failure {
    let [cpu, nice, parent, program, args @ ..] = args else {
        return Failure::new("usage: pinned CPU NICE PARENT PROGRAM ARGS");
    };
    let prepared = || {
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| Failure::new(error.to_string()))?;
        // It may have ended before this was set.
        let found = rustix::process::getppid().map(|id| id.as_raw_nonzero().to_string());
        if found.as_ref() != Some(parent) {
            return Err(Failure::new("the parent is gone"));
        }
        match nice.parse() {
            Ok(0) => {}
            Ok(nice) => take_precedence(nice)
                .map_err(|error| Failure::new(format!("--nice {nice}: {error}; below 0 it is for root")))?,
            Err(_) => return Err(Failure::new(format!("{nice:?} is not a precedence"))),
        }
        process::pin(cpu.parse().map_err(|_| Failure::new(format!("{cpu:?} is not a processor")))?)
    };
    if let Err(failure) = prepared() {
        return failure;
    }
    let error = Command::new(program).args(args).exec();
    Failure::new(format!("{program} cannot be started: {error}"))
}

/// Takes precedence over other processes, or leaves it to them.
fn take_precedence(nice: i32) -> std::io::Result<()> {
    setpriority_process(None, nice)?;
    // Where the kernel groups processes by session, the number above counts within the group only.
    setsid()?;
    match std::fs::write("/proc/self/autogroup", nice.to_string()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn terminate(process: u32) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = kill_process(process, Signal::TERM);
    }
}

fn running() -> std::sync::MutexGuard<'static, Running> {
    static RUNNING: Mutex<Running> = Mutex::new(Running { processes: Vec::new(), stopped: false });
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a server may take to end.
const PATIENCE: Duration = Duration::from_secs(3);
