//! A run as plain lines: one for everything that starts or ends. Pure.

use console::Style;

use crate::pipeline::event::Event;
use crate::ui::run::{duration, ended};

/// Whether an event is the end of a task.
pub(super) fn ends(event: &Event) -> bool {
    matches!(
        event,
        Event::TaskSkipped { .. }
            | Event::TaskSucceeded { .. }
            | Event::TaskFailed { .. }
            | Event::TaskStopped { .. }
    )
}

/// The task of an event, a word of one width for what happened, and the details.
pub(super) fn row<'a>(event: &'a Event, style: &Style) -> Option<(&'a str, String, String)> {
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
                format!("{}{note}", ended(failure, *seconds)),
            )
        }
        Event::TaskStopped { task, seconds, .. } => (task, plain("stopped"), duration(*seconds)),
    })
}
