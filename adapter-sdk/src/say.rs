//! The only module of this crate that prints. An adapter that serves prints nothing on stdout: there the protocol speaks.

/// Prints a line to stdout: the answer of an adapter that runs as an ordinary program.
#[expect(clippy::print_stdout, reason = "the one place that prints to stdout")]
pub(crate) fn out(line: &str) {
    println!("{line}");
}

/// Prints a line to stderr, which the host keeps and shows when something fails.
#[expect(clippy::print_stderr, reason = "the one place that prints to stderr")]
pub(crate) fn err(line: &str) {
    eprintln!("{line}");
}
