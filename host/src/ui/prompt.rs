//! Questions to a person at the terminal: choice, yes or no, a line, a hidden line. All on stderr, all ended by Ctrl-C, and the terminal is
//! left as it was.

use std::{fmt, io};

use console::Term;
use dialoguer::theme::{ColorfulTheme, Theme};
use dialoguer::{Confirm, Input, MultiSelect, Select};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::Failure;
use crate::ui::Ui;

/// Most choices on the screen at once.
const MOST_CHOICES: usize = 12;

/// Why there is no answer.
#[derive(Debug)]
pub enum Refusal {
    /// Ctrl-C, or a signal asked to end.
    Interrupted,
    /// The terminal is gone.
    Failed(Failure),
}

/// Marks the line that the keys act on with a sign: the theme beneath marks it by its color alone, which not everybody sees.
struct Picking<'a>(&'a ColorfulTheme);

impl Theme for Picking<'_> {
    fn format_multi_select_prompt(&self, f: &mut dyn fmt::Write, prompt: &str) -> fmt::Result {
        self.0.format_multi_select_prompt(f, prompt)
    }

    fn format_multi_select_prompt_item(
        &self,
        f: &mut dyn fmt::Write,
        text: &str,
        checked: bool,
        active: bool,
    ) -> fmt::Result {
        match active {
            true => write!(f, "{} ", self.0.active_item_prefix)?,
            false => f.write_str("  ")?,
        }
        self.0
            .format_multi_select_prompt_item(f, text, checked, active)
    }
}

/// Asks.
pub struct Prompts {
    theme: ColorfulTheme,
    term: Term,
}

impl Prompts {
    /// Takes the terminal.
    pub fn new(ui: &Ui) -> Self {
        let style = || ui.style();
        let sign = |sign: &str, style: console::Style| style.apply_to(sign.to_owned());
        let theme = ColorfulTheme {
            prompt_prefix: sign("?", style().cyan()),
            prompt_suffix: sign("›", style().dim()),
            success_prefix: sign("✓", style().green()),
            success_suffix: sign("·", style().dim()),
            active_item_prefix: sign("❯", style().cyan()),
            hint_style: style().dim(),
            values_style: style().cyan(),
            ..ColorfulTheme::default()
        };
        Self {
            theme,
            term: Term::stderr(),
        }
    }

    /// How many columns the terminal has.
    pub fn width(&self) -> usize {
        usize::from(self.term.size().1)
    }

    /// Asks for one of several; each has a word and a few words about it.
    pub fn select(
        &self,
        prompt: &str,
        options: &[(&str, &str)],
        default: Option<usize>,
    ) -> Result<usize, Refusal> {
        let chosen = Select::with_theme(&self.theme)
            .with_prompt(prompt)
            .items(self.lines(options))
            .default(default.unwrap_or(0))
            .max_length(MOST_CHOICES)
            .report(false)
            .interact_on(&self.term);
        let index = self.answer(chosen)?;
        self.report(prompt, options[index].0)?;
        Ok(index)
    }

    /// Asks for any number of several; each has a word and a few words about it. Returns them in order.
    pub fn pick(
        &self,
        prompt: &str,
        options: &[(&str, &str)],
        chosen: &[usize],
    ) -> Result<Vec<usize>, Refusal> {
        let marks: Vec<bool> = (0..options.len())
            .map(|index| chosen.contains(&index))
            .collect();
        let how = format!("{prompt} (space chooses, a all, Enter ends)");
        let theme = Picking(&self.theme);
        let picked = MultiSelect::with_theme(&theme)
            .with_prompt(how)
            .items(self.lines(options))
            .defaults(&marks)
            .max_length(MOST_CHOICES)
            .report(false)
            .interact_on(&self.term);
        let picked = self.answer(picked)?;
        let words: Vec<&str> = picked.iter().map(|index| options[*index].0).collect();
        let answer = match words.as_slice() {
            [] => "none".to_owned(),
            words => words.join(", "),
        };
        self.report(prompt, &answer)?;
        Ok(picked)
    }

    /// Writes choices in columns, each on one line.
    fn lines(&self, options: &[(&str, &str)]) -> Vec<String> {
        let widest = options
            .iter()
            .map(|(word, _)| console::measure_text_width(word))
            .max()
            .unwrap_or(0);
        let width = self.width().saturating_sub(8);
        let line = |(word, note): &(&str, &str)| {
            let word = console::pad_str(word, widest, console::Alignment::Left, None);
            // A choice that is broken over two lines cannot be drawn again.
            console::truncate_str(format!("{word}  {note}").trim_end(), width, "…").into_owned()
        };
        options.iter().map(line).collect()
    }

    /// Asks for yes or no. The answer counts after Enter, so that nothing typed ahead answers the next question.
    pub fn confirm(&self, prompt: &str, default: Option<bool>) -> Result<bool, Refusal> {
        let question = Confirm::with_theme(&self.theme)
            .with_prompt(prompt)
            .wait_for_newline(true);
        let question = match default {
            Some(default) => question.default(default),
            None => question,
        };
        self.answer(question.interact_on(&self.term))
    }

    /// Asks for a line; empty where the default is taken and there is none.
    pub fn text(
        &self,
        prompt: &str,
        default: Option<&str>,
        initial: &str,
    ) -> Result<String, Refusal> {
        let question = Input::<String>::with_theme(&self.theme)
            .with_prompt(prompt)
            .allow_empty(true);
        let question = match default {
            Some(default) => question.default(default.to_owned()),
            None => question,
        };
        let question = match initial {
            "" => question,
            initial => question.with_initial_text(initial),
        };
        self.answer(question.interact_text_on(&self.term))
    }

    /// Asks for a line that is not shown while it is typed or pasted.
    pub fn hidden(&self, prompt: &str) -> Result<String, Refusal> {
        let sign = &self.theme.prompt_prefix;
        let suffix = &self.theme.prompt_suffix;
        let asked = self.term.write_str(&format!(
            "{sign} {} {suffix} ",
            self.theme.prompt_style.apply_to(prompt)
        ));
        let line = asked.and_then(|()| read_hidden());
        let _ = self.term.write_line("");
        let line = self.answer(line.map_err(dialoguer::Error::from))?;
        let _ = self.term.clear_last_lines(1);
        self.report(prompt, "(hidden)")?;
        Ok(line)
    }

    /// Takes back the line that says what was answered: it was refused.
    pub fn take_back(&self, prompt: &str, answer: &str) {
        let width = self.width().max(1);
        let lines = (console::measure_text_width(&self.reported(prompt, answer)) - 1) / width + 1;
        let _ = self.term.clear_last_lines(lines);
    }

    fn report(&self, prompt: &str, answer: &str) -> Result<(), Refusal> {
        let written = self.term.write_line(&self.reported(prompt, answer));
        self.answer(written.map_err(dialoguer::Error::from))
    }

    fn reported(&self, prompt: &str, answer: &str) -> String {
        let theme = &self.theme;
        format!(
            "{} {} {} {}",
            theme.success_prefix,
            theme.prompt_style.apply_to(prompt),
            theme.success_suffix,
            theme.values_style.apply_to(answer)
        )
    }

    fn answer<T>(&self, result: dialoguer::Result<T>) -> Result<T, Refusal> {
        let error = match result {
            Ok(answer) => return Ok(answer),
            Err(dialoguer::Error::IO(error)) => error,
        };
        // The cursor may be hidden, and the question's line has no end.
        let _ = self.term.show_cursor();
        let _ = self.term.write_line("");
        match error.kind() {
            io::ErrorKind::Interrupted => Err(Refusal::Interrupted),
            io::ErrorKind::UnexpectedEof => Err(Refusal::Interrupted),
            _ => Err(Refusal::Failed(
                Failure::failed("failed to ask on the terminal").detail(error),
            )),
        }
    }
}

/// Puts the terminal back when it goes.
struct Restore(Termios);

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Reads a line without echo, from the first to the last byte: between two keys nothing is shown either.
fn read_hidden() -> io::Result<String> {
    let stdin = rustix::stdio::stdin();
    let original = tcgetattr(stdin)?;
    let mut modes = original.clone();
    modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    let _restore = Restore(original);
    tcsetattr(stdin, OptionalActions::Now, &modes)?;
    let mut line = Vec::new();
    loop {
        // Unlike a read, a poll ends when a signal comes.
        poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None)?;
        let mut bytes = [0; 256];
        let count = rustix::io::read(stdin, &mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for byte in &bytes[..count] {
            match byte {
                b'\r' | b'\n' => {
                    return String::from_utf8(line)
                        .map_err(|_| io::Error::other("what was typed is not UTF-8 text"));
                }
                3 => return Err(io::ErrorKind::Interrupted.into()),
                4 => return Err(io::ErrorKind::UnexpectedEof.into()),
                8 | 127 => while line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {},
                21 => line.clear(),
                byte => line.push(*byte),
            }
        }
    }
}
