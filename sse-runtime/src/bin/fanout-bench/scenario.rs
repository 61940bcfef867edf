//! What is measured, and with which load.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::child::{Pinned, Place};
use crate::load::Failure;
use crate::servers::Server;

/// A way of using a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scenario {
    /// 1,000 readers, up to 16 messages on their way
    Bursts,
    /// 1,000 readers, each message to all before the next
    Lockstep,
    /// 1,000 topics with one reader each, up to 16 messages on their way
    Unicast,
    /// 1,000 readers, 16 publishers that wait for nothing but answers
    Flood,
    /// 1,000 readers, 50 messages a second
    Latency,
    /// The same beside peers that misbehave: heads that trickle, streams that are reset, a publisher that reads no answers
    Beside,
    /// 10,000 streams that get nothing
    Idle,
    /// Up to 1,200 messages of 16 KB to 1,000 readers: with 50 that do not read, and without
    Stalled,
}

/// What a scenario told about a server in one round.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) cpu_seconds_per_million: Option<f64>,
    pub(crate) deliveries_per_second: Option<f64>,
    pub(crate) deliveries_per_read: Option<f64>,
    pub(crate) load_cpu_seconds_per_million: Option<f64>,
    /// Time that other processes took from the load, in parts of what it used and they took.
    pub(crate) kept_waiting: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Deliveries that were expected and did not come, in parts of those expected.
    pub(crate) lost: Option<f64>,
    pub(crate) out_of_order: Option<f64>,
    pub(crate) duplicates: Option<f64>,
    pub(crate) connect_us: Option<f64>,
    pub(crate) resident_bytes_each: Option<f64>,
    pub(crate) resident_bytes_peak: Option<f64>,
}

/// How the load is run.
pub(crate) struct Load {
    pub(crate) place: Place,
    pub(crate) seconds: f64,
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bursts => "bursts",
            Self::Lockstep => "lockstep",
            Self::Unicast => "unicast",
            Self::Flood => "flood",
            Self::Latency => "latency",
            Self::Beside => "beside",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
        }
    }

    /// Loads a server that was just started.
    pub(crate) fn run(self, server: &Server, load: &Load, stalled: u32) -> Result<Figures, Failure> {
        let seconds = load.seconds.to_string();
        let longer = (load.seconds * 2.0).to_string();
        let longest = (load.seconds * 5.0).to_string();
        let stalled = stalled.to_string();
        let mut args: Vec<&str> = match self {
            Self::Bursts => vec!["--outstanding", "16", "--seconds", &seconds],
            Self::Lockstep => vec!["--lockstep", "--seconds", &seconds],
            Self::Unicast => vec!["--topics", "1000", "--outstanding", "16", "--seconds", &seconds],
            Self::Flood => vec!["--flood", "16", "--seconds", &seconds],
            Self::Latency | Self::Beside => vec!["--rate", "50", "--seconds", &longer],
            Self::Idle => vec!["--seconds", "0"],
            // Enough to fill the hub's log, if the machine can move 20 GB in the time.
            Self::Stalled => {
                vec![
                    "--outstanding",
                    "4",
                    "--messages",
                    "1200",
                    "--size",
                    "16384",
                    "--stalled",
                    &stalled,
                    "--seconds",
                    &longest,
                ]
            }
        };
        args.extend(["-n", if self == Self::Idle { "10000" } else { "1000" }]);
        if self != Self::Idle {
            args.extend(["--publish", &server.publish, "--body", server.body]);
        }
        let id = server.process.id().to_string();
        args.extend(["--server-pid", &id, "--allow-loss", "--patience", "1", "--json", &server.subscribe]);
        let mut own: Vec<String> = vec!["load".to_owned()];
        own.extend(args.into_iter().map(str::to_owned));
        let program = std::env::current_exe().map_err(|error| Failure::new(format!("this program: {error}")))?;
        let _beside = match self {
            Self::Beside => {
                let args = ["misbehave", &server.subscribe, &server.publish, server.body].map(str::to_owned);
                Some(Pinned::start(load.place, &program, &args)?)
            }
            _ => None,
        };
        let output = Pinned::start(load.place, &program, &own)?.output()?;
        let report = serde_json::from_str(&output).map_err(|error| Failure::new(format!("the load's report: {error}")))?;
        Ok(Figures::from_report(&report))
    }
}

impl Figures {
    fn from_report(report: &Value) -> Self {
        let at = |path: &str| report.pointer(path).and_then(Value::as_f64);
        let part =
            |path: &str| at(path).zip(at("/deliver/expected")).map(|(some, all)| if all > 0.0 { some / all } else { 0.0 });
        let (used, waited) = (at("/generator/cpu_seconds"), at("/generator/waited_seconds"));
        Self {
            cpu_seconds_per_million: at("/server/cpu_seconds_per_million"),
            deliveries_per_second: at("/deliver/per_second"),
            deliveries_per_read: at("/generator/deliveries_per_read"),
            load_cpu_seconds_per_million: at("/generator/cpu_seconds_per_million"),
            kept_waiting: used.zip(waited).map(|(used, waited)| if waited > 0.0 { waited / (used + waited) } else { 0.0 }),
            p50_ms: at("/latency_ms/p50"),
            p99_ms: at("/latency_ms/p99"),
            lost: part("/deliver/lost"),
            out_of_order: part("/deliver/out_of_order"),
            duplicates: part("/deliver/duplicates"),
            connect_us: at("/connect/server_cpu_us_each"),
            resident_bytes_each: at("/connect/resident_bytes_each"),
            resident_bytes_peak: at("/server/resident_bytes_peak"),
        }
    }
}
