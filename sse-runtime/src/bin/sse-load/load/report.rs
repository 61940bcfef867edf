//! What came of a run: as JSON for programs, as a table for people.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::ledger::Ledger;
use super::process::Cpu;

/// Durations are in the unit that the field's name ends with; what was not measured is null.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) connect: Connect,
    pub(crate) publish: Publish,
    pub(crate) deliver: Deliver,
    pub(crate) latency_ms: Latency,
    pub(crate) server: Cost,
    pub(crate) generator: Generator,
}

#[derive(Debug, Serialize)]
pub(crate) struct Connect {
    pub(crate) connections: u32,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) server_cpu_us_each: Option<f64>,
    pub(crate) resident_bytes_each: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Publish {
    pub(crate) sent: u32,
    pub(crate) accepted: u32,
    /// Refused by the server, or never answered.
    pub(crate) refused: u32,
    pub(crate) first_refusal: Option<String>,
    pub(crate) per_second: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Deliver {
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// At a reader of another topic.
    pub(crate) strays: u64,
    pub(crate) streams_stalled: u32,
    pub(crate) streams_ended: u32,
    /// From the first publication to the last delivery.
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
}

/// From publishing to receiving.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    pub(crate) max: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    /// From the first publication to the end of the run.
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) cpu_seconds_per_million: Option<f64>,
    pub(crate) resident_bytes_before: Option<u64>,
    pub(crate) resident_bytes_open: Option<u64>,
    pub(crate) resident_bytes_after: Option<u64>,
    pub(crate) resident_bytes_peak: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Generator {
    pub(crate) cpu_seconds: f64,
    /// For how long other processes kept it from its processor: if this is much, no other figure is worth much.
    pub(crate) waited_seconds: f64,
    pub(crate) cpu_seconds_per_million: Option<f64>,
    pub(crate) reads: u64,
    pub(crate) deliveries_per_read: Option<f64>,
}

/// How the streams were opened.
pub(crate) struct Opening {
    pub(crate) connections: u32,
    pub(crate) took: Duration,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) resident_before: Option<u64>,
    pub(crate) resident_after: Option<u64>,
}

/// How the messages were published, and what that cost.
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) stalled: u32,
    pub(crate) ended: u32,
    pub(crate) reads: u64,
    pub(crate) accepted: u32,
    pub(crate) refused: Vec<u32>,
    pub(crate) first_refusal: Option<String>,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) own: Cpu,
    pub(crate) resident_before: Option<u64>,
    pub(crate) resident_after: Option<u64>,
    pub(crate) resident_peak: Option<u64>,
}

impl Report {
    pub(crate) fn new(opening: Opening, ledger: &Ledger, run: Run) -> Self {
        let totals = ledger.totals();
        let (expected, lost) = ledger.expected_and_lost(&run.refused);
        let seconds = match totals.last_arrival {
            0 => run.took.as_secs_f64(),
            nanos => nanos as f64 / 1e9,
        };
        let received = totals.received as f64;
        let per_million = |cpu: Duration| (totals.received > 0).then(|| cpu.as_secs_f64() / received * 1e6);
        let each = |total: f64| total / f64::from(opening.connections.max(1));
        let millis = |nanos: Option<u64>| nanos.map(|nanos| nanos as f64 / 1e6);
        let quantile = |share| millis(ledger.latency().quantile(share));
        let resident = opening.resident_after.zip(opening.resident_before);
        Self {
            connect: Connect {
                connections: opening.connections,
                seconds: opening.took.as_secs_f64(),
                per_second: f64::from(opening.connections) / opening.took.as_secs_f64().max(1e-9),
                server_cpu_us_each: opening.server_cpu.map(|cpu| each(cpu.as_secs_f64() * 1e6)),
                resident_bytes_each: resident.map(|(after, before)| each(after as f64 - before as f64)),
            },
            publish: Publish {
                sent: ledger.sent(),
                accepted: run.accepted,
                refused: run.refused.len() as u32,
                first_refusal: run.first_refusal,
                per_second: f64::from(run.accepted) / seconds.max(1e-9),
            },
            deliver: Deliver {
                expected,
                received: totals.received,
                lost,
                duplicates: totals.duplicates,
                out_of_order: totals.out_of_order,
                strays: totals.strays,
                streams_stalled: run.stalled,
                streams_ended: run.ended,
                seconds,
                per_second: received / seconds.max(1e-9),
            },
            latency_ms: Latency {
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                p999: quantile(0.999),
                max: millis(ledger.latency().max()),
            },
            server: Cost {
                cpu_seconds: run.server_cpu.map(|cpu| cpu.as_secs_f64()),
                cpu_seconds_per_million: run.server_cpu.and_then(per_million),
                resident_bytes_before: opening.resident_before,
                resident_bytes_open: run.resident_before,
                resident_bytes_after: run.resident_after,
                resident_bytes_peak: run.resident_peak.max(run.resident_after),
            },
            generator: Generator {
                cpu_seconds: run.own.used.as_secs_f64(),
                waited_seconds: run.own.waited.as_secs_f64(),
                cpu_seconds_per_million: per_million(run.own.used),
                reads: run.reads,
                deliveries_per_read: (run.reads > 0).then(|| received / run.reads as f64),
            },
        }
    }

    /// Whether every delivery is accounted for.
    pub(crate) fn is_sound(&self) -> bool {
        let Deliver { lost, duplicates, out_of_order, strays, streams_ended, .. } = self.deliver;
        lost + duplicates + out_of_order + strays == 0 && streams_ended == 0 && self.publish.refused == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connect, publish, deliver, latency_ms, server, generator } = self;
        writeln!(
            f,
            "streams      {} opened in {:.2} s, {:.0} a second",
            connect.connections, connect.seconds, connect.per_second
        )?;
        if let Some(each) = connect.server_cpu_us_each {
            writeln!(f, "             {each:.1} µs of the server's processor each")?;
        }
        if let Some(each) = connect.resident_bytes_each {
            writeln!(f, "             {each:.0} bytes of the server's memory each")?;
        }
        if deliver.streams_stalled + deliver.streams_ended > 0 {
            writeln!(f, "             {} not read, {} ended by the server", deliver.streams_stalled, deliver.streams_ended)?;
        }
        if publish.sent > 0 {
            writeln!(
                f,
                "published    {} accepted, {} refused, {:.0} a second",
                publish.accepted, publish.refused, publish.per_second
            )?;
            if let Some(why) = &publish.first_refusal {
                writeln!(f, "             first refusal: {why}")?;
            }
            writeln!(
                f,
                "deliveries   {} received of {} expected, in {:.2} s",
                deliver.received, deliver.expected, deliver.seconds
            )?;
            writeln!(
                f,
                "             {} lost, {} duplicates, {} out of order, {} at the wrong reader",
                deliver.lost, deliver.duplicates, deliver.out_of_order, deliver.strays
            )?;
            writeln!(
                f,
                "             {:.0} a second, {:.1} a read",
                deliver.per_second,
                generator.deliveries_per_read.unwrap_or(0.0)
            )?;
            let columns = [latency_ms.p50, latency_ms.p90, latency_ms.p99, latency_ms.p999, latency_ms.max];
            let [p50, p90, p99, p999, max] = columns.map(Millis);
            writeln!(f, "latency      p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}")?;
        }
        if let Some(seconds) = server.cpu_seconds {
            let per_million = server.cpu_seconds_per_million;
            writeln!(f, "server       {seconds:.3} s of processor{}", PerMillion(per_million))?;
        }
        if let Some(peak) = server.resident_bytes_peak {
            let [before, open] =
                [server.resident_bytes_before, server.resident_bytes_open].map(|bytes| mib(bytes.unwrap_or(0)));
            writeln!(
                f,
                "             {before:.1} MiB resident before, {open:.1} MiB with the streams open, {:.1} MiB at most",
                mib(peak)
            )?;
        }
        let per_million = generator.cpu_seconds_per_million;
        writeln!(f, "generator    {:.3} s of processor{}", generator.cpu_seconds, PerMillion(per_million))?;
        writeln!(f, "             kept waiting for its processor for {:.3} s", generator.waited_seconds)
    }
}

struct Millis(Option<f64>);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(millis) => write!(f, "{millis:.3} ms"),
            None => f.write_str("none"),
        }
    }
}

struct PerMillion(Option<f64>);

impl fmt::Display for PerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |seconds| write!(f, ", {seconds:.3} s per million deliveries"))
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
