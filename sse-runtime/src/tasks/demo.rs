//! The two tasks that the page shows.

use std::time::Duration;

use serde_json::{Value, json};

use super::TaskRun;

/// The longest `sleep`.
const LONGEST: f64 = 3600.0;

/// Completes after `{"seconds": n}`, by default 2.
///
/// # Errors
///
/// When `seconds` is not a number from 0 to 3,600.
pub async fn sleep(run: TaskRun) -> Result<Value, String> {
    let seconds = match &run.params()["seconds"] {
        Value::Null => Some(2.0),
        given => given.as_f64(),
    };
    let seconds = seconds.filter(|seconds| (0.0..=LONGEST).contains(seconds));
    let Some(seconds) = seconds else {
        return Err(format!("seconds must be a number from 0 to {LONGEST}"));
    };
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    Ok(json!({ "slept": seconds }))
}

/// Reports progress ten times in three seconds, then completes.
///
/// # Errors
///
/// When the client is gone.
pub async fn progress(run: TaskRun) -> Result<Value, String> {
    for percent in (10..=100).step_by(10) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let told = run.progress(&json!({ "percent": percent })).await;
        told.map_err(|error| error.to_string())?;
    }
    Ok(Value::Null)
}
