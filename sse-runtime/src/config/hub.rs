//! From the server's configuration to the hub's.

use sse_proto::{Config, Limits};

use super::{Age, IdForm, Overrun, Payloads, ServerConfig};
use crate::hub::HubConfig;

impl From<&ServerConfig> for HubConfig {
    fn from(server: &ServerConfig) -> Self {
        let ServerConfig { limits, timers, policy, .. } = server;
        let engine = Config {
            limits: Limits {
                connections: count(limits.connections),
                clients: count(limits.clients),
                issued_ids: count(limits.issued_ids),
                connections_per_client: count(limits.connections_per_client),
                groups: count(limits.groups),
                topics: count(limits.topics),
                topics_per_client: count(limits.topics_per_client),
                subscriptions: count(limits.subscriptions),
                tasks_per_client: count(limits.tasks_per_client),
                tasks: count(limits.tasks),
                detail_bytes: count(limits.detail_bytes),
                name_bytes: count(limits.name_len),
                topic_bytes: count(limits.key_len),
                frame_bytes: count(limits.frame_bytes),
                log_bytes: count(limits.log_bytes),
                log_entries: count(limits.log_entries),
            },
            heartbeat: timers.heartbeat,
            write_stall: Some(timers.write_stall),
            dormant_after: timers.dormant_after,
            sweep_every: timers.sweep_every,
            issued_id_ttl: timers.issued_id_ttl,
            age: match policy.age {
                Age::Activity => sse_proto::Age::SinceLeft,
                Age::Registration => sse_proto::Age::SinceRegistered,
            },
            overrun: match policy.overrun {
                Overrun::Close => sse_proto::Overrun::Close,
                Overrun::Skip => sse_proto::Overrun::Skip,
            },
            id_form: match policy.id_form {
                IdForm::Secure => sse_proto::IdForm::Secure,
                IdForm::Compatible => sse_proto::IdForm::Short,
            },
            ..Config::default()
        };
        Self {
            engine,
            shards: server.shards,
            listeners_changed: Some(policy.listeners_changed_key.clone()),
            bare_payloads: policy.payloads == Payloads::Legacy,
            ..Self::default()
        }
    }
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
