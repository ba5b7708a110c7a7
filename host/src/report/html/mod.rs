//! A report as one HTML file: no network, no outside font or script, readable without JavaScript, in the light, in the dark and on paper. Pure.
//!
//! Whatever comes from a run is escaped; the page's own policy forbids every script but the one it brings, so nothing in a log can act.

mod timeline;

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::graph::picture::{self, Mark};
use crate::pipeline::event::RunKind;
use crate::pipeline::heads::StageHead;
use crate::report::dag::{self, Direction, Drawn};
use crate::report::model::{Log, RunReport, StageReport, Status, TaskReport};
use crate::shell::word;
use crate::ui::run::duration;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Makes text harmless in HTML and XML, between tags and in quoted attributes.
pub(crate) fn escaped(text: &str) -> String {
    picture::entities(text).replace('\'', "&#39;")
}

/// The name of a place in the page, for links to it.
pub(crate) fn anchor(kind: &str, name: &str) -> String {
    let mut anchor = format!("{kind}-");
    for c in name.chars() {
        match c {
            '[' => anchor.push('.'),
            ']' => {}
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') => anchor.push(c),
            c => {
                let _ = write!(anchor, "~{:x}", u32::from(c));
            }
        }
    }
    anchor
}

/// Writes the page.
pub fn html(report: &RunReport) -> String {
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        BASE64_STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()))
    );
    let title = escaped(&format!("{}: {}", report.title(), report.status.of_run()));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    page.push_str(&summary(report));
    for stage in &report.stages {
        page.push_str(&troubles(report, stage));
    }
    if !report.stages.is_empty() {
        page.push_str(&timeline::timeline(report));
    }
    if report.stages.iter().any(|stage| !stage.needs.is_empty()) {
        let _ = writeln!(
            page,
            "<h2>Stages</h2>\n<div class=\"scroll\">\n{}</div>",
            picture::inside(&stages(report))
        );
    }
    let _ = write!(
        page,
        "<footer>Written by ztc {} from the journal of run {}.</footer>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        escaped(&report.run)
    );
    page
}

fn is_trouble(task: &TaskReport) -> bool {
    matches!(task.status, Status::Failed | Status::Lost)
}

fn summary(report: &RunReport) -> String {
    let mut rows = vec![
        ("Run", format!("<code>{}</code>", escaped(&report.run))),
        ("Began", escaped(&report.began)),
    ];
    match report.forgot() {
        Some(forgot) => rows.push(("What", forgot.to_owned())),
        None => rows.extend([("Took", time(report)), ("Tasks", escaped(&report.counts()))]),
    }
    if report.retries() > 0 {
        rows.push(("Attempts that were repeated", report.retries().to_string()));
    }
    rows.push((
        "Where",
        escaped(&format!(
            "{}, {} at the same time, ztc {}",
            report.host, report.jobs, report.ztc_version
        )),
    ));
    if let Some(resume) = &report.resume {
        rows.push(("Go on with", format!("<code>{}</code>", escaped(resume))));
    }
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>\n"))
        .collect();
    format!(
        "<h1>{} {}</h1>\n<dl>\n{rows}</dl>\n",
        escaped(&report.title()),
        badge(report.status)
    )
}

fn time(report: &RunReport) -> String {
    let usual = report.usual.map_or(String::new(), |usual| {
        let range = match usual.runs {
            1 => "in 1 run before".to_owned(),
            runs => format!(
                "({} to {} in {runs} runs)",
                duration(usual.shortest),
                duration(usual.longest)
            ),
        };
        format!(
            " <span class=\"soft\">usually {} {range}</span>",
            duration(usual.median)
        )
    });
    format!("{}{usual}", report.status.took(report.seconds))
}

fn badge(status: Status) -> String {
    format!(
        "<span class=\"badge {}\">{} {}</span>",
        status.class(),
        status.sign(),
        status.of_run()
    )
}

/// What went wrong in a stage, at the top: its first failure, and where the others are.
fn troubles(report: &RunReport, stage: &StageReport) -> String {
    let mut troubles = stage.tasks.iter().filter(|task| is_trouble(task));
    let Some(first) = troubles.next() else {
        return String::new();
    };
    let more: Vec<String> = troubles
        .map(|task| {
            format!(
                "<a href=\"#{}\">{}</a>",
                anchor("task", &task.task),
                escaped(&task.task)
            )
        })
        .collect();
    let more = match more.is_empty() {
        true => String::new(),
        false => format!(
            "<p>{} of {} tasks of this stage are in trouble; also {}.</p>\n",
            more.len() + 1,
            stage.tasks.len(),
            more.join(", ")
        ),
    };
    format!(
        "<section class=\"trouble\">\n{}{more}</section>\n",
        trouble(report, first)
    )
}

/// What went wrong with a task.
fn trouble(report: &RunReport, task: &TaskReport) -> String {
    let failure = task.failure.clone().unwrap_or_default();
    let how = match task.status {
        Status::Failed => format!("failed: {}", failure.status),
        _ => "was running when ztc ended".to_owned(),
    };
    let mut text = format!(
        "<h3><a href=\"#{}\">{}</a> {}</h3>\n",
        anchor("task", &task.task),
        escaped(&task.task),
        escaped(&how)
    );
    if !task.required {
        text.push_str("<p>It is not required: the run went on.</p>\n");
    }
    if let Some(cause) = &failure.cause {
        let _ = writeln!(text, "<p><b>Likely cause:</b> {}</p>", escaped(cause));
    }
    if !failure.last_lines.is_empty() {
        let _ = writeln!(
            text,
            "<pre>{}</pre>",
            escaped(&failure.last_lines.join("\n"))
        );
    }
    if task.required {
        text.push_str(&commands(report, &task.task));
    }
    text
}

/// The commands that go on after a task failed, as the terminal shows them.
fn commands(report: &RunReport, task: &str) -> String {
    let Some(resume) = &report.resume else {
        return String::new();
    };
    let mut lines = vec![format!("go on:      {resume}")];
    if report.kind == RunKind::Bootstrap {
        lines.push(format!("only this:  {resume} --only {}", word(task)));
    }
    lines.extend(
        report
            .eject
            .iter()
            .map(|eject| format!("by hand:    {eject}")),
    );
    format!(
        "<pre class=\"commands\">{}</pre>\n",
        escaped(&lines.join("\n"))
    )
}

/// A log, its middle left out where it is long.
fn log(log: &Log) -> String {
    let path = format!("<code>{}</code>", escaped(&log.path));
    let Some(bytes) = log.bytes else {
        return format!("<p class=\"soft\">Its log, {path}, is gone.</p>\n");
    };
    if bytes == 0 {
        return format!("<p class=\"soft\">It printed nothing ({path}).</p>\n");
    }
    let parts: Vec<String> = log
        .parts
        .iter()
        .map(|part| format!("<pre tabindex=\"0\">{}</pre>\n", escaped(part)))
        .collect();
    let between = format!(
        "<p class=\"left-out\">{} bytes are left out here; the whole log is {path}</p>\n",
        log.left_out
    );
    let note = match log.left_out {
        0 => format!("<p class=\"soft\">{path}, {bytes} bytes</p>\n"),
        _ => String::new(),
    };
    note + &parts.join(&between)
}

/// The picture of the stages, each with what became of it.
fn stages(report: &RunReport) -> picture::Picture {
    let drawn: Vec<Drawn> = report.stages.iter().map(drawn).collect();
    let direction = match report.kind {
        RunKind::Bootstrap | RunKind::Reset { .. } => Direction::Forwards,
        RunKind::Rollback { .. } => Direction::Backwards,
    };
    dag::picture(
        format!("Stages of {}, with what became of each", report.environment),
        &drawn,
        direction,
    )
}

fn drawn(stage: &StageReport) -> Drawn {
    let items = stage.item.as_ref().map(|item| match stage.tasks.len() {
        1 => format!("1 {item}"),
        count => format!("{count} × {item}"),
    });
    let time = stage.seconds.map(duration);
    let destroys = stage.destructive.then(|| "destroys data".to_owned());
    Drawn {
        head: StageHead {
            stage: stage.stage.clone(),
            adapter: stage.adapter.clone(),
            needs: stage.needs.clone(),
            barrier: stage.barrier.clone(),
            reaches: stage.reaches.clone(),
            ..StageHead::default()
        },
        note: items
            .into_iter()
            .chain(destroys)
            .chain(time)
            .collect::<Vec<_>>()
            .join(", "),
        destructive: stage.destructive,
        mark: Some(match stage.status {
            Status::Succeeded => Mark::Done,
            Status::Failed => Mark::Failed,
            Status::Degraded => Mark::Degraded,
            Status::Lost => Mark::Lost,
            Status::Interrupted => Mark::Stopped,
            Status::Running => Mark::Running,
            Status::Skipped => Mark::Skipped,
            Status::Pending => Mark::Pending,
        }),
        link: Some(format!("#{}", anchor("stage", &stage.stage))),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
