//! The live view of a run as lines that fit on a terminal of a given size. Pure.

use console::{Style, measure_text_width, truncate_str};
use jiff::Timestamp;

use crate::pipeline::event::TaskHead;
use crate::pipeline::state::Phase;
use crate::report::build::item;
use crate::ui::region::Size;
use crate::ui::run::duration;
use crate::ui::run::model::Model;

/// So many lines stay free above the view, where the terminal has them: what ended is seen there.
const ABOVE: usize = 5;
const LEAST: usize = 3;

/// A stage of which something runs.
struct Group<'a> {
    stage: &'a str,
    busy: Vec<(usize, &'a TaskHead, &'a Phase)>,
    done: usize,
    left: usize,
    failed: usize,
    items: bool,
}

/// Writes the view. No line is wider than the terminal, and there are fewer than it has.
pub(super) fn frame(model: &Model, size: Size, now: Timestamp, style: &Style) -> Vec<String> {
    if model.state.run.is_empty() {
        return Vec::new();
    }
    let columns = size.columns.saturating_sub(1).max(1);
    let room = size
        .rows
        .saturating_sub(ABOVE)
        .max(LEAST)
        .min(size.rows.saturating_sub(1))
        .max(1);
    let mut lines = vec![head(model, columns, now, style)];
    lines.extend(body(model, room - 1, now, style));
    lines.truncate(room);
    lines
        .into_iter()
        .map(|line| truncate_str(&line, columns, "…").into_owned())
        .collect()
}

/// The first line: as much as there is room for, the most important first.
fn head(model: &Model, columns: usize, now: Timestamp, style: &Style) -> String {
    let state = &model.state;
    let count =
        |wanted: fn(&Phase) -> bool| state.phases.iter().filter(|phase| wanted(phase)).count();
    let over = count(Phase::is_over);
    let elapsed = state.began.parse::<Timestamp>().map_or(0.0, |began| {
        now.duration_since(began).as_secs_f64().max(0.0)
    });
    let elapsed_of = |task: usize| model.elapsed(&state.head.tasks[task].task, now);
    let left = model
        .estimate
        .left(state, elapsed_of)
        .filter(|_| !state.interrupted);
    let some = |count: usize, word: &str| (count > 0).then(|| format!("{count} {word}"));
    let failed = count(|phase| matches!(phase, Phase::Failed { .. }));
    let mut parts = vec![
        Some(
            style
                .clone()
                .bold()
                .apply_to(format!("{over}/{}", state.phases.len()))
                .to_string(),
        ),
        Some(rounded(elapsed)),
        left.map(|left| format!("about {} left", rounded(left))),
        state.interrupted.then(|| "stopping".to_owned()),
        some(failed, "failed").map(|text| style.clone().red().bold().apply_to(text).to_string()),
        some(count(Phase::is_busy), "running"),
        some(count(|phase| *phase == Phase::Pending), "to go"),
        some(
            count(|phase| matches!(phase, Phase::Skipped { .. })),
            "skipped",
        ),
    ];
    let mut line = parts.remove(0).unwrap_or_default();
    for part in parts.into_iter().flatten() {
        if measure_text_width(&line) + 3 + measure_text_width(&part) <= columns {
            line = format!("{line} · {part}");
        }
    }
    line
}

/// Whole seconds: tenths that change all the time are only noise.
fn rounded(seconds: f64) -> String {
    match seconds {
        0.0..60.0 => format!("{seconds:.0}s"),
        _ => duration(seconds),
    }
}

fn body(model: &Model, room: usize, now: Timestamp, style: &Style) -> Vec<String> {
    let groups = groups(model);
    let mut lines: Vec<String> = Vec::new();
    for (group, shown) in groups.iter().zip(shares(&groups, room)) {
        lines.push(group_line(model, group, shown == 0, now, style));
        let longest = longest(model, group, now, shown);
        for task in group.busy.iter().filter(|task| longest.contains(&task.0)) {
            lines.push(item_line(model, *task, now, style));
        }
        let more = group.busy.len() - longest.len();
        if shown > 0 && more > 0 {
            lines.push(format!("    … and {more} more"));
        }
    }
    if lines.len() > room && room > 0 {
        let more = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(format!("  … and {more} more stages"));
    }
    lines
}

/// How many items of each stage have a line: all where there is room, else as many as there is room for beside the line that counts the
/// others, the stage with most giving up lines first. None where not even two fit: such a stage is one line.
fn shares(groups: &[Group<'_>], room: usize) -> Vec<usize> {
    let mut lines: Vec<usize> = groups
        .iter()
        .map(|group| if group.items { group.busy.len() } else { 0 })
        .collect();
    let spare = room.saturating_sub(groups.len());
    while lines.iter().sum::<usize>() > spare {
        if let Some(most) = lines.iter_mut().max() {
            *most -= 1;
        }
    }
    for (lines, group) in lines.iter_mut().zip(groups) {
        if *lines < group.busy.len() {
            *lines = lines.saturating_sub(1);
        }
    }
    lines
}

/// The tasks of a stage that have been running for longest.
fn longest(model: &Model, group: &Group<'_>, now: Timestamp, count: usize) -> Vec<usize> {
    let mut tasks: Vec<(usize, f64)> = group
        .busy
        .iter()
        .map(|(index, head, _)| (*index, model.elapsed(&head.task, now)))
        .collect();
    tasks.sort_by(|a, b| b.1.total_cmp(&a.1));
    tasks.truncate(count);
    tasks.into_iter().map(|(index, _)| index).collect()
}

fn groups(model: &Model) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (index, (head, phase)) in model.state.tasks().enumerate() {
        if groups.last().is_none_or(|group| group.stage != head.stage) {
            groups.push(Group {
                stage: &head.stage,
                busy: Vec::new(),
                done: 0,
                left: 0,
                failed: 0,
                items: item(head).is_some(),
            });
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        match phase {
            Phase::Running { .. } | Phase::Waiting { .. } => group.busy.push((index, head, phase)),
            Phase::Pending => group.left += 1,
            Phase::Failed { .. } | Phase::Stopped { .. } => group.failed += 1,
            Phase::Skipped { .. } | Phase::Succeeded { .. } => group.done += 1,
        }
    }
    groups.retain(|group| !group.busy.is_empty());
    groups
}

fn group_line(
    model: &Model,
    group: &Group<'_>,
    folded: bool,
    now: Timestamp,
    style: &Style,
) -> String {
    let name = style.clone().cyan().apply_to(group.stage);
    let Some((index, head, phase)) = group.busy.iter().max_by(|a, b| {
        model
            .elapsed(&a.1.task, now)
            .total_cmp(&model.elapsed(&b.1.task, now))
    }) else {
        return String::new();
    };
    if !group.items {
        return format!(
            "  {name}  {}",
            progress(model, (*index, head, phase), now, style)
        );
    }
    let some = |count: usize, word: &str| (count > 0).then(|| format!("{count} {word}"));
    let counts = [
        some(group.busy.len(), "running"),
        some(group.done, "done"),
        some(group.failed, "failed"),
        some(group.left, "to go"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    let counts = counts.join(", ");
    match folded {
        false => format!("  {name}  {counts}"),
        true => format!(
            "  {name}  {counts}; longest {} {}",
            item(head).unwrap_or_default(),
            progress(model, (*index, head, phase), now, style)
        ),
    }
}

fn item_line(
    model: &Model,
    task: (usize, &TaskHead, &Phase),
    now: Timestamp,
    style: &Style,
) -> String {
    format!(
        "    {}  {}",
        item(task.1).unwrap_or_default(),
        progress(model, task, now, style)
    )
}

/// How long it has been running, how long it usually does, and what it said last.
fn progress(
    model: &Model,
    (index, head, phase): (usize, &TaskHead, &Phase),
    now: Timestamp,
    style: &Style,
) -> String {
    let elapsed = rounded(model.elapsed(&head.task, now));
    let usual = model
        .estimate
        .of(index)
        .map_or(String::new(), |usual| format!(" of ~{}", rounded(usual)));
    let attempt = match phase {
        Phase::Running { attempt: 1, .. } => String::new(),
        Phase::Running { attempt, .. } => format!(" attempt {attempt}"),
        Phase::Waiting { attempt, .. } => format!(" attempt {attempt} failed, waits"),
        _ => String::new(),
    };
    let last = model.last.get(&head.task).map(|line| {
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        format!("  {}", style.clone().dim().apply_to(line))
    });
    format!("{elapsed}{usual}{attempt}{}", last.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::event::{Event, Record, RunStarted, VERSION};
    use crate::pipeline::why::Why;
    use crate::report::history::History;

    /// A run of a stage with items and of one without, of which so many items run.
    fn model(items: usize, running: usize) -> Model {
        let task = |stage: &str, task: String| TaskHead {
            task,
            stage: stage.into(),
            ..TaskHead::default()
        };
        let tasks = (1..=items)
            .map(|number| task("install", format!("install[w{number}]")))
            .chain([task("wait", "wait".into())]);
        let head = RunStarted {
            tasks: tasks.collect(),
            jobs: 100,
            ..RunStarted::default()
        };
        let started = (1..=running).map(|number| Event::TaskStarted {
            task: format!("install[w{number}]"),
            attempt: 1,
            why: Why::NeverRan,
            log: String::new(),
        });
        let mut model = Model::new(History::default());
        for (seq, event) in std::iter::once(Event::RunStarted(head))
            .chain(started)
            .enumerate()
        {
            model.record(&Record {
                v: VERSION,
                run: "R".into(),
                seq: seq as u64,
                at: format!("2026-01-01T00:00:{seq:02}Z"),
                event,
            });
        }
        for number in 1..=running {
            model.line(
                &format!("install[w{number}]"),
                "書き込み中 \u{1b}disk 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字",
            );
        }
        model
    }

    fn lines(model: &Model, columns: usize, rows: usize) -> Vec<String> {
        let now = "2026-01-01T00:01:10Z".parse().unwrap();
        frame(model, Size { columns, rows }, now, &Style::new())
    }

    #[test]
    fn items_stand_one_below_the_other_where_there_is_room() {
        assert_eq!(
            lines(&model(3, 2), 60, 24),
            [
                "0/4 · 1m10s · 2 running · 2 to go",
                "  install  2 running, 1 to go",
                "    w1  1m09s  書き込み中  disk 漢字漢字漢字漢字漢字漢字漢…",
                "    w2  1m08s  書き込み中  disk 漢字漢字漢字漢字漢字漢字漢…",
            ]
        );
    }

    #[test]
    fn as_many_items_have_a_line_as_the_terminal_is_high() {
        let shown = lines(&model(20, 20), 120, 30);
        assert_eq!(shown.len(), 22, "{shown:#?}");
        assert!(shown[21].starts_with("    w20  50s"), "{shown:#?}");
        let shown = lines(&model(50, 50), 60, 24);
        assert_eq!(shown.len(), 19, "{shown:#?}");
        assert_eq!(
            (shown[1].as_str(), shown[18].as_str()),
            ("  install  50 running", "    … and 34 more")
        );
        assert!(shown[17].starts_with("    w16  54s"), "{shown:#?}");
    }

    #[test]
    fn many_items_are_one_line_where_there_is_no_more() {
        assert_eq!(
            lines(&model(50, 50), 60, 4),
            [
                "0/51 · 1m10s · 50 running · 1 to go",
                "  install  50 running; longest w1 1m09s  書き込み中  disk …",
            ]
        );
    }

    #[test]
    fn every_line_fits_on_every_terminal() {
        for model in [model(3, 3), model(50, 50), model(0, 0)] {
            for columns in [1, 5, 10, 20, 40, 80, 300] {
                for rows in [1, 2, 3, 5, 24, 80] {
                    let lines = lines(&model, columns, rows);
                    assert!(
                        lines.len() <= rows.saturating_sub(1).max(1),
                        "{rows}: {lines:?}"
                    );
                    for line in &lines {
                        let wide = measure_text_width(line);
                        assert!(wide < columns.max(2), "{columns}: {line:?}");
                    }
                }
            }
        }
    }
}
