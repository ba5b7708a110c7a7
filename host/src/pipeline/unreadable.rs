//! What is said of a journal that cannot be read: what hangs on it, and what is safe to do with it.
//!
//! Reads what of the journal can be read and the stage cache; never changes either.

use serde::Deserialize;
use serde_json::Value;

use crate::error::Failure;
use crate::paths::Repository;
use crate::pipeline::cache::Cache;
use crate::pipeline::event::{Record, VERSION};
use crate::pipeline::journal;
use crate::pipeline::state::{Phase, RunState};

/// How many tasks are named.
const SHOWN: usize = 5;

/// The first line that cannot follow those before it, or is none at all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
    /// Whether a later ztc wrote it, in a form that this one does not know.
    pub newer: bool,
    /// What stands before it.
    pub before: Vec<Record>,
}

/// What a record has in every form.
#[derive(Deserialize)]
struct Form {
    v: u64,
}

impl Wrong {
    /// A line that is wrong for this reason, unless it is one of a form that came later.
    pub(crate) fn new(line: usize, text: &[u8], why: String, before: Vec<Record>) -> Self {
        let form = serde_json::from_slice(text).ok();
        let later = form.filter(|Form { v }| *v > u64::from(VERSION));
        let why = later.as_ref().map_or(why, |Form { v }| {
            format!("it has the form {v} and this ztc reads forms up to {VERSION}")
        });
        Self {
            line,
            why,
            newer: later.is_some(),
            before,
        }
    }
}

/// Says what cannot be read, what is known from it alone, and what to do.
pub(crate) fn failure(repository: &Repository, run: &str, text: &[u8], wrong: &Wrong) -> Failure {
    let failure = Failure::failed(format!(
        "the journal `{}` cannot be read: line {}: {}",
        repository.display(&journal::path(repository, run)),
        wrong.line,
        wrong.why
    ));
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let head: Option<Value> = serde_json::from_slice(first).ok();
    let said = |name: &str| head.as_ref()?.get(name)?.as_str().map(str::to_owned);
    if wrong.newer {
        let wrote = said("ztc_version").unwrap_or_else(|| "a later version".to_owned());
        return failure
            .detail(format!(
                "ztc {wrote} wrote it; this is ztc {}",
                env!("CARGO_PKG_VERSION")
            ))
            .help("use that ztc or a later one; leave the journal where it is: it says what is done already");
    }
    let directory = repository.display(&journal::directory(repository, run));
    if let Some(environment) = said("environment")
        && Cache::holds(repository, &environment, run)
    {
        let cache = repository.display(&Cache::path(repository, &environment));
        return failure.detail(format!("what succeeded in run {run} is known from `{cache}` too")).help(format!(
            "move `{directory}` away: nothing runs again for that, as long as `{cache}` stays; the run's report and logs go with it"
        ));
    }
    alone(failure, run, &directory, wrong)
}

/// Nothing but the journal knows what succeeded in the run.
fn alone(failure: Failure, run: &str, directory: &str, wrong: &Wrong) -> Failure {
    let failure = failure.detail(format!(
        "nothing else knows what succeeded in run {run}: without it those stages count as never run, and what destroys data destroys it again"
    ));
    let Some(first) = wrong
        .before
        .first()
        .map(|_| RunState::replay(&wrong.before))
    else {
        return failure.help(format!(
            "put a copy of the file back; where there is none, move `{directory}` away, read `ztc plan`, and begin behind what is done with `ztc bootstrap --from STAGE`"
        ));
    };
    let open: Vec<&str> = first
        .tasks()
        .filter(|(head, phase)| {
            head.destructive && !matches!(phase, Phase::Succeeded { .. } | Phase::Skipped { .. })
        })
        .map(|(head, _)| head.task.as_str())
        .collect();
    let failure = match (open.as_slice(), first.outcome) {
        ([], _) | (_, Some(_)) => failure,
        (open, None) => failure.detail(format!(
            "only line {} and what follows it could say that these succeeded, which destroy data: {}; where the machines show that they did, begin behind them with `ztc bootstrap --from STAGE`",
            wrong.line,
            named(open)
        )),
    };
    failure.help(format!(
        "put a copy of the file back, or delete line {} and what follows it, since what stands before it can be read; then read `ztc plan` before anything runs",
        wrong.line
    ))
}

fn named(tasks: &[&str]) -> String {
    let mut names: Vec<String> = tasks
        .iter()
        .take(SHOWN)
        .map(|task| format!("`{task}`"))
        .collect();
    if tasks.len() > SHOWN {
        names.push(format!("and {} more", tasks.len() - SHOWN));
    }
    names.join(", ")
}

/// The environment of a run whose journal cannot be read, as far as its first line can.
pub(crate) fn environment(repository: &Repository, run: &str) -> Option<String> {
    let text = std::fs::read(journal::path(repository, run)).ok()?;
    let first: Value = serde_json::from_slice(text.split(|byte| *byte == b'\n').next()?).ok()?;
    Some(first.get("environment")?.as_str()?.to_owned())
}
