//! What the hub counts, as Prometheus reads it.
//!
//! Every label has a closed set of values, known when the program is built: no id, name, topic or address ever becomes a label,
//! so the number of series is fixed. Every series exists from the start, at zero, and counting takes no lock.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The counters and gauges of one hub.
///
/// Share it behind an `Arc`; counting is one atomic addition.
#[derive(Debug)]
pub struct Metrics {
    /// Streams that are open now.
    pub connections: Gauge,
    /// Clients that are registered now, with or without a stream.
    pub clients: Gauge,
    /// Ids that were given out and are not registered yet.
    pub issued_ids: Gauge,
    /// Events accepted for publication, by the kind of their target.
    pub published: Counters<TargetKind>,
    /// Publications refused over HTTP, by what was wrong.
    pub publish_errors: Counters<PublishError>,
    /// Frames that were written to streams: one event to a hundred streams is a hundred deliveries.
    pub deliveries: Counter,
    /// Bytes that were written to streams, headers and heartbeats included.
    pub bytes_written: Counter,
    /// Gaps told to streams, by why the events could not be given.
    pub gaps: Counters<GapReason>,
    /// Streams that ended, by why.
    pub closed: Counters<CloseReason>,
    /// Commands that wait for the shards, all shards together.
    pub queue_depth: Gauge,
    /// Bytes of frames the logs hold now, all shards together.
    pub log_bytes: Gauge,
    /// Frames the logs hold now, all shards together.
    pub log_entries: Gauge,
    /// Tasks submitted.
    pub tasks_submitted: Counter,
    /// Tasks that came to an end, by how.
    pub tasks: Counters<TaskOutcome>,
    /// Requests that the guards refused, by which.
    pub refused: Counters<Refusal>,
    registry: Registry,
}

impl Metrics {
    /// The media type of [`encode`](Self::encode).
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sse_hub");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of the program", version);
        let at = &mut registry;
        Self {
            connections: gauge(at, "connections", "Streams open now"),
            clients: gauge(at, "clients", "Clients registered now"),
            issued_ids: gauge(at, "issued_ids", "Ids given out and not registered yet"),
            published: counters(at, "published", "Events accepted for publication"),
            publish_errors: counters(at, "publish_errors", "Publications refused over HTTP"),
            deliveries: counter(at, "deliveries", "Frames written to streams"),
            bytes_written: counter(at, "written_bytes", "Bytes written to streams"),
            gaps: counters(at, "gaps", "Gaps told to streams"),
            closed: counters(at, "closed", "Streams that ended"),
            queue_depth: gauge(at, "queue_depth", "Commands that wait for the shards"),
            log_bytes: gauge(at, "log_bytes", "Bytes of frames in the logs"),
            log_entries: gauge(at, "log_entries", "Frames in the logs"),
            tasks_submitted: counter(at, "tasks_submitted", "Tasks submitted"),
            tasks: counters(at, "tasks", "Tasks that came to an end"),
            refused: counters(at, "refused_requests", "Requests that the guards refused"),
            registry,
        }
    }

    /// All series as OpenMetrics text, which Prometheus reads.
    ///
    /// # Errors
    ///
    /// None in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// One counter for each value of a label.
#[derive(Debug)]
pub struct Counters<L> {
    counters: Vec<Counter>,
    label: std::marker::PhantomData<fn(L)>,
}

impl<L: Label> Counters<L> {
    /// The counter of `label`.
    pub fn of(&self, label: L) -> &Counter {
        &self.counters[label.index()]
    }
}

/// A label whose values are known when the program is built.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Its values, each at its [`index`](Self::index).
    const ALL: &'static [Self];

    /// Where this value stands in [`ALL`](Self::ALL).
    fn index(self) -> usize;

    /// The value as it is written.
    fn as_str(self) -> &'static str;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident $label:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

label! {
    /// Who an event is for.
    TargetKind "target" {
        /// Everyone.
        All = "all",
        /// The clients of one group.
        Group = "group",
        /// Who listens to one topic.
        Topic = "topic",
        /// One client.
        Client = "client",
        /// Every client of one user name.
        Name = "name",
        /// One connection.
        Connection = "connection",
        /// A set the application chose.
        Chosen = "chosen",
    }
}

label! {
    /// Why a publication was refused.
    PublishError "reason" {
        /// It is not the JSON expected, or a field cannot be framed.
        Malformed = "malformed",
        /// Its frame is larger than a frame may be.
        TooLarge = "too_large",
        /// Its target does not exist.
        UnknownTarget = "unknown_target",
        /// The hub is full or shutting down.
        Unavailable = "unavailable",
    }
}

label! {
    /// Why events could not be given.
    GapReason "reason" {
        /// They are older than the log.
        Evicted = "evicted",
        /// They are of another run of the hub.
        Epoch = "epoch",
        /// The id was never given out.
        Unknown = "unknown",
        /// The reader fell behind the log's tail.
        Overrun = "overrun",
    }
}

label! {
    /// Why a stream ended.
    CloseReason "reason" {
        /// The client left.
        ClientLeft = "client_left",
        /// The client took nothing for the whole stall limit.
        WriteStall = "write_stall",
        /// The reader fell behind the log's tail, and the policy is to close.
        Overrun = "overrun",
        /// The client was unregistered or cleared.
        Unregistered = "unregistered",
        /// The same client opened a stream too many.
        Replaced = "replaced",
        /// The client was dormant too long.
        Expired = "expired",
        /// The hub closed.
        Shutdown = "shutdown",
    }
}

label! {
    /// How a task ended.
    TaskOutcome "outcome" {
        /// It completed.
        Completed = "completed",
        /// Its handler, upstream or worker said that it failed.
        Failed = "failed",
        /// Its upstream could not be reached or did not answer in time, in any attempt.
        Undeliverable = "undeliverable",
        /// Its client went before it ended.
        Abandoned = "abandoned",
    }
}

label! {
    /// Which guard refused a request.
    Refusal "guard" {
        /// Token missing or wrong.
        Token = "token",
        /// A stranger's web page.
        CrossSite = "cross_site",
        /// A foreign `Host`.
        Host = "host",
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn counters<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Counters<L> {
    let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
    registry.register(name, help, family.clone());
    Counters {
        counters: L::ALL.iter().map(|label| family.get_or_create(&[(L::NAME, label.as_str())]).clone()).collect(),
        label: std::marker::PhantomData,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_no_more_come() {
        let metrics = Metrics::new();
        let series = |metrics: &Metrics| metrics.encode().unwrap().lines().filter(|l| !l.starts_with('#')).count();
        let labelled = TargetKind::ALL.len()
            + PublishError::ALL.len()
            + GapReason::ALL.len()
            + CloseReason::ALL.len()
            + TaskOutcome::ALL.len()
            + Refusal::ALL.len();
        assert_eq!(series(&metrics), labelled + 9 + 1);
        for kind in TargetKind::ALL {
            metrics.published.of(*kind).inc();
        }
        assert_eq!(series(&metrics), labelled + 9 + 1);
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::new();
        metrics.connections.inc();
        metrics.connections.inc();
        metrics.connections.dec();
        metrics.published.of(TargetKind::Topic).inc_by(3);
        metrics.closed.of(CloseReason::WriteStall).inc();
        metrics.bytes_written.inc_by(42);
        let text = metrics.encode().unwrap();
        for line in [
            "# TYPE sse_hub_connections gauge",
            "sse_hub_connections 1",
            "# TYPE sse_hub_published counter",
            "sse_hub_published_total{target=\"topic\"} 3",
            "sse_hub_published_total{target=\"all\"} 0",
            "sse_hub_closed_total{reason=\"write_stall\"} 1",
            "sse_hub_written_bytes_total 42",
        ] {
            assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn labels_stand_at_their_index() {
        fn check<L: Label>() {
            for (at, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), at);
            }
        }
        check::<TargetKind>();
        check::<CloseReason>();
    }
}
