//! The order of measuring: every round goes through the scenarios, each scenario through the servers, so that what changes on
//! the machine meanwhile meets them all.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::child::{self, Place};
use crate::load::Failure;
use crate::options::Options;
use crate::scenario::{Figures, Load, Scenario};
use crate::servers::{Kind, Setting};
use crate::table::Table;
use crate::{plot, table};

/// One run of the load against one server.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) round: u32,
    pub(crate) scenario: Scenario,
    #[serde(serialize_with = "name")]
    pub(crate) server: Kind,
    /// Streams that were not read.
    pub(crate) stalled: u32,
    pub(crate) figures: Figures,
}

/// Measures, prints, and says whether all targets that were measured are held.
pub(crate) fn run(options: &Options) -> Result<bool, Failure> {
    let nice = options.nice;
    let setting = Setting { place: Place { cpu: options.server_cpu, nice }, hub: hub(options)? };
    let load = Load { place: Place { cpu: options.load_cpu, nice }, seconds: options.seconds };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime: {error}")))?;
    // The thread that starts processes must outlive them: the kernel ties them to it.
    let runs = std::thread::scope(|scope| {
        let measuring = scope.spawn(|| measure(options, &setting, &load));
        runtime.block_on(async {
            while !measuring.is_finished() {
                tokio::select! {
                    () = asked_to_stop() => child::stop(),
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
        measuring.join().unwrap_or_else(|_| Err(Failure::new("measuring panicked")))
    });
    let runs = runs?;
    let table = Table::new(&runs);
    std::io::stdout().write_all(table.to_string().as_bytes()).map_err(|error| Failure::new(format!("the table: {error}")))?;
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&runs).map_err(|error| Failure::new(format!("the figures: {error}")))?;
        write(path, &json)?;
    }
    if let Some(path) = &options.svg {
        write(path, &plot::svg(&table))?;
    }
    Ok(table.targets().iter().all(table::Target::is_held))
}

fn measure(options: &Options, setting: &Setting, load: &Load) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    for round in 0..options.rounds {
        for &scenario in &options.scenario {
            let stalled: &[u32] = match scenario {
                // Memory does not vary from round to round, and these take long.
                Scenario::Stalled if round > 0 => continue,
                Scenario::Stalled => &[0, 50],
                _ => &[0],
            };
            for &server in &options.server {
                for &stalled in stalled {
                    progress(format_args!("round {} of {}: {}, {}", round + 1, options.rounds, scenario.name(), server.name()));
                    let started = server.start(setting)?;
                    let figures = scenario.run(&started, load, stalled);
                    if child::is_stopped() {
                        return Err(Failure::new("stopped"));
                    }
                    runs.push(Run { round, scenario, server, stalled, figures: figures? });
                }
            }
        }
    }
    progress(format_args!(""));
    Ok(runs)
}

/// The hub's program: the one that is asked for, or that beside this one, which is built first if cargo runs us.
fn hub(options: &Options) -> Result<PathBuf, Failure> {
    if !options.server.contains(&Kind::Hub) {
        return Ok(PathBuf::new());
    }
    if let Some(path) = &options.hub {
        return Ok(path.clone());
    }
    if let (Some(cargo), Some(package)) = (std::env::var_os("CARGO"), std::env::var_os("CARGO_MANIFEST_DIR")) {
        let profile: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
        let mut command = Command::new(cargo);
        // With our own features, so that nothing is built twice: they add programs, and change none.
        command
            .args(["build", "-p", "sse-runtime", "--features", "tools", "--bin", "sse-hub"])
            .args(profile)
            .current_dir(package);
        let built = command.status().map_err(|error| Failure::new(format!("cargo: {error}")))?;
        if !built.success() {
            return Err(Failure::new("sse-hub could not be built"));
        }
    }
    let own = std::env::current_exe().map_err(|error| Failure::new(format!("this program: {error}")))?;
    let path = own.with_file_name("sse-hub");
    if path.exists() {
        return Ok(path);
    }
    Err(Failure::new(format!(
        "there is no {}: build it with `cargo build --release -p sse-runtime --bin sse-hub`, or say where it is with --hub",
        path.display()
    )))
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        }
        // Then the kernel ends what we started when it ends us.
        _ => std::future::pending().await,
    }
}

fn progress(what: std::fmt::Arguments<'_>) {
    let _ = write!(std::io::stderr(), "\r\x1b[K{what}");
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn name<S: serde::Serializer>(server: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(server.name())
}

/// How often it is looked whether measuring is done.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);
