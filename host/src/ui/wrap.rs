//! Messages on a terminal that is narrower than they are: broken between words, what goes on below its beginning. Pure.
//!
//! What is to be copied stays in one piece, however long: what stands in backticks, the commands below a failure, and the output of stages.

use console::measure_text_width;
use textwrap::{Options, WordSeparator, WordSplitter};

/// What begins so is shown as it is.
const VERBATIM: [&str; 4] = ["| ", "go on:", "only this:", "by hand:"];

/// Between the words of a command; as wide as the space that it stands for.
const TIED: char = '\u{a0}';

/// Breaks every line that is wider than the terminal.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    let lines = text.lines().map(|line| {
        let plain = console::strip_ansi_codes(line);
        let begins = |start: &&str| plain.trim_start().starts_with(*start);
        match measure_text_width(line) <= columns || VERBATIM.iter().any(begins) {
            true => line.to_owned(),
            false => wrapped_line(line, &plain, columns),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str, plain: &str, columns: usize) -> String {
    let indent = " ".repeat(hanging(plain, columns));
    let options = Options::new(columns)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let line = tied(line);
    let broken = textwrap::wrap(&line, options);
    broken.join("\n").replace(TIED, " ")
}

/// Where the second line begins: below what follows the label, or the last column of a row.
fn hanging(plain: &str, columns: usize) -> usize {
    let start = plain.len() - plain.trim_start().len();
    let label = plain[start..]
        .split_once(": ")
        .map(|(label, _)| label)
        .filter(|label| ["error", "warning", "help"].contains(label));
    let column = match label {
        Some(label) => start + label.len() + 2,
        None => plain[start..]
            .rfind("  ")
            .map_or(start, |gap| measure_text_width(&plain[..start + gap + 2])),
    };
    if column > columns / 2 {
        start + 4
    } else {
        column
    }
}

/// With the words in backticks tied to each other.
fn tied(line: &str) -> String {
    let mut inside = false;
    line.chars()
        .map(|c| match c {
            '`' => {
                inside = !inside;
                c
            }
            ' ' if inside => TIED,
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_between_words_and_commands_never() {
        let check = |text: &str, expected: &str| assert_eq!(wrapped(text, 40), expected);
        check("short enough", "short enough");
        check(
            "error: the run was interrupted after 12.0s, with 3 tasks to go",
            "error: the run was interrupted after\n       12.0s, with 3 tasks to go",
        );
        check(
            "  help: go on with `ztc -C /a/long/path bootstrap --env production`; what succeeded is not run again",
            "  help: go on with\n        `ztc -C /a/long/path bootstrap --env production`;\n        what succeeded is not run again",
        );
        check(
            "[2/3] install  FAILED  not healthy after 15 s (not required)",
            "[2/3] install  FAILED  not healthy after\n    15 s (not required)",
        );
        check(
            "  go on:      ztc -C /a/very/long/path bootstrap --env production",
            "  go on:      ztc -C /a/very/long/path bootstrap --env production",
        );
        check(
            "  | what a stage printed stays as it was printed, whatever it was",
            "  | what a stage printed stays as it was printed, whatever it was",
        );
    }

    #[test]
    fn colors_are_no_width() {
        assert_eq!(
            wrapped("\u{1b}[31merror:\u{1b}[0m one two three four", 20),
            "\u{1b}[31merror:\u{1b}[0m one two three\n       four"
        );
    }
}
