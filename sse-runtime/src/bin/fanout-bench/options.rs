//! What a person asks for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::scenario::Scenario;
use crate::servers::Kind;

/// Measures what a delivery costs: our hub, a bare epoll loop, axum with a broadcast channel, and nginx with nchan, each on one
/// processor, with the load on another, one after the other in every round.
///
/// It needs two processors, nginx with nchan on Debian (apt-get install nginx-light libnginx-mod-nchan), and for 10,000 streams
/// a hard limit of 11,000 descriptors. Exit codes: 0, every target is held; 1, one is missed; 2, it could not be measured.
#[derive(Debug, Parser)]
#[command(name = "fanout-bench", version)]
pub(crate) struct Options {
    /// Only these servers [all but hub-plain and uring]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub(crate) server: Vec<Kind>,
    /// Only these scenarios
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub(crate) scenario: Vec<Scenario>,
    /// How often everything is measured; the medians count
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// For how long each scenario publishes, in seconds
    #[arg(long, default_value_t = 1.5, value_name = "SECONDS")]
    pub(crate) seconds: f64,
    /// About a minute: one round of one second each, without the stalled readers
    #[arg(long)]
    pub(crate) quick: bool,
    /// The hub to measure [built first under `cargo run`, else beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) hub: Option<PathBuf>,
    /// The processor of the servers
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) server_cpu: usize,
    /// The processor of the load
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) load_cpu: usize,
    /// The precedence of servers and load over what else the machine does, from -20 to 19; below 0 needs root
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    pub(crate) nice: i32,
    /// Where to write every figure
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
    /// Where to draw the plot
    #[arg(long, value_name = "PATH")]
    pub(crate) svg: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(args: Vec<String>) -> Result<Self, clap::Error> {
        let mut options = Self::try_parse_from(args)?;
        if options.server.is_empty() {
            options.server = Kind::value_variants().to_vec();
            // A kernel may refuse it.
            options.server.retain(|server| ![Kind::HubPlain, Kind::Uring].contains(server));
        }
        if options.scenario.is_empty() {
            options.scenario = Scenario::value_variants().to_vec();
            if options.quick {
                options.scenario.retain(|scenario| *scenario != Scenario::Stalled);
            }
        }
        if options.quick {
            options.rounds = 1;
            options.seconds = options.seconds.min(1.0);
        }
        Ok(options)
    }
}
