//! How the end of a run reads: what broke, what it said last, and the commands that go on.

use std::path::Path;

use crate::error::{Exit, Failure, Finding};
use crate::pipeline::event::{Outcome, RunKind, TaskFailure};
use crate::pipeline::state::{Phase, RunState};
use crate::shell::word;
use crate::ui::run::duration;

/// The commands that go on after a run.
pub struct NextCommands {
    /// `ztc` with the options that lead to this repository.
    pub ztc: String,
    /// `--env NAME`, with a space before it, where it was given.
    pub env: String,
    /// The command that goes on, such as `bootstrap`.
    pub command: String,
    /// The options that it was given and that still hold when it goes on, each with a space before it.
    pub options: String,
}

impl NextCommands {
    /// Makes them as the operator would type them from where they are.
    pub fn new(root: &Path, env: Option<&str>, command: &str) -> Self {
        let here = std::env::current_dir().is_ok_and(|here| here == root);
        Self {
            ztc: if here {
                "ztc".to_owned()
            } else {
                format!("ztc -C {}", word(&root.display().to_string()))
            },
            env: env.map_or(String::new(), |env| format!(" --env {}", word(env))),
            command: command.to_owned(),
            options: String::new(),
        }
    }

    /// With an option that holds too when the run goes on.
    pub fn with(mut self, option: &str, value: Option<&str>) -> Self {
        self.options.push_str(&format!(" {option}"));
        if let Some(value) = value {
            self.options.push_str(&format!(" {}", word(value)));
        }
        self
    }

    /// Goes on with the run.
    pub fn resume(&self) -> String {
        format!("{} {}{}{}", self.ztc, self.command, self.env, self.options)
    }

    /// Goes on with one task; nothing where the command does so anyway.
    fn only(&self, task: &str) -> Option<String> {
        (!self.options.contains(" --only "))
            .then(|| format!("{} --only {}", self.resume(), word(task)))
    }

    /// Writes everything as scripts, to go on by hand.
    pub fn eject(&self) -> String {
        format!("{} eject{}", self.ztc, self.env)
    }
}

/// Says how a run ended: nothing where it went well, else the failure with the commands that go on.
pub fn end(state: &RunState, log: impl Fn(&str) -> String, next: &NextCommands) -> Option<Failure> {
    let (outcome, seconds) = state.outcome?;
    match outcome {
        Outcome::Succeeded | Outcome::Degraded => None,
        Outcome::Failed => Some(failed(state, log, next)),
        Outcome::Interrupted => {
            let stopped = state.tasks().filter_map(|(head, phase)| match phase {
                Phase::Stopped { cause, .. } => Some((&head.task, cause)),
                _ => None,
            });
            let left = state
                .phases
                .iter()
                .filter(|phase| !phase.is_settled())
                .count();
            let mut failure = Failure::new(
                Exit::Interrupted,
                format!(
                    "interrupted after {}, with {left} {} to go",
                    duration(seconds),
                    if left == 1 { "task" } else { "tasks" }
                ),
            )
            .help(format!(
                "go on with `{}`; what succeeded is not run again",
                next.resume()
            ));
            failure.details = stopped
                .map(|(task, cause)| match cause {
                    Some(cause) => format!("stopped: {task}: {cause}"),
                    None => format!("stopped: {task}"),
                })
                .collect();
            Some(failure)
        }
    }
}

fn failed(state: &RunState, log: impl Fn(&str) -> String, next: &NextCommands) -> Failure {
    let mut required = state.tasks().filter_map(|(head, phase)| match phase {
        Phase::Failed {
            failure,
            required: true,
            ..
        } => Some((head, failure)),
        _ => None,
    });
    let Some((head, failure)) = required.next() else {
        return Failure::failed("the run failed");
    };
    let mut report = Failure::failed(format!("`{}` failed: {}", head.task, failure.status));
    report.details = last_lines(failure, &log(&head.task));
    report.details.extend(required.map(|(head, failure)| {
        format!(
            "`{}` failed too: {}; see {}",
            head.task,
            failure.status,
            log(&head.task)
        )
    }));
    report
        .details
        .push(format!("go on:      {}", next.resume()));
    if state.head.kind == RunKind::Bootstrap
        && let Some(only) = next.only(&head.task)
    {
        report.details.push(format!("only this:  {only}"));
    }
    report.details.push(format!("by hand:    {}", next.eject()));
    report.help("put the cause right and go on; what succeeded is not run again")
}

/// Says what failed that is not required, each with its cause and its last lines.
pub fn not_required(state: &RunState, log: impl Fn(&str) -> String) -> Vec<Finding> {
    let failed = state.tasks().filter_map(|(head, phase)| match phase {
        Phase::Failed {
            failure,
            required: false,
            ..
        } => Some((head, failure)),
        _ => None,
    });
    failed
        .map(|(head, failure)| {
            let lines = last_lines(failure, &log(&head.task)).join("\n  ");
            Finding::warning(format!(
                "`{}` failed, which is not required: {}\n  {lines}",
                head.task, failure.status
            ))
        })
        .collect()
}

fn last_lines(failure: &TaskFailure, log: &str) -> Vec<String> {
    let cause = failure
        .cause
        .iter()
        .map(|cause| format!("likely cause: {cause}"));
    let title = match failure.last_lines.as_slice() {
        [] => format!("it printed nothing; log: {log}"),
        _ => format!("its last lines (all: {log}):"),
    };
    cause
        .chain([title])
        .chain(failure.last_lines.iter().map(|line| format!("  | {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::{Bench, stage};

    #[tokio::test]
    async fn a_failure_shows_what_broke_and_how_to_go_on() {
        let bench = Bench::new(vec![
            (stage("first", &[]), "true"),
            (
                stage("second", &["first"]),
                "echo one; echo 'ZTC_CAUSE: no disk'; echo two; exit 3",
            ),
        ]);
        let state = bench.run().await.state;
        let next = NextCommands {
            ztc: "ztc".into(),
            env: " --env prod".into(),
            command: "bootstrap".into(),
            options: " --jobs 3".into(),
        };
        let failure = end(&state, |task| format!("runs/{task}.log"), &next).unwrap();
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::Failed, "`second` failed: exit code 3")
        );
        assert_eq!(
            failure.details,
            [
                "likely cause: no disk",
                "its last lines (all: runs/second.log):",
                "  | one",
                "  | two",
                "go on:      ztc bootstrap --env prod --jobs 3",
                "only this:  ztc bootstrap --env prod --jobs 3 --only second",
                "by hand:    ztc eject --env prod",
            ]
        );
    }
}
