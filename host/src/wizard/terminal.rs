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
        Self {
            prompts: Prompts::new(&ui),
            ui,
            help: None,
            last: None,
            retry: None,
        }
    }

    /// Breaks a text into lines that fit, indented.
    fn lines(&self, text: &str) -> Vec<String> {
        let lines = wrapped(text, self.prompts.width().saturating_sub(4));
        lines.into_iter().map(|line| format!("  {line}")).collect()
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

/// Breaks a text into lines between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let fits = |line: &str| {
            line.is_empty()
                || console::measure_text_width(line) + 1 + console::measure_text_width(word)
                    <= width
        };
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if fits(line) => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Prompter for Terminal {
    fn ask(&mut self, question: &Question) -> Result<Reply, Stop> {
        // Help stands once above a question, also where it is asked again or in parts.
        if question.help.is_some() && self.help != question.help {
            self.ui.say("");
            for line in self.lines(question.help.as_deref().unwrap_or_default()) {
                self.ui
                    .say(self.ui.style().dim().apply_to(line).to_string());
            }
        }
        self.help.clone_from(&question.help);
        let retry = self.retry.take();
        let reply = match &question.kind {
            Kind::Choice { options, default } => {
                let options: Vec<(&str, &str)> = options
                    .iter()
                    .map(|option| (option.value.as_str(), option.note.as_str()))
                    .collect();
                self.prompts
                    .select(&question.prompt, &options, *default)
                    .map(Reply::Chosen)
            }
            Kind::Several {
                options, chosen, ..
            } => {
                let options: Vec<(&str, &str)> = options
                    .iter()
                    .map(|option| (option.value.as_str(), option.note.as_str()))
                    .collect();
                self.prompts
                    .pick(&question.prompt, &options, chosen)
                    .map(Reply::Several)
            }
            Kind::Confirm { default } => self
                .prompts
                .confirm(&question.prompt, *default)
                .map(Reply::Confirmed),
            Kind::Text {
                default, initial, ..
            } => {
                let initial = retry.as_deref().unwrap_or(initial);
                self.prompts
                    .text(&question.prompt, default.as_deref(), initial)
                    .map(Reply::Line)
            }
            Kind::Hidden => self.prompts.hidden(&question.prompt).map(Reply::Line),
        };
        self.last = match (&reply, &question.kind) {
            (Ok(Reply::Line(line)), Kind::Text { .. }) => Some(line.clone()),
            _ => None,
        };
        reply.map_err(stop)
    }

    fn refuse(&mut self, question: &Question, why: &str) -> Result<(), Stop> {
        // What was typed stands on the line again, to be corrected.
        self.retry = self.last.take();
        let shown = match question.kind {
            Kind::Hidden => Some("(hidden)"),
            Kind::Several { .. } => Some("none"),
            _ => self.retry.as_deref(),
        };
        if let Some(shown) = shown {
            self.prompts.take_back(&question.prompt, shown);
        }
        self.ui.finding(&Finding::error(why));
        Ok(())
    }

    fn trouble(&mut self, trouble: &Trouble) {
        let finding = match trouble.severity {
            Severity::Error => Finding::error(&trouble.message),
            Severity::Warning => Finding::warning(&trouble.message),
        };
        self.ui.finding(&Finding {
            help: trouble.help.clone(),
            ..finding
        });
    }

    fn corrects(&self) -> bool {
        true
    }

    fn heading(&mut self, title: &str, about: &str) {
        self.help = None;
        self.ui.say("");
        self.ui.say(
            self.ui
                .style()
                .bold()
                .underlined()
                .apply_to(title)
                .to_string(),
        );
        for line in self.lines(about) {
            self.ui
                .say(self.ui.style().dim().apply_to(line).to_string());
        }
    }

    fn note(&mut self, text: &str) {
        // What is indented already is laid out already.
        match text.starts_with(' ') {
            true => self.ui.say(format!("  {text}")),
            false => self.lines(text).iter().for_each(|line| self.ui.say(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn texts_are_broken_between_words() {
        assert_eq!(
            wrapped("one two  three fourteen", 8),
            ["one two", "three", "fourteen"]
        );
        assert_eq!(wrapped("incomprehensible", 4), ["incomprehensible"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
