//! How a run looks: a line for everything that ends, or with `--json` every record as it stands in the journal; and how its end reads.

use std::collections::BTreeMap;
use std::path::Path;

use console::Style;

use crate::error::{Exit, Failure};
use crate::pipeline::context::word;
use crate::pipeline::event::{Event, Outcome, Record, RunKind, TaskFailure};
use crate::pipeline::runner::Told;
use crate::pipeline::state::{Phase, RunState};
use crate::ui::Ui;
use crate::ui::prompt::{Prompts, Refusal};
use crate::ui::table::table;

/// Shows a run while it goes on.
pub struct RunView {
    ui: Ui,
    over: usize,
    /// The width of the longest task's name.
    width: usize,
}

impl RunView {
    /// Shows nothing yet.
    pub fn new(ui: &Ui) -> Self {
        Self {
            ui: ui.clone(),
            over: 0,
            width: 0,
        }
    }

    /// Shows what a run tells.
    pub fn show(&mut self, told: &Told<'_>) {
        match told {
            Told::Record(record, _) if self.ui.is_json() => self.ui.json_line(record),
            Told::Record(record, state) => self.record(record, state),
            Told::Line { .. } => {}
        }
    }

    fn record(&mut self, record: &Record, state: &RunState) {
        let total = state.phases.len();
        let digits = total.to_string().len();
        if let Event::RunStarted(head) = &record.event {
            self.width = head
                .tasks
                .iter()
                .map(|head| head.task.chars().count())
                .max()
                .unwrap_or(0);
        }
        if let Event::Interrupted { signal, kill } = &record.event {
            self.ui.say(match kill {
                false => format!("{signal}: nothing more is started, running stages are asked to stop; once more kills them"),
                true => format!("{signal} again: running stages are killed"),
            });
        }
        if let Some((task, word, detail)) = row(&record.event, &self.ui.style()) {
            let counter = if ends(&record.event) {
                self.over += 1;
                format!("[{:>digits$}/{total}]", self.over)
            } else {
                " ".repeat(2 * digits + 3)
            };
            self.ui.say(format!(
                "{counter} {task:width$}  {word}  {detail}",
                width = self.width
            ));
        }
    }
}

impl Ui {
    /// Shows what it is about, however quiet the operator wants it, and asks.
    pub fn ask(&self, about: &str, question: &str) -> Result<String, Failure> {
        self.print_error(about);
        Prompts::new(self)
            .text(question, None, "")
            .map_err(|refusal| match refusal {
                Refusal::Interrupted => {
                    Failure::new(Exit::Interrupted, "interrupted; nothing has been run")
                }
                Refusal::Failed(failure) => failure,
            })
    }

    /// Asks for a yes.
    pub fn confirm(&self, question: &str) -> Result<bool, Failure> {
        Prompts::new(self)
            .confirm(question, Some(false))
            .map_err(|refusal| match refusal {
                Refusal::Interrupted => {
                    Failure::new(Exit::Interrupted, "interrupted; nothing has been done")
                }
                Refusal::Failed(failure) => failure,
            })
    }

    /// Shows the end of a run that failed. With `--json` stdout has said everything already, one event a line.
    pub fn run_failure(&self, failure: Failure) -> Result<Exit, Failure> {
        if !self.is_json() {
            return Err(failure);
        }
        self.print_error(&crate::ui::failure::text(&failure, &self.style()));
        Ok(failure.exit)
    }
}

/// Whether an event is the end of a task.
fn ends(event: &Event) -> bool {
    matches!(
        event,
        Event::TaskSkipped { .. }
            | Event::TaskSucceeded { .. }
            | Event::TaskFailed { .. }
            | Event::TaskStopped { .. }
    )
}

/// The task of an event, a word of one width for what happened, and the details.
fn row<'a>(event: &'a Event, style: &Style) -> Option<(&'a str, String, String)> {
    let plain = |word: &str| format!("{word:7}");
    let styled = |style: Style, word: &str| style.apply_to(plain(word)).to_string();
    let (dim, green, red) = (
        style.clone().dim(),
        style.clone().green(),
        style.clone().red().bold(),
    );
    Some(match event {
        Event::RunStarted(_) | Event::RunFinished { .. } | Event::Interrupted { .. } => {
            return None;
        }
        Event::TaskSkipped { task, why } => (task, styled(dim, "skipped"), why.to_string()),
        Event::TaskStarted {
            task,
            attempt: 1,
            why,
            ..
        } => (task, styled(dim, "starts"), why.to_string()),
        Event::TaskStarted { task, attempt, .. } => {
            (task, styled(dim, "starts"), format!("attempt {attempt}"))
        }
        Event::AttemptFailed {
            task,
            attempt,
            failure,
            again_in,
        } => (
            task,
            plain("failed"),
            format!(
                "attempt {attempt}: {}; again in {again_in} s",
                failure.status
            ),
        ),
        Event::TaskSucceeded { task, seconds, .. } => {
            (task, styled(green, "ok"), duration(*seconds))
        }
        Event::TaskFailed {
            task,
            seconds,
            failure,
            required,
            ..
        } => {
            let note = if *required {
                ""
            } else {
                " (not required: the run goes on)"
            };
            (
                task,
                styled(red, "FAILED"),
                format!("{} after {}{note}", failure.status, duration(*seconds)),
            )
        }
        Event::TaskStopped { task, seconds } => (task, plain("stopped"), duration(*seconds)),
    })
}

/// Writes a duration for people.
pub fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

/// The commands that go on after a run.
pub struct NextCommands {
    /// `ztc` with the options that lead to this repository.
    pub ztc: String,
    /// `--env NAME`, with a space before it, where it was given.
    pub env: String,
    /// The command that goes on, such as `bootstrap`.
    pub command: String,
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
        }
    }

    /// Goes on with the run.
    pub fn resume(&self) -> String {
        format!("{} {}{}", self.ztc, self.command, self.env)
    }

    fn only(&self, task: &str) -> String {
        format!("{} --only {}", self.resume(), word(task))
    }

    fn eject(&self) -> String {
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
            let stopped = state
                .tasks()
                .filter(|(_, phase)| matches!(phase, Phase::Stopped { .. }))
                .map(|(head, _)| head.task.as_str());
            let left = state
                .phases
                .iter()
                .filter(|phase| !phase.is_settled())
                .count();
            let mut failure = Failure::new(
                Exit::Interrupted,
                format!(
                    "interrupted after {}, with {left} tasks to go",
                    duration(seconds)
                ),
            )
            .help(format!(
                "go on with `{}`; what succeeded is not run again",
                next.resume()
            ));
            failure.details = stopped.map(|task| format!("stopped: {task}")).collect();
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
    if state.head.kind == RunKind::Bootstrap {
        report
            .details
            .push(format!("only this:  {}", next.only(&head.task)));
    }
    report.details.push(format!("by hand:    {}", next.eject()));
    report.help("put the cause right and go on; what succeeded is not run again")
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

/// Writes the state of a run as a table; `last` has the last line of what runs.
pub fn overview(state: &RunState, last: &BTreeMap<String, String>) -> String {
    let rows: Vec<Vec<String>> = state
        .tasks()
        .map(|(head, phase)| {
            let mut detail = detail(phase);
            if let Some(line) = last.get(&head.task).filter(|_| phase.is_busy()) {
                detail = format!("{detail}: {line}");
            }
            vec![head.task.clone(), phase.word().to_owned(), detail]
        })
        .collect();
    table(&["TASK", "STATE", "DETAIL"], &rows)
}

fn detail(phase: &Phase) -> String {
    match phase {
        Phase::Pending => String::new(),
        Phase::Skipped { why } => why.to_string(),
        Phase::Running { since, attempt: 1 } => format!("since {since}"),
        Phase::Running { since, attempt } => format!("attempt {attempt} since {since}"),
        Phase::Waiting { attempt, failure } => {
            format!("attempt {attempt} failed: {}", failure.status)
        }
        Phase::Succeeded { seconds } | Phase::Stopped { seconds } => duration(*seconds),
        Phase::Failed {
            seconds, failure, ..
        } => format!("{} after {}", failure.status, duration(*seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::{Bench, stage};

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0.04, "0.0s"),
            (12.34, "12.3s"),
            (125.0, "2m05s"),
            (3725.4, "1h02m05s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

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
                "go on:      ztc bootstrap --env prod",
                "only this:  ztc bootstrap --env prod --only second",
                "by hand:    ztc eject --env prod",
            ]
        );
    }
}
