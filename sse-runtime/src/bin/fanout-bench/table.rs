//! What was measured, as medians, and what was aimed at.

use std::fmt;

use crate::bench::Run;
use crate::scenario::{Figures, Scenario};
use crate::servers::Kind;

/// Medians over rounds.
pub(crate) struct Table<'a> {
    runs: &'a [Run],
}

/// An aim of ours and what was measured.
pub(crate) struct Target {
    what: String,
    value: Option<f64>,
    limit: f64,
    unit: &'static str,
}

/// A figure of a run.
pub(crate) type Figure = fn(&Figures) -> Option<f64>;

impl<'a> Table<'a> {
    pub(crate) fn new(runs: &'a [Run]) -> Self {
        Self { runs }
    }

    /// The servers that were measured, in the order they were.
    pub(crate) fn servers(&self) -> Vec<Kind> {
        let mut servers = Vec::new();
        for run in self.runs {
            if !servers.contains(&run.server) {
                servers.push(run.server);
            }
        }
        servers
    }

    /// The median of a figure.
    pub(crate) fn median(&self, scenario: Scenario, server: Kind, figure: Figure) -> Option<f64> {
        let runs = self.runs.iter().filter(|run| run.scenario == scenario && run.server == server && run.stalled == 0);
        median(runs.filter_map(|run| figure(&run.figures)).collect())
    }

    /// The aims of issue 4, for what was measured.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let cpu: Figure = |figures| figures.cpu_seconds_per_million;
        let ratio = |scenario: Scenario, to: Kind, limit: f64| Target {
            what: format!("{}: processor time to that of {}", scenario.name(), to.name()),
            value: self.ratio(scenario, to, cpu),
            limit,
            unit: "times",
        };
        let resident = self.median(Scenario::Idle, Kind::Hub, |figures| figures.resident_bytes_each);
        let targets = vec![
            ratio(Scenario::Bursts, Kind::Epoll, 1.15),
            ratio(Scenario::Bursts, Kind::Axum, 1.0),
            ratio(Scenario::Lockstep, Kind::Epoll, 1.15),
            ratio(Scenario::Unicast, Kind::Epoll, 1.2),
            ratio(Scenario::Flood, Kind::Axum, 0.5),
            Target {
                what: format!("latency: p99 to that of {}", Kind::Epoll.name()),
                value: self.ratio(Scenario::Latency, Kind::Epoll, |figures| figures.p99_ms),
                limit: 1.25,
                unit: "times",
            },
            Target {
                what: "beside peers that misbehave: p99 to that without them".to_owned(),
                value: self.part((Scenario::Beside, Kind::Hub), (Scenario::Latency, Kind::Hub), |figures| figures.p99_ms),
                limit: 2.0,
                unit: "times",
            },
            Target {
                what: "stalled: p99 of the others to that without stalled readers".to_owned(),
                value: self.stalled(Kind::Hub, |figures| figures.p99_ms).map(|(without, with)| with / without),
                limit: 2.0,
                unit: "times",
            },
            Target {
                what: format!("idle: processor time of a connect to that of {}", Kind::Epoll.name()),
                value: self.ratio(Scenario::Idle, Kind::Epoll, |figures| figures.connect_us),
                limit: 1.3,
                unit: "times",
            },
            Target { what: "idle: resident memory of a stream".to_owned(), value: resident, limit: 1024.0, unit: "bytes" },
            Target {
                what: "stalled: resident memory above that without them".to_owned(),
                value: self
                    .stalled(Kind::Hub, |figures| figures.resident_bytes_peak)
                    .map(|(without, with)| (with - without) / MIB),
                limit: LOG_MIB + 5.0,
                unit: "MiB",
            },
        ];
        targets.into_iter().filter(|target| target.value.is_some()).collect()
    }

    /// Our hub's figure in parts of another server's.
    fn ratio(&self, scenario: Scenario, to: Kind, figure: Figure) -> Option<f64> {
        self.part((scenario, Kind::Hub), (scenario, to), figure)
    }

    /// A figure in parts of another one: the median of what each round tells, since what disturbs a round disturbs both.
    fn part(&self, one: (Scenario, Kind), other: (Scenario, Kind), figure: Figure) -> Option<f64> {
        let of = |(scenario, server), round: u32| {
            let found = self.runs.iter().find(|run| run.scenario == scenario && run.server == server && run.round == round)?;
            figure(&found.figures)
        };
        let rounds = self.runs.iter().map(|run| run.round + 1).max()?;
        median((0..rounds).filter_map(|round| Some(of(one, round)? / of(other, round)?)).collect())
    }

    /// A figure without stalled readers, and with them.
    fn stalled(&self, server: Kind, figure: Figure) -> Option<(f64, f64)> {
        let of = |stalled: bool| {
            let mut runs = self.runs.iter().filter(|run| run.scenario == Scenario::Stalled && run.server == server);
            figure(&runs.find(|run| (run.stalled > 0) == stalled)?.figures)
        };
        of(false).zip(of(true))
    }

    fn has(&self, scenario: Scenario) -> bool {
        self.runs.iter().any(|run| run.scenario == scenario)
    }
}

impl Target {
    pub(crate) fn is_held(&self) -> bool {
        self.value.is_none_or(|value| value <= self.limit)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<Scenario> = COSTS.into_iter().filter(|&scenario| self.has(scenario)).collect();
        if !shown.is_empty() {
            writeln!(f, "Processor seconds of the server per million deliveries (deliveries per second):\n")?;
            write!(f, "| {:WIDTH$} |", "")?;
            shown.iter().try_for_each(|scenario| write!(f, " {:>16} |", scenario.name()))?;
            write!(f, "\n|{:-<1$}|", "", WIDTH + 2)?;
            shown.iter().try_for_each(|_| write!(f, "{:->18}|", ":"))?;
            writeln!(f)?;
            for server in self.servers() {
                write!(f, "| {:WIDTH$} |", server.name())?;
                for &scenario in &shown {
                    let cost = self.median(scenario, server, |figures| figures.cpu_seconds_per_million);
                    let rate = self.median(scenario, server, |figures| figures.deliveries_per_second);
                    let text = match cost.zip(rate) {
                        Some((cost, rate)) => format!("{cost:.2} ({})", Rate(rate)),
                        None => "none".to_owned(),
                    };
                    write!(f, " {text:>16} |")?;
                }
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        for server in self.servers() {
            for &scenario in &shown {
                let part = |figure: Figure| self.median(scenario, server, figure).unwrap_or(0.0);
                let faults = [
                    (part(|figures| figures.lost), "lost"),
                    (part(|figures| figures.duplicates), "twice"),
                    (part(|figures| figures.out_of_order), "out of order"),
                ];
                for (part, what) in faults.into_iter().filter(|(part, _)| *part > 0.0) {
                    writeln!(f, "{}, {}: {:.2} % of the deliveries {what}", server.name(), scenario.name(), part * 100.0)?;
                }
            }
        }
        self.others(f)?;
        writeln!(f)?;
        let busy = median(self.runs.iter().filter_map(|run| run.figures.kept_waiting).collect()).unwrap_or(0.0);
        if busy > BUSY {
            writeln!(
                f,
                "The machine was busy: other processes had {:.0} % of the time that the load wanted. Measure again when it is idle.\n",
                busy * 100.0
            )?;
        }
        for Target { what, value, limit, unit } in self.targets() {
            let value = value.unwrap_or(f64::NAN);
            let verdict = if value <= limit { "holds " } else { "MISSED" };
            writeln!(f, "{verdict}  {what}: {value:.2} {unit}, at most {limit:.2}")?;
        }
        Ok(())
    }
}

impl Table<'_> {
    fn others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if ![Scenario::Latency, Scenario::Beside, Scenario::Idle, Scenario::Stalled]
            .into_iter()
            .any(|scenario| self.has(scenario))
        {
            return Ok(());
        }
        let heads =
            ["p50 ms", "p99 ms", "p99 ms, beside", "connect µs", "bytes a stream", "MiB, none stalled", "MiB, 50 stalled"];
        write!(f, "\n| {:WIDTH$} |", "")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>17} |"))?;
        write!(f, "\n|{:-<1$}|", "", WIDTH + 2)?;
        heads.iter().try_for_each(|_| write!(f, "{:->19}|", ":"))?;
        writeln!(f)?;
        for server in self.servers() {
            let stalled = self.stalled(server, |figures| figures.resident_bytes_peak);
            let cells = [
                self.median(Scenario::Latency, server, |figures| figures.p50_ms),
                self.median(Scenario::Latency, server, |figures| figures.p99_ms),
                self.median(Scenario::Beside, server, |figures| figures.p99_ms),
                self.median(Scenario::Idle, server, |figures| figures.connect_us),
                self.median(Scenario::Idle, server, |figures| figures.resident_bytes_each).map(f64::round),
                stalled.map(|(without, _)| without / MIB),
                stalled.map(|(_, with)| with / MIB),
            ];
            write!(f, "| {:WIDTH$} |", server.name())?;
            for cell in cells {
                write!(f, " {:>17} |", cell.map_or("none".to_owned(), |cell| format!("{cell:.1}")))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

struct Rate(f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate >= 1e6 => write!(f, "{:.2} M/s", rate / 1e6),
            rate => write!(f, "{:.0} k/s", rate / 1e3),
        }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// The scenarios whose processor time is compared.
pub(crate) const COSTS: [Scenario; 4] = [Scenario::Bursts, Scenario::Lockstep, Scenario::Unicast, Scenario::Flood];
/// The share of its time that the load may be kept waiting, for figures that mean something.
const BUSY: f64 = 0.05;
const WIDTH: usize = 26;
const MIB: f64 = 1_048_576.0;
/// `limits.log_bytes` of the hub, by default.
const LOG_MIB: f64 = 16.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_target_is_held_by_the_median_of_the_rounds_ratios() {
        let run = |round, server, cost| Run {
            round,
            scenario: Scenario::Bursts,
            server,
            stalled: 0,
            figures: Figures { cpu_seconds_per_million: Some(cost), ..Figures::default() },
        };
        let costs = [(1.1, 1.0), (2.2, 2.0), (9.0, 1.0)];
        let runs: Vec<Run> = (0..)
            .zip(costs)
            .flat_map(|(round, (hub, epoll))| [run(round, Kind::Hub, hub), run(round, Kind::Epoll, epoll)])
            .collect();
        let table = Table::new(&runs);
        assert_eq!(table.targets().len(), 1);
        assert!(table.targets()[0].is_held());
        let runs = [run(0, Kind::Hub, 1.2), run(0, Kind::Epoll, 1.0)];
        assert!(!Table::new(&runs).targets()[0].is_held());
    }
}
