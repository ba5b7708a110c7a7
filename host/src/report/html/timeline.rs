//! The timeline: every stage a bar that unfolds into its tasks, every task its attempts as bars, its reason and its log. Pure.

use std::fmt::Write;

use crate::report::html::{anchor, escaped, log};
use crate::report::model::{Attempt, RunReport, StageReport, Status, TaskReport, Usual};
use crate::ui::run::duration;

/// Distances between marks of the axis, in seconds, and how many marks there are at most.
const STEPS: [f64; 16] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    14400.0,
];
const MARKS: f64 = 7.0;

/// Writes the timeline.
pub(super) fn timeline(report: &RunReport) -> String {
    let total = report.seconds.max(
        report
            .tasks()
            .flat_map(|task| &task.attempts)
            .map(|attempt| attempt.end)
            .fold(0.001, f64::max),
    );
    let mut text = String::from(
        "<div class=\"bar-head\"><h2>Timeline</h2><div class=\"js-only\"><button type=\"button\" id=\"all\" aria-pressed=\"false\">Unfold everything</button></div></div>\n\
         <div class=\"timeline\">\n",
    );
    text.push_str(&axis(total));
    for stage in &report.stages {
        text.push_str(&stage_row(stage, total));
    }
    text.push_str("</div>\n");
    text
}

fn axis(total: f64) -> String {
    let step = STEPS
        .into_iter()
        .find(|step| total / step <= MARKS)
        .unwrap_or(total / MARKS);
    let mut marks = String::new();
    let mut at = 0.0;
    // The last mark would stand over the one before it where there is no room.
    while at <= total * 0.93 {
        let _ = write!(
            marks,
            "<span class=\"tick\" style=\"left:{:.2}%\">{}</span>",
            at / total * 100.0,
            mark(at)
        );
        at += step;
    }
    let _ = write!(
        marks,
        "<span class=\"tick\" style=\"left:100%\">{}</span>",
        mark(total)
    );
    format!(
        "<div class=\"axis\" aria-hidden=\"true\"><span>Stage</span><div class=\"track\">{marks}</div><span class=\"time\">Took</span><span>Usually</span></div>\n"
    )
}

fn mark(seconds: f64) -> String {
    if seconds == 0.0 {
        "0".to_owned()
    } else {
        duration(seconds)
    }
}

fn stage_row(stage: &StageReport, total: f64) -> String {
    let items = match (&stage.item, stage.tasks.len()) {
        (Some(item), count) => format!(" <span class=\"soft\">{count} × {}</span>", escaped(item)),
        (None, _) => String::new(),
    };
    let attempts: Vec<&Attempt> = stage.tasks.iter().flat_map(|task| &task.attempts).collect();
    let mut bars = String::new();
    let start = attempts
        .iter()
        .map(|attempt| attempt.start)
        .reduce(f64::min);
    let end = attempts.iter().map(|attempt| attempt.end).reduce(f64::max);
    if let (Some(start), Some(end), true) = (start, end, attempts.len() > 1) {
        let class = match stage.seconds {
            Some(_) => "whole",
            None => "whole lost",
        };
        bars.push_str(&bar(start, end, total, class, &stage.stage));
    }
    for attempt in &attempts {
        bars.push_str(&attempt_bar(attempt, total, &stage.stage));
    }
    let mut text = format!(
        "<details class=\"stage\" id=\"{}\">\n<summary class=\"row\">{}<div class=\"track\">{bars}</div>{}</summary>\n<div class=\"inside\">\n",
        anchor("stage", &stage.stage),
        name(
            stage.status,
            &format!("<b>{}</b>{items}", escaped(&stage.stage))
        ),
        times(stage.seconds, stage.usual),
    );
    text.push_str(&about(stage));
    match stage.tasks.as_slice() {
        [task] if task.item.is_none() => {
            let _ = write!(
                text,
                "<div id=\"{}\">{}</div>",
                anchor("task", &task.task),
                details(task)
            );
        }
        tasks => tasks
            .iter()
            .for_each(|task| text.push_str(&task_row(task, total))),
    }
    text.push_str("</div>\n</details>\n");
    text
}

fn about(stage: &StageReport) -> String {
    let mut parts = Vec::new();
    if !stage.description.is_empty() {
        parts.push(format!(
            "{}.",
            escaped(stage.description.trim_end_matches('.'))
        ));
    }
    if stage.destructive {
        parts.push("<b class=\"failed\">Destroys data.</b>".to_owned());
    }
    parts.push(format!("Adapter {}.", escaped(&stage.adapter)));
    let list = |names: &[String]| {
        names
            .iter()
            .map(|name| format!("<code>{}</code>", escaped(name)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !stage.needs.is_empty() {
        parts.push(format!("Waits for {}.", list(&stage.needs)));
    }
    if !stage.reaches.is_empty() {
        parts.push(format!("Reaches {}.", list(&stage.reaches)));
    }
    format!("<p class=\"soft\">{}</p>\n", parts.join(" "))
}

fn task_row(task: &TaskReport, total: f64) -> String {
    let bars: String = task
        .attempts
        .iter()
        .map(|attempt| attempt_bar(attempt, total, &task.task))
        .collect();
    let label = task.item.as_ref().unwrap_or(&task.task);
    format!(
        "<details class=\"task\" id=\"{}\">\n<summary class=\"row\">{}<div class=\"track\">{bars}</div>{}</summary>\n<div class=\"log\">\n{}</div>\n</details>\n",
        anchor("task", &task.task),
        name(task.seen(), &escaped(label)),
        times(task.seconds, task.usual),
        details(task)
    )
}

/// Why it ran, its attempts where there were several, and its log.
fn details(task: &TaskReport) -> String {
    let mut text = String::new();
    let verb = match task.status {
        Status::Skipped => "Skipped",
        _ => "Ran",
    };
    match &task.why {
        Some(why) => {
            let _ = writeln!(text, "<p>{verb}, because: {}</p>", escaped(why));
        }
        None => text.push_str("<p class=\"soft\">Its turn did not come.</p>\n"),
    }
    for attempt in task.attempts.iter().filter(|_| task.attempts.len() > 1) {
        let how = attempt
            .failure
            .as_deref()
            .unwrap_or_else(|| attempt.status.word());
        let _ = writeln!(
            text,
            "<p class=\"soft\">Attempt {}, {} after the start{}: <span class=\"{}\">{}</span></p>",
            attempt.number,
            duration(attempt.start),
            took(attempt.start, attempt.end, attempt.status.class()),
            attempt.status.class(),
            escaped(how)
        );
    }
    if let Some(found) = &task.log {
        text.push_str(&log(found));
    }
    text
}

fn name(status: Status, label: &str) -> String {
    format!(
        "<div class=\"name\"><span class=\"sign {}\" role=\"img\" aria-label=\"{}\" title=\"{}\">{}</span><span class=\"label\">{label}</span></div>",
        status.class(),
        status.word(),
        status.word(),
        status.sign()
    )
}

fn times(seconds: Option<f64>, usual: Option<Usual>) -> String {
    let usual = usual.map_or(String::new(), |usual| match usual.runs {
        1 => format!("{} in 1 run", duration(usual.median)),
        runs => format!(
            "<span title=\"median of {runs} runs\">{}</span> ({}–{})",
            duration(usual.median),
            duration(usual.shortest),
            duration(usual.longest)
        ),
    });
    format!(
        "<span class=\"time\">{}</span><span class=\"usual\">{usual}</span>",
        seconds.map_or(String::new(), duration)
    )
}

fn attempt_bar(attempt: &Attempt, total: f64, name: &str) -> String {
    bar(
        attempt.start,
        attempt.end,
        total,
        attempt.status.class(),
        &format!(
            "{name}, attempt {}: {}",
            attempt.number,
            attempt
                .failure
                .as_deref()
                .unwrap_or_else(|| attempt.status.word())
        ),
    )
}

fn bar(start: f64, end: f64, total: f64, class: &str, title: &str) -> String {
    format!(
        "<span class=\"bar {class}\" style=\"left:{:.2}%;width:{:.2}%\" title=\"{}{}\"></span>",
        start / total * 100.0,
        (end - start) / total * 100.0,
        escaped(title),
        took(start, end, class)
    )
}

/// How long something took, behind a comma; nothing of what was lost, since nobody knows.
fn took(start: f64, end: f64, class: &str) -> String {
    match class.ends_with(Status::Lost.class()) {
        true => String::new(),
        false => format!(", {}", duration(end - start)),
    }
}
