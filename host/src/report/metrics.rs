//! A run as metrics in Prometheus' text format, for a node exporter's textfile collector. Pure.

use std::fmt::Write;

use jiff::Timestamp;

use crate::report::model::{RunReport, StageReport, Status};

/// How a run, a stage or a task can stand, as a label says it.
const STATES: [(Status, &str); 8] = [
    (Status::Pending, "pending"),
    (Status::Skipped, "skipped"),
    (Status::Running, "running"),
    (Status::Succeeded, "succeeded"),
    (Status::Degraded, "degraded"),
    (Status::Failed, "failed"),
    (Status::Interrupted, "interrupted"),
    (Status::Lost, "lost"),
];

/// Writes the metrics.
pub fn metrics(report: &RunReport) -> String {
    let mut text = String::new();
    run(&mut text, report);
    stages(&mut text, report);
    text
}

fn run(text: &mut String, report: &RunReport) {
    let environment = label("environment", &report.environment);
    family(
        text,
        "ztc_run_info",
        "gauge",
        "The run that these metrics are about; always 1.",
    );
    sample(
        text,
        "ztc_run_info",
        &[
            environment.clone(),
            label("run", &report.run),
            label("version", &report.ztc_version),
        ],
        1.0,
    );
    family(
        text,
        "ztc_run_state",
        "gauge",
        "1 for the state of the run, 0 for every other.",
    );
    for (status, name) in STATES {
        if matches!(status, Status::Pending | Status::Skipped | Status::Lost) {
            continue;
        }
        let here = if report.status == status { 1.0 } else { 0.0 };
        sample(
            text,
            "ztc_run_state",
            &[environment.clone(), label("state", name)],
            here,
        );
    }
    let began = report
        .began
        .parse::<Timestamp>()
        .map_or(0.0, |at| at.as_millisecond() as f64 / 1000.0);
    family(
        text,
        "ztc_run_start_timestamp_seconds",
        "gauge",
        "When the run began, in seconds since 1970.",
    );
    sample(
        text,
        "ztc_run_start_timestamp_seconds",
        std::slice::from_ref(&environment),
        began,
    );
    family(
        text,
        "ztc_run_duration_seconds",
        "gauge",
        "How long the run took, or has taken so far.",
    );
    sample(
        text,
        "ztc_run_duration_seconds",
        &[environment],
        report.seconds,
    );
}

fn stages(text: &mut String, report: &RunReport) {
    family(
        text,
        "ztc_stage_tasks",
        "gauge",
        "How many tasks of a stage are in a state.",
    );
    for stage in &report.stages {
        for (status, name) in STATES {
            let count = stage.tasks.iter().filter(|task| task.status == status);
            let labels = [labels(report, stage), vec![label("state", name)]].concat();
            if status != Status::Degraded {
                sample(text, "ztc_stage_tasks", &labels, count.count() as f64);
            }
        }
    }
    family(
        text,
        "ztc_stage_duration_seconds",
        "gauge",
        "From the start of a stage's first task to the end of its last, or so far.",
    );
    for stage in &report.stages {
        if let Some(seconds) = stage.seconds {
            sample(
                text,
                "ztc_stage_duration_seconds",
                &labels(report, stage),
                seconds,
            );
        }
    }
    family(
        text,
        "ztc_stage_retries_total",
        "counter",
        "How many attempts at tasks of a stage were repeated in this run.",
    );
    for stage in &report.stages {
        let retries: usize = stage
            .tasks
            .iter()
            .map(|task| task.attempts.len().saturating_sub(1))
            .sum();
        sample(
            text,
            "ztc_stage_retries_total",
            &labels(report, stage),
            retries as f64,
        );
    }
    family(
        text,
        "ztc_task_duration_seconds",
        "gauge",
        "How long all attempts at a task took, or have taken so far.",
    );
    for stage in &report.stages {
        for task in &stage.tasks {
            if let Some(seconds) = task.seconds {
                let item = label("item", task.item.as_deref().unwrap_or_default());
                let labels = [labels(report, stage), vec![item]].concat();
                sample(text, "ztc_task_duration_seconds", &labels, seconds);
            }
        }
    }
}

fn labels(report: &RunReport, stage: &StageReport) -> Vec<String> {
    vec![
        label("environment", &report.environment),
        label("adapter", &stage.adapter),
        label("stage", &stage.stage),
    ]
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn label(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

/// Writes a value to the millisecond: further digits would only be those of a binary fraction.
fn sample(text: &mut String, name: &str, labels: &[String], value: f64) {
    let value = (value * 1000.0).round() / 1000.0;
    let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_said_to_the_millisecond() {
        for (value, said) in [
            (0.077_000_000_000_000_18, "x{} 0.077\n"),
            (1_795_000_000.123, "x{} 1795000000.123\n"),
            (3.0, "x{} 3\n"),
        ] {
            let mut text = String::new();
            sample(&mut text, "x", &[], value);
            assert_eq!(text, said);
        }
    }
}
