//! The result of the kit: one outcome for each check, as a table for people, as JSON, and as JUnit for machines that build. Pure.

use std::fmt::Write as _;

use serde::Serialize;
use ztc_protocol::Manifest;

use crate::adapter::Candidate;
use crate::foreign::printable;
use crate::ui::table::table;

/// The check without which the others say little.
pub(super) const RENDER: &str = "render";

/// One thing that is against the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// Where: a method, an artifact, a script.
    pub(crate) place: String,
    /// Why.
    pub(crate) why: String,
}

/// How a check came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// All is well; what was seen.
    Ok { note: String },
    /// Something is wrong.
    Failed { faults: Vec<Fault> },
    /// It was not checked: why.
    Skipped { why: String },
}

impl Outcome {
    pub(super) fn ok(note: impl Into<String>) -> Self {
        Self::Ok { note: note.into() }
    }

    pub(super) fn failed(place: impl Into<String>, why: impl Into<String>) -> Self {
        let fault = Fault {
            place: place.into(),
            why: why.into(),
        };
        Self::Failed {
            faults: vec![fault],
        }
    }

    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped { why: why.into() }
    }

    /// Failed with these, or well.
    pub(super) fn of(faults: Vec<Fault>, note: impl Into<String>) -> Self {
        if faults.is_empty() {
            Self::ok(note)
        } else {
            Self::Failed { faults }
        }
    }
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What the checks together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Nothing that was checked is wrong, and a configuration was rendered.
    Conforms,
    /// Nothing that was checked is wrong, but nothing was rendered.
    Incomplete,
    /// Something is wrong.
    Fails,
}

/// How many checks came out in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) ok: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

/// The report as programs read it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    adapter: &'a str,
    version: Option<&'a str>,
    program: &'a str,
    protocol: &'a str,
    verdict: Verdict,
    counts: Counts,
    checks: &'a [Check],
}

/// All checks of one adapter, in the order in which they were made.
#[derive(Debug)]
pub(crate) struct Report {
    adapter: String,
    version: Option<String>,
    program: String,
    protocol: &'static str,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(candidate: &Candidate) -> Self {
        Self {
            adapter: candidate.name.clone(),
            version: None,
            program: candidate.program.display().to_string(),
            protocol: "1.0",
            checks: Vec::new(),
        }
    }

    pub(super) fn introduced(&mut self, manifest: &Manifest) {
        self.adapter = printable(&manifest.name);
        self.version = Some(printable(&manifest.version));
    }

    pub(super) fn add(&mut self, name: &'static str, mut outcome: Outcome) {
        match &mut outcome {
            Outcome::Ok { note: text } | Outcome::Skipped { why: text } => *text = printable(text),
            Outcome::Failed { faults } => {
                for Fault { place, why } in faults {
                    (*place, *why) = (printable(place), printable(why));
                }
            }
        }
        self.checks.push(Check { name, outcome });
    }

    /// How many checks came out in which way.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for check in &self.checks {
            *match check.outcome {
                Outcome::Ok { .. } => &mut counts.ok,
                Outcome::Failed { .. } => &mut counts.failed,
                Outcome::Skipped { .. } => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    /// What the checks together say.
    pub(crate) fn verdict(&self) -> Verdict {
        let is_rendered =
            |check: &Check| check.name == RENDER && matches!(check.outcome, Outcome::Ok { .. });
        if self.counts().failed > 0 {
            Verdict::Fails
        } else if self.checks.iter().any(is_rendered) {
            Verdict::Conforms
        } else {
            Verdict::Incomplete
        }
    }

    /// Who was tested, for people.
    pub(crate) fn subject(&self) -> String {
        match &self.version {
            Some(version) => format!("adapter `{}` {version}", self.adapter),
            None => format!("adapter `{}`", self.adapter),
        }
    }

    /// One line for each check, and one for each further thing that is wrong.
    pub(crate) fn text(&self) -> String {
        let mut rows = Vec::new();
        for check in &self.checks {
            let mut row = |name: &str, word: &str, text: String| {
                rows.push(vec![name.to_owned(), word.to_owned(), text]);
            };
            match &check.outcome {
                Outcome::Ok { note } => row(check.name, "ok", note.clone()),
                Outcome::Skipped { why } => row(check.name, "skipped", why.clone()),
                Outcome::Failed { faults } => {
                    for (number, fault) in faults.iter().enumerate() {
                        let first = number == 0;
                        row(
                            if first { check.name } else { "" },
                            if first { "FAILED" } else { "" },
                            format!("{}: {}", fault.place, fault.why),
                        );
                    }
                }
            }
        }
        table(&["CHECK", "RESULT", "WHAT"], &rows)
    }

    /// The report as most machines that build read it.
    pub(crate) fn junit(&self) -> String {
        let Counts {
            ok,
            failed,
            skipped,
        } = self.counts();
        let verdict = match self.verdict() {
            Verdict::Conforms => "conforms",
            Verdict::Incomplete => "incomplete",
            Verdict::Fails => "fails",
        };
        let name = xml(&format!("ztc plugins test {}", self.adapter));
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\">\n  <properties><property name=\"verdict\" value=\"{verdict}\"/></properties>\n",
            ok + failed + skipped
        );
        for check in &self.checks {
            let begin = format!(
                "  <testcase classname=\"{}\" name=\"{}\"",
                xml(&self.adapter),
                check.name
            );
            let _ = match &check.outcome {
                Outcome::Ok { .. } => writeln!(text, "{begin}/>"),
                Outcome::Skipped { why } => {
                    writeln!(
                        text,
                        "{begin}><skipped message=\"{}\"/></testcase>",
                        xml(why)
                    )
                }
                Outcome::Failed { faults } => {
                    let lines: Vec<String> = faults
                        .iter()
                        .map(|fault| xml(&format!("{}: {}", fault.place, fault.why)))
                        .collect();
                    let first = lines.first().map(String::as_str).unwrap_or_default();
                    writeln!(
                        text,
                        "{begin}><failure message=\"{first}\">{}</failure></testcase>",
                        lines.join("\n")
                    )
                }
            };
        }
        text.push_str("</testsuite>\n");
        text
    }
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = Document {
            adapter: &self.adapter,
            version: self.version.as_deref(),
            program: &self.program,
            protocol: self.protocol,
            verdict: self.verdict(),
            counts: self.counts(),
            checks: &self.checks,
        };
        document.serialize(serializer)
    }
}

fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            // XML 1.0 has no way to write these.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use crate::adapter::Source;

    use super::*;

    fn report() -> Report {
        let candidate = Candidate {
            name: "bgp".into(),
            source: Source::Path,
            program: "/bin/bgp".into(),
            arguments: Vec::new(),
            sha256: None,
        };
        let mut report = Report::new(&candidate);
        report.add("handshake", Outcome::ok("protocol 1.0"));
        let fault = |place: &str, why: &str| Fault {
            place: place.into(),
            why: why.into(),
        };
        report.add(
            "artifacts",
            Outcome::of(
                vec![
                    fault("`/etc/x`", "it is absolute"),
                    fault("`a`", "<b> & \"c\"\u{7}"),
                ],
                "",
            ),
        );
        report.add("discover", Outcome::skipped("it does not discover"));
        report
    }

    #[test]
    fn people_read_a_table() {
        assert_eq!(
            report().text(),
            "CHECK      RESULT   WHAT
handshake  ok       protocol 1.0
artifacts  FAILED   `/etc/x`: it is absolute
                    `a`: <b> & \"c\"\u{fffd}
discover   skipped  it does not discover"
        );
    }

    #[test]
    fn machines_that_build_read_junit() {
        assert_eq!(
            report().junit(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuite name=\"ztc plugins test bgp\" tests=\"3\" failures=\"1\" skipped=\"1\">
  <properties><property name=\"verdict\" value=\"fails\"/></properties>
  <testcase classname=\"bgp\" name=\"handshake\"/>
  <testcase classname=\"bgp\" name=\"artifacts\"><failure message=\"`/etc/x`: it is absolute\">`/etc/x`: it is absolute
`a`: &lt;b&gt; &amp; &quot;c&quot;\u{fffd}</failure></testcase>
  <testcase classname=\"bgp\" name=\"discover\"><skipped message=\"it does not discover\"/></testcase>
</testsuite>
"
        );
    }
}
