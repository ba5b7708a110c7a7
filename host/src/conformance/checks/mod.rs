//! The checks, in the order in which they are made, and those that need all sessions to be over.

pub(super) mod behavior;
mod fit;
pub(super) mod handshake;
mod inputs;
mod material;
pub(super) mod rendering;
mod scripts;
mod secrets;

use serde_json::Value;

use crate::conformance::Kit;
use crate::conformance::report::{Fault, Outcome};
use crate::conformance::session::{Answer, Reply};

/// How many things of one kind are told.
const TOLD: usize = 10;

/// Adds what all sessions together have shown.
pub(super) fn finish(kit: &mut Kit) {
    let (messages, noise, form, left, late, slowest) = {
        let book = kit.ledger.book();
        let slowest = book.times.iter().max_by_key(|(_, time)| **time);
        (
            book.messages,
            faults(&book.noise),
            faults(&book.form),
            faults(&book.left),
            faults(&book.late),
            slowest.map_or_else(String::new, |(method, time)| {
                format!("slowest: `{method}` with {} ms", time.as_millis())
            }),
        )
    };
    kit.report.add(
        "messages",
        Outcome::of(form, format!("{messages} have the form of the schema")),
    );
    kit.report
        .add("stdout", Outcome::of(noise, "nothing but messages"));
    kit.report.add(
        "descendants",
        Outcome::of(left, "none outlives the adapter"),
    );
    kit.report.add("time-limits", Outcome::of(late, slowest));
}

fn faults(entries: &[(String, String)]) -> Vec<Fault> {
    let told = entries.iter().take(TOLD);
    told.map(|(place, why)| Fault {
        place: place.clone(),
        why: why.clone(),
    })
    .collect()
}

fn fault(place: impl Into<String>, why: impl Into<String>) -> Fault {
    Fault {
        place: place.into(),
        why: why.into(),
    }
}

/// Says what came instead of what was expected.
fn instead(answer: &Answer) -> String {
    match answer {
        Ok(Reply::Result(_)) => "answered with a result".to_owned(),
        Ok(Reply::Error {
            code,
            message,
            data,
        }) => match findings(&data["diagnostics"]).as_str() {
            "" => format!("answered with the error {code}: {message}"),
            more => format!("answered with the error {code}: {message} ({more})"),
        },
        Err(broken) => broken.to_string(),
    }
}

/// Says what diagnostics say, with their places.
fn findings(diagnostics: &Value) -> String {
    let all = diagnostics.as_array().map_or(&[][..], Vec::as_slice);
    let mut texts: Vec<String> = all
        .iter()
        .take(TOLD)
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap_or_default();
            let severity = match text("severity") {
                "" => "error",
                severity => severity,
            };
            format!("{severity} at `{}`: {}", text("pointer"), text("message"))
        })
        .collect();
    if all.len() > TOLD {
        texts.push(format!("and {} more", all.len() - TOLD));
    }
    texts.join("; ")
}

/// Expects an error with this code.
fn expect_error(method: &str, wanted: i64, answer: &Answer) -> Outcome {
    match answer {
        Ok(Reply::Error { code, .. }) if *code == wanted => Outcome::ok(format!("error {wanted}")),
        other => Outcome::failed(
            format!("`{method}`"),
            format!("{} instead of the error {wanted}", instead(other)),
        ),
    }
}
