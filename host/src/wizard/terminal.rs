//! The terminal as a [`Prompter`]: what a question looks like and what is typed. All of it goes to stderr through `ui`.

use crate::error::{Finding, Severity};
use crate::ui::Ui;
use crate::ui::prompt::{Prompts, Refusal};
use crate::wizard::prompter::{Kind, Prompter, Question, Reply, Stop, Trouble};

/// A person at a terminal.
pub struct Terminal {
    ui: Ui,
    prompts: Prompts,
    help: Option<String>,
    last: Option<String>,
    retry: Option<String>,
}

impl Terminal {
    /// Takes the terminal.
    pub fn new(ui: Ui) -> Self {
        Self { prompts: Prompts::new(&ui), ui, help: None, last: None, retry: None }
    }

    /// Asks for yes or no outside of the answers.
    pub fn yes(&mut self, prompt: &str, default: bool) -> Result<bool, Stop> {
        self.prompts.confirm(prompt, Some(default)).map_err(stop)
    }
}

fn stop(refusal: Refusal) -> Stop {
    match refusal {
        Refusal::Interrupted => Stop::Interrupted,
        Refusal::Failed(failure) => Stop::Failed(failure),
    }
}

impl Prompter for Terminal {
    fn ask(&mut self, question: &Question) -> Result<Reply, Stop> {
        // Help stands once above a question, also where it is asked again or in parts.
        if question.help.is_some() && self.help != question.help {
            self.ui.say("");
            self.ui.say(self.ui.style().dim().apply_to(format!("  {}", question.help.as_deref().unwrap_or_default())).to_string());
        }
        self.help.clone_from(&question.help);
        let retry = self.retry.take();
        let reply = match &question.kind {
            Kind::Choice { options, default } => {
                let options: Vec<(&str, &str)> = options.iter().map(|option| (option.value.as_str(), option.note.as_str())).collect();
                self.prompts.select(&question.prompt, &options, *default).map(Reply::Chosen)
            }
            Kind::Confirm { default } => self.prompts.confirm(&question.prompt, *default).map(Reply::Confirmed),
            Kind::Text { default, initial, .. } => {
                let initial = retry.as_deref().unwrap_or(initial);
                self.prompts.text(&question.prompt, default.as_deref(), initial).map(Reply::Line)
            }
            Kind::Hidden => self.prompts.hidden(&question.prompt).map(Reply::Line),
        };
        self.last = match (&reply, &question.kind) {
            (Ok(Reply::Line(line)), Kind::Text { .. }) => Some(line.clone()),
            _ => None,
        };
        reply.map_err(stop)
    }

    fn refuse(&mut self, _question: &Question, why: &str) -> Result<(), Stop> {
        // What was typed stands on the line again, to be corrected.
        self.retry = self.last.take();
        self.ui.finding(&Finding::error(why));
        Ok(())
    }

    fn trouble(&mut self, trouble: &Trouble) {
        let finding = match trouble.severity {
            Severity::Error => Finding::error(&trouble.message),
            Severity::Warning => Finding::warning(&trouble.message),
        };
        self.ui.finding(&Finding { help: trouble.help.clone(), ..finding });
    }

    fn corrects(&self) -> bool {
        true
    }

    fn heading(&mut self, title: &str, about: &str) {
        self.help = None;
        self.ui.say("");
        self.ui.say(format!("{}  {}", self.ui.style().bold().underlined().apply_to(title), self.ui.style().dim().apply_to(about)));
    }

    fn note(&mut self, text: &str) {
        self.ui.say(format!("  {text}"));
    }
}
