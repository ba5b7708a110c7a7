//! A run as tokens for machines, one a line on stdout: `ZTC_STEP:<stage>:<START|OK|FAIL>:<json>`. Pure; docs/events.md describes them.

use serde_json::{Map, Value, json};

use crate::pipeline::event::{Event, Record};
use crate::pipeline::state::RunState;
use crate::report::build::{item, task_of};

/// Makes the token of a record; nothing for what is neither the beginning nor the end of a task.
pub(super) fn token(record: &Record, state: &RunState) -> Option<String> {
    let task = task_of(&record.event)?;
    let head = state.head_of(task)?;
    let (word, mut payload) = payload(&record.event)?;
    if let Some(item) = item(head) {
        payload.insert("item".into(), item.into());
    }
    Some(format!(
        "ZTC_STEP:{}:{word}:{}",
        head.stage,
        Value::Object(payload)
    ))
}

fn payload(event: &Event) -> Option<(&'static str, Map<String, Value>)> {
    let (word, value) = match event {
        Event::TaskStarted {
            attempt, why, log, ..
        } => (
            "START",
            json!({ "attempt": attempt, "why": why.to_string(), "artifact": log }),
        ),
        Event::TaskSkipped { why, .. } => {
            ("OK", json!({ "skipped": true, "why": why.to_string() }))
        }
        Event::TaskSucceeded {
            attempt, seconds, ..
        } => ("OK", json!({ "attempt": attempt, "elapsed_s": seconds })),
        Event::TaskFailed {
            attempt,
            seconds,
            failure,
            required,
            ..
        } => (
            "FAIL",
            json!({
                "attempt": attempt,
                "elapsed_s": seconds,
                "notes": failure.status,
                "cause": failure.cause,
                "required": required,
            }),
        ),
        Event::TaskStopped { seconds, .. } => {
            ("FAIL", json!({ "elapsed_s": seconds, "notes": "stopped" }))
        }
        Event::AttemptFailed { .. }
        | Event::RunStarted(_)
        | Event::Interrupted { .. }
        | Event::RunFinished { .. } => return None,
    };
    match value {
        Value::Object(payload) => Some((word, payload)),
        _ => None,
    }
}
