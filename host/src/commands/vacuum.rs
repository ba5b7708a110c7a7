//! `ztc vacuum`: what killed runs left behind.

use std::time::Duration;

use crate::commands::Context;
use crate::error::{Exit, Failure};
use crate::secrets::secure_dir;
use crate::ui::table::table;

/// How old a directory must be before the start of any command removes it.
const AGE: Duration = Duration::from_secs(60 * 60);

/// Options of `ztc vacuum`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Remove directories older than this many minutes
    #[arg(long, value_name = "MINUTES", default_value_t = AGE.as_secs() / 60)]
    pub(crate) older_than: u64,
    /// Only list them
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let ui = &context.ui;
    let age = Duration::from_secs(arguments.older_than.saturating_mul(60));
    let found = secure_dir::stale(&std::env::temp_dir(), age);
    if ui.is_json() {
        ui.json(&found);
    } else if found.is_empty() {
        ui.done("no private directories were left behind");
    } else {
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|stale| {
                vec![
                    stale.path.display().to_string(),
                    stale.age_minutes.to_string(),
                    stale.bytes.to_string(),
                ]
            })
            .collect();
        ui.data(&table(&["DIRECTORY", "AGE (MIN)", "BYTES"], &rows));
    }
    if arguments.dry_run || found.is_empty() {
        return Ok(Exit::Done);
    }
    let failures: Vec<Failure> = found
        .iter()
        .filter_map(|stale| secure_dir::remove(stale).err())
        .collect();
    ui.done(format!("removed {} of them", found.len() - failures.len()));
    failures.into_iter().next().map_or(Ok(Exit::Done), Err)
}

/// Removes what is old at the start of a command; what cannot be removed is left to `ztc vacuum`, which says why.
pub(crate) fn sweep() {
    for stale in secure_dir::stale(&std::env::temp_dir(), AGE) {
        let _ = secure_dir::remove(&stale);
    }
}
