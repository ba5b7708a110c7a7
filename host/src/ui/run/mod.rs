//! How a run looks while it goes on: a live view on a terminal, plain lines elsewhere, every record with `--json`, tokens with `--tokens`.
//!
//! Owns the choice between them; decides nothing about the run.

mod end;
mod frame;
mod model;
mod overview;
mod plain;
mod tokens;

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Exit, Failure};
use crate::pipeline::event::{Event, Record, TaskFailure};
use crate::pipeline::runner::Told;
use crate::pipeline::state::RunState;
use crate::report::history::History;
use crate::ui::Ui;
use crate::ui::prompt::{Prompts, Refusal};
use crate::ui::region::Live;
use crate::ui::run::model::Model;

pub use end::{NextCommands, end, not_required};
pub use overview::{Look, lasts, overview};

/// Shows a run while it goes on.
pub struct RunView {
    ui: Ui,
    form: Form,
    over: usize,
    /// Whether somebody asked it to stop.
    asked: bool,
    /// The width of the longest task's name.
    width: usize,
}

enum Form {
    Json,
    Tokens,
    Plain,
    /// On a terminal; nothing stands there any more once the run is over.
    Live(Arc<Mutex<Model>>, Option<Live>),
}

impl RunView {
    /// Chooses the form; shows nothing yet. What earlier runs took lets it say how long this one still takes.
    pub fn new(ui: &Ui, history: History) -> Self {
        let form = match () {
            () if ui.is_json() => Form::Json,
            () if ui.has_live_terminal() => {
                let model = Arc::new(Mutex::new(Model::new(history)));
                let (shown, style) = (model.clone(), ui.style());
                let live = ui.live(move |size| {
                    let model = shown.lock().unwrap_or_else(PoisonError::into_inner);
                    frame::frame(&model, size, jiff::Timestamp::now(), &style)
                });
                Form::Live(model, Some(live))
            }
            () => Form::Plain,
        };
        Self {
            ui: ui.clone(),
            form,
            over: 0,
            asked: false,
            width: 0,
        }
    }

    /// Shows tokens for machines.
    pub fn tokens(ui: &Ui) -> Self {
        Self {
            ui: ui.clone(),
            form: Form::Tokens,
            over: 0,
            asked: false,
            width: 0,
        }
    }

    /// Shows what a run tells.
    pub fn show(&mut self, told: &Told<'_>) {
        match (&mut self.form, told) {
            (Form::Json, Told::Record(record, _)) => self.ui.json_line(record),
            (Form::Tokens, Told::Record(record, state)) => {
                if let Some(token) = tokens::token(record, state) {
                    self.ui.data(&token);
                }
            }
            (Form::Plain, Told::Record(record, state)) => self.line(record, state),
            (Form::Live(..), Told::Record(record, state)) => self.live(record, state),
            (Form::Live(model, _), Told::Line { task, line }) => {
                let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
                model.line(task, line);
            }
            (Form::Json | Form::Tokens | Form::Plain, Told::Line { .. }) => {}
        }
    }

    /// Takes a record into the live view; what ends goes up into the terminal's history.
    fn live(&mut self, record: &Record, state: &RunState) {
        let Form::Live(model, live) = &mut self.form else {
            return;
        };
        let summary = {
            let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
            model.record(record)
        };
        let finished = matches!(record.event, Event::RunFinished { .. });
        if finished {
            *live = None;
        }
        match summary {
            model::Lasting::Nothing => {}
            model::Lasting::Line => self.line(record, state),
            model::Lasting::Folded => self.over += 1,
            model::Lasting::Stage { name, text } => {
                self.over += 1;
                self.counted(&name, "ok     ", &text, state.phases.len());
            }
        }
    }

    /// Writes a line for what starts or ends.
    fn line(&mut self, record: &Record, state: &RunState) {
        let total = state.phases.len();
        if let Event::RunStarted(head) = &record.event {
            self.width = head
                .tasks
                .iter()
                .map(|head| console::measure_text_width(&head.task))
                .max()
                .unwrap_or(0);
        }
        if let Event::Interrupted { signal, kill } = &record.event {
            let asked = std::mem::replace(&mut self.asked, true);
            self.ui.say(match (kill, asked) {
                (false, _) => format!("{signal}: nothing more is started, running stages are asked to stop; once more kills them"),
                (true, true) => format!("{signal} again: running stages are killed"),
                (true, false) => format!("{signal}: nothing more is started, running stages are killed"),
            });
        }
        if let Some((task, word, detail)) = plain::row(&record.event, &self.ui.style()) {
            if plain::ends(&record.event) {
                self.over += 1;
                self.counted(task, &word, &detail, total);
            } else {
                let counter = " ".repeat(2 * total.to_string().len() + 3);
                self.row(&counter, task, &word, &detail);
            }
        }
    }

    fn counted(&self, task: &str, word: &str, detail: &str, total: usize) {
        let digits = total.to_string().len();
        self.row(
            &format!("[{:>digits$}/{total}]", self.over),
            task,
            word,
            detail,
        );
    }

    fn row(&self, counter: &str, task: &str, word: &str, detail: &str) {
        // Where a line would not fit anyway, columns only make it longer.
        let narrow = matches!(self.form, Form::Live(..))
            && usize::from(console::Term::stderr().size().1) < self.width + 40;
        let width = if narrow { 0 } else { self.width };
        let task = console::pad_str(task, width, console::Alignment::Left, None);
        self.ui.say(format!("{counter} {task}  {word}  {detail}"));
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

/// How a task failed and after how long, unless how it failed says that already.
pub(crate) fn ended(failure: &TaskFailure, seconds: f64) -> String {
    match failure.took_too_long() {
        true => failure.status.clone(),
        false => format!("{} after {}", failure.status, duration(seconds)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
