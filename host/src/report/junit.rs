//! A report as JUnit XML: every stage a suite, every task a case. Pure.

use std::fmt::Write;

use crate::report::html::escaped;
use crate::report::model::{RunReport, StageReport, Status, TaskReport};

/// Writes the report as JUnit XML.
pub fn junit(report: &RunReport) -> String {
    let cases = report.tasks().count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\" tests=\"{cases}\" failures=\"{}\" errors=\"{}\"{}>\n",
        attribute(&report.title()),
        count(report.tasks(), is_failure),
        count(report.tasks(), is_error),
        time(report.status, Some(report.seconds))
    );
    for stage in &report.stages {
        suite(&mut text, report, stage);
    }
    text.push_str("</testsuites>\n");
    text
}

/// How long something took; nothing of what was lost, since nobody knows, and 0 of what did not run.
fn time(status: Status, seconds: Option<f64>) -> String {
    match (status, seconds) {
        (Status::Lost, _) => String::new(),
        (_, seconds) => format!(" time=\"{:.3}\"", seconds.unwrap_or(0.0)),
    }
}

fn is_failure(status: Status) -> bool {
    status == Status::Failed
}

fn is_error(status: Status) -> bool {
    matches!(status, Status::Lost | Status::Interrupted)
}

fn is_skipped(status: Status) -> bool {
    matches!(status, Status::Skipped | Status::Pending | Status::Running)
}

fn count<'a>(tasks: impl Iterator<Item = &'a TaskReport>, which: fn(Status) -> bool) -> usize {
    tasks.filter(|task| which(task.status)).count()
}

fn suite(text: &mut String, report: &RunReport, stage: &StageReport) {
    let began = report.began.split('.').next().unwrap_or_default();
    let began = began.trim_end_matches('Z');
    let _ = writeln!(
        text,
        "  <testsuite name=\"{}\" package=\"{}\" timestamp=\"{}\" hostname=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"{}>",
        attribute(&stage.stage),
        attribute(&stage.adapter),
        attribute(began),
        attribute(&report.host),
        stage.tasks.len(),
        count(stage.tasks.iter(), is_failure),
        count(stage.tasks.iter(), is_error),
        count(stage.tasks.iter(), is_skipped),
        match stage.tasks.iter().any(|task| task.status == Status::Lost) {
            true => time(Status::Lost, None),
            false => time(stage.status, stage.seconds),
        }
    );
    stage.tasks.iter().for_each(|task| case(text, stage, task));
    text.push_str("  </testsuite>\n");
}

fn case(text: &mut String, stage: &StageReport, task: &TaskReport) {
    let _ = write!(
        text,
        "    <testcase name=\"{}\" classname=\"{}.{}\"{}>",
        attribute(&task.task),
        attribute(&stage.adapter),
        attribute(&stage.stage),
        time(task.status, task.seconds)
    );
    let why = task.why.as_deref().unwrap_or_default();
    match task.status {
        Status::Failed => {
            let failure = task.failure.clone().unwrap_or_default();
            let cause = failure.cause.map(|cause| format!("likely cause: {cause}"));
            let lines: Vec<String> = cause.into_iter().chain(failure.last_lines).collect();
            let _ = write!(
                text,
                "<failure message=\"{}\" type=\"failed\">{}</failure>",
                attribute(&failure.status),
                content(&lines.join("\n"))
            );
        }
        Status::Lost | Status::Interrupted => {
            let word = task.status.word();
            let _ = write!(text, "<error message=\"{word}\" type=\"{word}\"></error>");
        }
        Status::Skipped => {
            let _ = write!(text, "<skipped message=\"{}\"></skipped>", attribute(why));
        }
        Status::Pending | Status::Running => {
            let _ = write!(
                text,
                "<skipped message=\"{}\"></skipped>",
                task.status.word()
            );
        }
        Status::Succeeded | Status::Degraded => {}
    }
    if let Some(log) = &task.log {
        let _ = write!(
            text,
            "<system-out>{}{}</system-out>",
            content(&format!("log: {}", log.path)),
            content(&retries(task))
        );
    }
    text.push_str("</testcase>\n");
}

fn retries(task: &TaskReport) -> String {
    task.attempts
        .iter()
        .filter_map(|attempt| {
            let failure = attempt.failure.as_ref()?;
            Some(format!("\nattempt {}: {failure}", attempt.number))
        })
        .collect()
}

/// XML has no way to write most control characters.
fn content(text: &str) -> String {
    let allowed = |c: &char| {
        (!c.is_control() || matches!(c, '\n' | '\t')) && !matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    escaped(&text.chars().filter(allowed).collect::<String>())
}

fn attribute(text: &str) -> String {
    content(text).replace('\n', "&#10;").replace('\t', "&#9;")
}
