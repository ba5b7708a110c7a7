//! The state of a run as a table: every task, how it stands and for how long. Pure.

use std::collections::BTreeMap;

use console::truncate_str;
use jiff::Timestamp;

use crate::pipeline::state::{Phase, RunState};
use crate::ui::run::{duration, ended};
use crate::ui::table::table;

/// Who looks at a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// The time, where the run goes on; nothing where it is over, so that what ran then was lost.
    pub now: Option<Timestamp>,
    /// How wide the terminal is; nothing where it is none, so that nothing is cut.
    pub columns: Option<usize>,
}

/// Writes the state of a run as a table; `last` has the last line of what runs.
pub fn overview(state: &RunState, last: &BTreeMap<String, String>, look: Look) -> String {
    let rows: Vec<Vec<String>> = state
        .tasks()
        .map(|(head, phase)| {
            let mut detail = detail(phase, look.now);
            if let Some(line) = last.get(&head.task).filter(|_| phase.is_busy()) {
                detail = format!("{detail}: {line}");
            }
            let word = match look.now {
                None if phase.is_busy() => "lost",
                _ => phase.word(),
            };
            vec![head.task.clone(), word.to_owned(), detail]
        })
        .collect();
    let text = table(&["TASK", "STATE", "DETAIL"], &rows);
    match look.columns {
        None => text,
        Some(columns) => text
            .lines()
            .map(|line| truncate_str(line, columns, "…").into_owned())
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

fn detail(phase: &Phase, now: Option<Timestamp>) -> String {
    match phase {
        Phase::Pending => String::new(),
        Phase::Skipped { why } => why.to_string(),
        Phase::Running { since, attempt } => {
            let lasts = now.and_then(|now| lasts(since, now)).unwrap_or_default();
            match attempt {
                1 => lasts,
                attempt => format!("{lasts} attempt {attempt}").trim_start().to_owned(),
            }
        }
        Phase::Waiting { attempt, failure } => {
            format!("attempt {attempt} failed: {}", failure.status)
        }
        Phase::Succeeded { seconds } | Phase::Stopped { seconds, .. } => duration(*seconds),
        Phase::Failed {
            seconds, failure, ..
        } => ended(failure, *seconds),
    }
}

/// How long something lasts that began at a time.
pub fn lasts(since: &str, now: Timestamp) -> Option<String> {
    let since: Timestamp = since.parse().ok()?;
    Some(duration(now.duration_since(since).as_secs_f64().max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::event::{Event, Record, RunStarted, TaskFailure, TaskHead, VERSION};
    use crate::pipeline::why::Why;

    fn state() -> RunState {
        let task = |name: &str| TaskHead {
            task: name.into(),
            stage: name.into(),
            ..TaskHead::default()
        };
        let started = |name: &str| Event::TaskStarted {
            task: name.into(),
            attempt: 1,
            why: Why::NeverRan,
            log: String::new(),
        };
        let events = [
            Event::RunStarted(RunStarted {
                tasks: vec![task("long"), task("gate"), task("last")],
                ..RunStarted::default()
            }),
            started("long"),
            started("gate"),
            Event::TaskFailed {
                task: "gate".into(),
                attempt: 1,
                seconds: 15.0,
                failure: TaskFailure {
                    status: "not healthy after 15 s".into(),
                    ..TaskFailure::default()
                },
                required: false,
            },
        ];
        let mut state = RunState::default();
        for (seq, event) in events.into_iter().enumerate() {
            state
                .apply(&Record {
                    v: VERSION,
                    run: "R".into(),
                    seq: seq as u64,
                    at: "2026-01-01T00:00:00Z".into(),
                    event,
                })
                .unwrap();
        }
        state
    }

    #[test]
    fn what_runs_says_for_how_long_and_fits_the_terminal() {
        let last = [(
            "long".to_owned(),
            "copying the image to the disk".to_owned(),
        )]
        .into();
        let now = Some("2026-01-01T00:01:10Z".parse().unwrap());
        let look = Look {
            now,
            columns: Some(40),
        };
        assert_eq!(
            overview(&state(), &last, look),
            "TASK  STATE    DETAIL\n\
             long  running  1m10s: copying the image…\n\
             gate  failed   not healthy after 15 s\n\
             last  pending"
        );
    }

    #[test]
    fn what_ran_when_its_ztc_ended_was_lost() {
        assert_eq!(
            overview(&state(), &BTreeMap::new(), Look::default()),
            "TASK  STATE    DETAIL\n\
             long  lost\n\
             gate  failed   not healthy after 15 s\n\
             last  pending"
        );
    }
}
