//! What Talos' reader of YAML refuses in the layout of a text, and newer readers do not: tabs before a line, and directives of other versions.

use super::document::Unreadable;
use super::finding::Place;

/// Refuses tabs where a line is indented. `long` has the lines, from 1, of scalars of several lines and of what stands in
/// brackets, which may have them.
pub(super) fn tabs(text: &str, long: &[(usize, usize)]) -> Result<(), Unreadable> {
    for (index, line) in text.lines().enumerate() {
        let blanks = line.trim_start_matches(' ');
        let after_dash = blanks
            .strip_prefix('-')
            .map(|rest| rest.trim_start_matches(' '));
        let after_dash = after_dash.filter(|rest| rest.trim_start().contains(':'));
        let tab = [Some(blanks), after_dash]
            .into_iter()
            .flatten()
            .find(|rest| rest.starts_with('\t'));
        let Some(rest) = tab else { continue };
        let number = index + 1;
        if long
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
        {
            continue;
        }
        return Err(Unreadable {
            message: "a tab stands where a line is indented".into(),
            place: Place {
                line: number,
                column: 1 + line.chars().count() - rest.chars().count(),
            },
        });
    }
    Ok(())
}

/// Refuses directives before the first document that the reader does not know: it reads YAML 1.1.
pub(super) fn directives(text: &str) -> Result<(), Unreadable> {
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(directive) = line.strip_prefix('%') else {
            return Ok(());
        };
        let mut words = directive.split_ascii_whitespace();
        let good = match (words.next(), words.next()) {
            (Some("YAML"), version) => version == Some("1.1"),
            (Some("TAG"), _) => true,
            _ => false,
        };
        if !good {
            return Err(Unreadable {
                message: format!("`{line}` is not a directive of YAML 1.1, which Talos reads"),
                place: Place {
                    line: index + 1,
                    column: 1,
                },
            });
        }
    }
    Ok(())
}
