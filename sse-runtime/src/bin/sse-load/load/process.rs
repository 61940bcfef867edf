//! What processes cost: processor time and resident memory, from `/proc`; and this one's own limits.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::failure::Failure;

/// A server: a process and its descendants, since some servers work in children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server(u32);

/// What a thread had of the processors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) used: Duration,
    /// For how long it could have run, had others not.
    pub(crate) waited: Duration,
}

impl Cpu {
    /// That of this process's first thread, which does all the work.
    pub(crate) fn own() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/schedstat").unwrap_or_default())
    }

    fn parse(schedstat: &str) -> Self {
        let mut nanos = schedstat.split_ascii_whitespace().map(|nanos| Duration::from_nanos(nanos.parse().unwrap_or(0)));
        Self { used: nanos.next().unwrap_or_default(), waited: nanos.next().unwrap_or_default() }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { used: self.used.saturating_sub(before.used), waited: self.waited.saturating_sub(before.waited) }
    }
}

impl Server {
    pub(crate) fn new(id: u32) -> Result<Self, Failure> {
        let server = Self(id);
        server.cpu().map_err(|error| Failure::new(format!("--server-pid {id}: its processor time cannot be read: {error}")))?;
        Ok(server)
    }

    /// Processor time of every thread there is, to the nanosecond. A thread that ended is no longer counted.
    pub(crate) fn cpu(self) -> io::Result<Duration> {
        let mut total = Duration::ZERO;
        for process in self.processes() {
            for thread in threads(process)? {
                // A thread may end while it is looked at.
                let Ok(text) = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")) else { continue };
                total += Cpu::parse(&text).used;
            }
        }
        Ok(total)
    }

    /// Resident bytes, counted page by page. Takes milliseconds when they are many.
    pub(crate) fn resident(self) -> u64 {
        let of = |process: u32| {
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
        };
        self.processes().into_iter().filter_map(of).sum()
    }

    /// Resident bytes as the kernel keeps count of them, at no cost to the server.
    pub(crate) fn resident_estimate(self) -> u64 {
        let page = rustix::param::page_size() as u64;
        let of = |process: u32| {
            let text = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
            Some(text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? * page)
        };
        self.processes().into_iter().filter_map(of).sum()
    }

    /// The process and its descendants.
    pub(crate) fn processes(self) -> Vec<u32> {
        let mut processes = vec![self.0];
        let mut at = 0;
        while let Some(&process) = processes.get(at) {
            at += 1;
            for thread in threads(process).unwrap_or_default() {
                let children = fs::read_to_string(format!("/proc/{process}/task/{thread}/children")).unwrap_or_default();
                processes.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        processes
    }
}

/// Keeps this thread on one processor.
pub(crate) fn pin(cpu: usize) -> Result<(), Failure> {
    let known = cpu < CpuSet::MAX_CPU;
    let mut set = CpuSet::new();
    if known {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| Failure::new(format!("processor {cpu} cannot be used: {error}")))
}

/// Allows as many descriptors as this process may have, and fails if they are fewer than `needed`.
pub(crate) fn raise_descriptors(needed: u64) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if needed > most {
        return Err(Failure::new(format!(
            "{needed} descriptors are needed, and this process may have {most}: raise the hard limit (ulimit -Hn) or ask for fewer connections"
        )));
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(|error| Failure::new(format!("the limit of descriptors cannot be raised: {error}")))
}

fn threads(process: u32) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(format!("/proc/{process}/task"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_measured() {
        let server = Server::new(std::process::id()).unwrap();
        assert!(server.cpu().unwrap() > Duration::ZERO && Cpu::own().used > Duration::ZERO);
        let (counted, estimated) = (server.resident(), server.resident_estimate());
        assert!(counted.abs_diff(estimated) < 4 << 20, "{counted} and {estimated} bytes");
        assert_eq!(server.processes().first(), Some(&std::process::id()));
        assert!(Server::new(u32::MAX).is_err());
    }
}
