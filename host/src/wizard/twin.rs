//! The non-interactive twin of the terminal: takes every default, and gathers what has none or is wrong.

use std::collections::BTreeSet;

use crate::error::{Exit, Failure, Finding, Location};
use crate::platform::Platform;
use crate::ui::Ui;
use crate::wizard::prompter::{Kind, Prompter, Question, Reply, Stop, Trouble};

/// Answers with defaults.
pub struct Twin {
    ui: Ui,
    source: Option<Platform>,
    assigned: BTreeSet<String>,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

impl Twin {
    /// Makes one. `source` is the file of answers, which knows places; `assigned` holds the answers that `--set` gave, as `talos.nodes`.
    pub fn new(ui: Ui, source: Option<Platform>, assigned: BTreeSet<String>) -> Self {
        Self {
            ui,
            source,
            assigned,
            findings: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds what is wrong with a section.
    pub fn add(&mut self, section: &str, pointer: &str, of_key: bool, finding: Finding) {
        let location = finding
            .location
            .clone()
            .or_else(|| self.place(section, pointer, of_key));
        let finding = finding.at(location);
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Fails where an answer is missing or wrong; otherwise says what was noted on the way. Warnings are always said.
    pub fn verdict(mut self) -> Result<(), Failure> {
        // In the order of the file; what has no place comes last.
        self.findings.sort_by(|a, b| {
            (a.location.is_none(), &a.location).cmp(&(b.location.is_none(), &b.location))
        });
        let (errors, warnings): (Vec<_>, Vec<_>) = self
            .findings
            .into_iter()
            .partition(|finding| finding.severity == crate::error::Severity::Error);
        for warning in &warnings {
            self.ui.finding(warning);
        }
        match errors.is_empty() {
            true => {
                self.notes.iter().for_each(|note| self.ui.say(note));
                Ok(())
            }
            false => Err(Failure { exit: Exit::Invalid, ..Failure::findings("the answers do not make a platform; nothing was written", errors) }
                .help("give the answers in the file of `--answers` or with `--set ADAPTER.KEY=VALUE`, or run `ztc init` on a terminal")),
        }
    }

    fn place(&self, section: &str, pointer: &str, of_key: bool) -> Option<Location> {
        let key = format!(
            "{section}.{}",
            pointer.split('/').nth(1).unwrap_or_default()
        );
        if self.assigned.contains(&key) {
            return Some(Location::file(format!("--set {key}")));
        }
        let platform = self.source.as_ref()?;
        platform.section(section)?;
        match of_key {
            true => platform.locate_key(section, pointer),
            false => platform.locate(section, pointer),
        }
    }
}

impl Prompter for Twin {
    fn ask(&mut self, question: &Question) -> Result<Reply, Stop> {
        let reply = match &question.kind {
            Kind::Choice { default, .. } => default.map(Reply::Chosen),
            Kind::Several {
                chosen, required, ..
            } => (!required || !chosen.is_empty()).then(|| Reply::Several(chosen.clone())),
            Kind::Confirm { default } => default.map(Reply::Confirmed),
            Kind::Text {
                default: None,
                required: true,
                ..
            }
            | Kind::Hidden => None,
            Kind::Text { .. } => Some(Reply::Line(String::new())),
        };
        reply.map_or_else(|| self.refuse(question, "").and(Err(Stop::Unanswered)), Ok)
    }

    fn refuse(&mut self, question: &Question, why: &str) -> Result<(), Stop> {
        let message = match why {
            "" => format!(
                "`{}` has no answer: {}",
                question.answer,
                question.about.as_ref().unwrap_or(&question.prompt)
            ),
            why => format!("`{}`: the default will not do: {why}", question.answer),
        };
        let finding = Finding {
            help: question.help.clone(),
            ..Finding::error(message)
        };
        let section = question.answer.split('.').next().unwrap_or_default();
        self.add(section, "", false, finding);
        Err(Stop::Unanswered)
    }

    fn trouble(&mut self, trouble: &Trouble) {
        let finding = Finding {
            severity: trouble.severity,
            message: trouble.message.clone(),
            location: None,
            help: trouble.help.clone(),
            pointer: None,
        };
        self.add(&trouble.section, &trouble.pointer, trouble.of_key, finding);
    }

    fn corrects(&self) -> bool {
        false
    }

    fn heading(&mut self, _title: &str, _about: &str) {}

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}
