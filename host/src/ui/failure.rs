//! How failures and findings look: `error: what`, then where, details and help, each on a line of its own. Pure.

use console::Style;

use crate::error::{Failure, Finding, Severity};

/// Writes a failure for people.
pub fn text(failure: &Failure, style: &Style) -> String {
    let mut lines = vec![format!(
        "{} {}",
        style.clone().red().bold().apply_to("error:"),
        failure.message
    )];
    if let Some(location) = &failure.location {
        lines.push(format!(
            "  {} {location}",
            style.clone().cyan().apply_to("-->")
        ));
    }
    lines.extend(
        failure
            .details
            .iter()
            .flat_map(|detail| detail.lines())
            .map(|line| format!("  {line}")),
    );
    for finding in &failure.findings {
        lines.push(indented(&finding_text(finding, style)));
    }
    if let Some(help) = &failure.help {
        lines.push(help_line(help, style));
    }
    lines.join("\n")
}

/// Writes a finding for people.
pub fn finding_text(finding: &Finding, style: &Style) -> String {
    let label = match finding.severity {
        Severity::Error => style.clone().red().bold().apply_to("error:"),
        Severity::Warning => style.clone().yellow().bold().apply_to("warning:"),
    };
    let message = &finding.message;
    let mut lines = match (&finding.location, &finding.pointer) {
        (Some(location), _) => vec![format!("{location}: {label} {message}")],
        (None, Some(pointer)) => vec![format!("{label} `{pointer}`: {message}")],
        (None, None) => vec![format!("{label} {message}")],
    };
    if let Some(help) = &finding.help {
        lines.push(help_line(help, style));
    }
    lines.join("\n")
}

fn help_line(help: &str, style: &Style) -> String {
    format!("  {} {help}", style.clone().cyan().apply_to("help:"))
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Exit, Location};

    #[test]
    fn a_failure_says_what_where_why_and_what_next() {
        let location = Location {
            file: "platform.yaml".into(),
            line: 3,
            column: 5,
        };
        let failure = Failure::findings(
            "`platform.yaml` is not valid",
            vec![
                Finding::error("unknown key `nods`")
                    .at(location.clone())
                    .help("did you mean `nodes`?"),
                Finding::warning("an even number of control planes"),
            ],
        )
        .at(Location::file("platform.yaml"))
        .detail("first\nsecond")
        .help("edit the file and run `ztc validate`");
        assert_eq!(failure.exit, Exit::Invalid);
        assert_eq!(
            text(&failure, &Style::new().force_styling(false)),
            "error: `platform.yaml` is not valid
  --> platform.yaml
  first
  second
  platform.yaml:3:5: error: unknown key `nods`
    help: did you mean `nodes`?
  warning: an even number of control planes
  help: edit the file and run `ztc validate`"
        );
    }
}
