//! The only module that prints. Data go to stdout, everything else to stderr; every text is masked first.
//!
//! Text is readable without colour; colour is used where the stream is a terminal and neither `NO_COLOR` nor `--no-color` forbids it.

pub mod desk;
pub mod failure;
pub mod progress;
pub mod prompt;
pub mod region;
pub mod run;
pub mod table;
pub mod trace;
mod wrap;

use std::io::{self, IsTerminal, Write};

use console::Style;
use serde::Serialize;

use crate::error::{Failure, Finding};
use crate::mask::Mask;
use crate::ui::region::{Hold, Live, Region, Size};

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Only failures.
    Quiet,
    /// What a person wants to know.
    Normal,
}

/// The program's voice; clones share everything.
#[derive(Clone)]
pub struct Ui {
    loudness: Loudness,
    color: bool,
    json: bool,
    mask: Mask,
    region: Region,
}

impl Ui {
    /// Makes the voice. `color` is what the command line says; the environment and the terminal have their say too.
    pub fn new(loudness: Loudness, color: bool, json: bool, mask: Mask) -> Self {
        let wanted = color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let color =
            wanted && (io::stderr().is_terminal() || std::env::var_os("CLICOLOR_FORCE").is_some());
        console::set_colors_enabled(color && io::stdout().is_terminal());
        console::set_colors_enabled_stderr(color);
        Self {
            loudness,
            color,
            json,
            mask,
            region: Region::default(),
        }
    }

    /// Whether a program reads stdout.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether only failures are said.
    pub fn is_quiet(&self) -> bool {
        self.loudness == Loudness::Quiet
    }

    /// Whether a person can be asked: stdin and stderr are a terminal.
    pub fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// How many columns the terminal has to which is written; nothing where it is none.
    pub fn columns(&self) -> Option<usize> {
        let (_, columns) = console::Term::stderr().size_checked()?;
        io::stderr().is_terminal().then(|| columns.into())
    }

    /// How many columns the terminal has to which data are written; nothing where it is none.
    pub fn data_columns(&self) -> Option<usize> {
        let (_, columns) = console::Term::stdout().size_checked()?;
        io::stdout().is_terminal().then(|| columns.into())
    }

    /// Whether lines at the bottom of the terminal can be drawn again and again: not in CI, and not where nobody reads them.
    pub fn has_live_terminal(&self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        io::stderr().is_terminal() && !self.json && !self.is_quiet() && !dumb && !set("CI")
    }

    /// Draws lines at the bottom of the terminal until what it returns is dropped.
    pub fn live(&self, frame: impl FnMut(Size) -> Vec<String> + Send + 'static) -> Live {
        self.region.start(self.mask.clone(), Box::new(frame))
    }

    /// Leaves the whole terminal to a question until what it returns is dropped.
    pub fn hold(&self) -> Hold {
        self.region.hold()
    }

    /// The values that never appear.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Prints data to stdout as they are, with a newline at the end.
    pub fn data(&self, text: &str) {
        self.region
            .aside(|| write_line(io::stdout().lock(), &self.mask.apply(text)));
    }

    /// Prints data to stdout as JSON.
    pub fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.data(&text),
            Err(error) => {
                self.failure(&Failure::failed("failed to write the result as JSON").detail(error));
            }
        }
    }

    /// Prints one JSON object on one line to stdout.
    pub fn json_line(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.data(&text);
        }
    }

    /// Says something to the person.
    pub fn say(&self, text: impl AsRef<str>) {
        if self.loudness > Loudness::Quiet {
            self.print_error(text.as_ref());
        }
    }

    /// Says what nobody may miss, also to who wants to hear of failures only.
    pub fn insist(&self, text: impl AsRef<str>) {
        self.print_error(text.as_ref());
    }

    /// Says that something is done.
    pub fn done(&self, text: impl AsRef<str>) {
        self.say(format!(
            "{} {}",
            self.style().green().apply_to("✓"),
            text.as_ref()
        ));
    }

    /// Says what to type next.
    pub fn next(&self, command: &str, what: &str) {
        self.say(format!(
            "  next: {}  {what}",
            self.style().bold().apply_to(command)
        ));
    }

    /// Shows a finding (usually a warning).
    pub fn finding(&self, finding: &Finding) {
        if self.loudness > Loudness::Quiet {
            self.print_error(&failure::finding_text(finding, &self.style()));
        }
    }

    /// Shows a warning.
    pub fn warning(&self, message: impl Into<String>) {
        self.finding(&Finding::warning(message));
    }

    /// Shows why the command failed: for a person on stderr; with `--json` also as an object `{"error": ...}` on stdout, on one line, since some
    /// commands have written lines of their own before it.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            self.json_line(&serde_json::json!({ "error": failure }));
        }
        self.print_error(&failure::text(failure, &self.style()));
    }

    /// A style that is plain where colour is off.
    pub fn style(&self) -> Style {
        Style::new().for_stderr().force_styling(self.color)
    }

    fn print_error(&self, text: &str) {
        let text = self.mask.apply(text);
        let text = match self.columns() {
            Some(columns) => wrap::wrapped(&text, columns),
            None => text,
        };
        self.region.aside(|| write_line(io::stderr().lock(), &text));
    }
}

/// Writes a line; a reader that went away is not an error.
fn write_line(mut stream: impl Write, text: &str) {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let _ = writeln!(stream, "{text}").and_then(|()| stream.flush());
}
