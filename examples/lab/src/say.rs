//! Everything that the lab prints. A reader that has gone away is no error.

use std::fmt::Display;
use std::io::Write;

use console::style;

/// Writes to standard output as it is.
pub fn out(text: impl Display) {
    let mut stdout = std::io::stdout().lock();
    let _ = write!(stdout, "{text}");
    let _ = stdout.flush();
}

/// Writes a line to standard output.
pub fn line(text: impl Display) {
    out(format_args!("{text}\n"));
}

/// Writes a line to standard error.
pub fn error(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A headline of the demo.
pub fn heading(text: &str) {
    line(format_args!("\n{}", style(text).bold()));
}

/// A remark of the demo.
pub fn remark(text: &str) {
    line(style(text).dim());
}

/// A command, as one would type it.
pub fn command(text: &str) {
    line(format_args!(
        "\n{} {}",
        style("$").green().bold(),
        style(text).bold()
    ));
}

/// How something ended.
pub fn verdict(good: bool, text: &str) {
    let mark = if good {
        style("✓").green()
    } else {
        style("✗").red()
    };
    line(format_args!("{} {}", mark.bold(), style(text).bold()));
}
