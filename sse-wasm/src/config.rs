//! Options of a hub.

use core::time::Duration;

use sse_proto::{Age, Config, EventIds, IdForm, Overrun};

use crate::error::Failure;
use crate::record::Reader;

/// Reads options in the order of `js/hub/options.js`; one that is not a number is left as it is.
pub(crate) fn config(record: &mut Reader<'_>) -> Result<Config, Failure> {
    let mut config = Config::default();
    let limits = &mut config.limits;
    for limit in [
        &mut limits.connections,
        &mut limits.clients,
        &mut limits.issued_ids,
        &mut limits.connections_per_client,
        &mut limits.groups,
        &mut limits.topics,
        &mut limits.topics_per_client,
        &mut limits.subscriptions,
        &mut limits.tasks_per_client,
        &mut limits.tasks,
        &mut limits.detail_bytes,
        &mut limits.name_bytes,
        &mut limits.topic_bytes,
        &mut limits.frame_bytes,
        &mut limits.log_bytes,
        &mut limits.log_entries,
    ] {
        let value = record.float()?;
        if !value.is_nan() {
            *limit = value as u32;
        }
    }
    // Times, of which a negative one means never, and then choices.
    for option in 0..11 {
        let value = record.float()?;
        if value.is_nan() {
            continue;
        }
        let time = Duration::from_millis(value as u64);
        let perhaps = (value >= 0.0).then_some(time);
        let second = value == 1.0;
        match option {
            0 => config.heartbeat = perhaps,
            1 => config.write_stall = perhaps,
            2 => config.dormant_after = time,
            3 => config.sweep_every = time,
            4 => config.issued_id_ttl = time,
            5 => config.retry = (value >= 0.0).then_some(value as u32),
            6 => config.age = if second { Age::SinceRegistered } else { Age::SinceLeft },
            7 => config.overrun = if second { Overrun::Skip } else { Overrun::Close },
            8 => config.id_form = if second { IdForm::Short } else { IdForm::Secure },
            9 => config.heartbeat_comment = if second { "keep-alive" } else { "heartbeat" },
            _ => config.event_ids = if second { EventIds::Given } else { EventIds::Numbered },
        }
    }
    Ok(config)
}
