//! A report as Markdown, as the summary of a job shows it. Pure.

use std::fmt::Write;

use crate::report::model::{RunReport, StageReport, Status, TaskReport};
use crate::ui::run::duration;

/// Writes the report as Markdown.
pub fn markdown(report: &RunReport) -> String {
    let mut text = format!(
        "## {} {}: {}\n\n",
        report.status.sign(),
        inline(&report.title()),
        report.status.of_run()
    );
    let began = format!("Run {} began {}", code(&report.run), inline(&report.began));
    if let Some(forgot) = report.forgot() {
        let _ = writeln!(text, "{began}. {forgot}");
        return text;
    }
    let took = match report.status.took(report.seconds) {
        unknown if unknown == "not known" => "; how long it took is not known".to_owned(),
        took => format!(" and took {took}"),
    };
    let usual = report.usual.map_or(String::new(), |usual| {
        format!(" (usually {})", duration(usual.median))
    });
    let _ = writeln!(text, "{began}{took}{usual}. {}.", report.counts());
    if let Some(resume) = &report.resume {
        let _ = writeln!(text, "\nGo on with {}.", code(resume));
    }
    for stage in &report.stages {
        let failed = |task: &&TaskReport| task.status == Status::Failed;
        let mut failures = stage.tasks.iter().filter(failed);
        if let Some(first) = failures.next() {
            failure(&mut text, first);
        }
        for task in failures {
            let _ = writeln!(text, "\n{} failed too.", code(&task.task));
        }
    }
    text.push_str("\n| | Stage | Adapter | Tasks | Time | Usually | Why |\n|---|---|---|---:|---:|---:|---|\n");
    for stage in &report.stages {
        row(&mut text, stage);
    }
    text
}

fn failure(text: &mut String, task: &TaskReport) {
    let failure = task.failure.clone().unwrap_or_default();
    let _ = writeln!(
        text,
        "\n### {} failed: {}\n",
        code(&task.task),
        inline(&failure.status)
    );
    if let Some(cause) = &failure.cause {
        let _ = writeln!(text, "Likely cause: {}\n", inline(cause));
    }
    let fence = fence(&failure.last_lines);
    let _ = writeln!(
        text,
        "{fence}text\n{}\n{fence}",
        failure.last_lines.join("\n")
    );
    if let Some(log) = &task.log {
        let _ = writeln!(text, "\nLog: {}", code(&log.path));
    }
}

fn row(text: &mut String, stage: &StageReport) {
    let why = match stage.tasks.first().and_then(|first| first.why.clone()) {
        Some(why)
            if stage
                .tasks
                .iter()
                .all(|task| task.why.as_ref() == Some(&why)) =>
        {
            why
        }
        Some(_) => "differs by item".to_owned(),
        None => String::new(),
    };
    let time = |seconds: Option<f64>| seconds.map_or(String::new(), duration);
    let _ = writeln!(
        text,
        "| {} {} | {} | {} | {} | {} | {} | {} |",
        stage.status.sign(),
        stage.status.word(),
        code(&stage.stage),
        inline(&stage.adapter),
        stage.tasks.len(),
        time(stage.seconds),
        time(stage.usual.map(|usual| usual.median)),
        inline(&why)
    );
}

/// A fence longer than any in what it holds.
fn fence(lines: &[String]) -> String {
    let longest = lines
        .iter()
        .map(|line| {
            line.split(|c| c != '`')
                .map(str::len)
                .max()
                .unwrap_or_default()
        })
        .max()
        .unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

/// Text that stays text: nothing in it is markup, a table's border or a new line.
fn inline(text: &str) -> String {
    let mut result = String::new();
    for c in text.chars() {
        match c {
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '@' => {
                result.push('\\');
                result.push(c);
            }
            c if c.is_control() => result.push(' '),
            c => result.push(c),
        }
    }
    result
}

fn code(text: &str) -> String {
    match text.contains(['`', '|', '\n']) {
        true => inline(text),
        false => format!("`{text}`"),
    }
}
