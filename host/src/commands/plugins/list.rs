//! `ztc plugins list`: one row for each adapter. A broken one is a row with its reason.

use serde::Serialize;

use crate::adapter::{Candidate, Source};
use crate::commands::Context;
use crate::commands::plugins::{Introduction, discovery, introduce};
use crate::error::{Exit, Failure};
use crate::ui::table::table;

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    version: Option<String>,
    source: Source,
    program: String,
    protocol: Option<String>,
    provides: Vec<String>,
    /// `ok`, or why it cannot be used.
    status: String,
}

/// Runs the command.
pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    let discovery = discovery(context);
    let candidates = discovery.all();
    let mut introductions = introduce(context, discovery, &candidates)?;
    let rows: Vec<Row> = candidates
        .iter()
        .filter_map(|candidate| Some(row(candidate, introductions.remove(&candidate.name)?)))
        .collect();
    if context.ui.is_json() {
        context.ui.json(&serde_json::json!({ "plugins": rows }));
    } else {
        context.ui.data(&text(&rows));
    }
    Ok(Exit::Done)
}

fn row(candidate: &Candidate, introduction: Result<Introduction, Failure>) -> Row {
    let (introduction, status) = match introduction {
        Ok(introduction) => (Some(introduction), "ok".to_owned()),
        Err(failure) => (None, failure.message),
    };
    let provides = introduction
        .iter()
        .flat_map(|introduction| &introduction.manifest.provides);
    Row {
        name: candidate.name.clone(),
        source: candidate.source,
        program: candidate.program.display().to_string(),
        provides: provides
            .map(|provision| format!("{} {}", provision.capability, provision.version))
            .collect(),
        protocol: introduction
            .as_ref()
            .map(|introduction| introduction.protocol.to_string()),
        version: introduction.map(|introduction| introduction.manifest.version),
        status,
    }
}

fn text(rows: &[Row]) -> String {
    let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let cells = rows.iter().map(|row| {
        let provides = if row.provides.is_empty() {
            "-".to_owned()
        } else {
            row.provides.join(", ")
        };
        let source = row.source.word().to_owned();
        vec![
            row.name.clone(),
            cell(&row.version),
            source,
            cell(&row.protocol),
            provides,
            row.status.clone(),
        ]
    });
    table(
        &[
            "NAME", "VERSION", "SOURCE", "PROTOCOL", "PROVIDES", "STATUS",
        ],
        &cells.collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use ztc_protocol::manifest::Provision;
    use ztc_protocol::{Manifest, PROTOCOL};

    use super::*;

    #[test]
    fn a_broken_adapter_is_a_row_with_its_reason() {
        let candidate = |name: &str| Candidate {
            name: name.to_owned(),
            source: Source::Path,
            program: format!("/bin/{name}").into(),
            arguments: Vec::new(),
            sha256: None,
        };
        let provides = vec![Provision {
            capability: "cni".into(),
            version: "1.0".into(),
            schema: None,
        }];
        let manifest = Manifest {
            version: "1.2.0".into(),
            provides,
            ..Manifest::default()
        };
        let rows = [
            row(
                &candidate("good"),
                Ok(Introduction {
                    manifest,
                    protocol: PROTOCOL,
                }),
            ),
            row(
                &candidate("bad"),
                Err(Failure::failed(
                    "adapter `bad` exited with code 3 during `initialize`",
                )),
            ),
        ];
        assert_eq!(
            text(&rows),
            "NAME  VERSION  SOURCE  PROTOCOL  PROVIDES  STATUS
good  1.2.0    PATH    1.0       cni 1.0   ok
bad   -        PATH    -         -         adapter `bad` exited with code 3 during `initialize`"
        );
    }
}
