//! `ztc plugins trust`: the publishers' keys that this machine has pinned.

use serde_json::json;

use crate::commands::Context;
use crate::error::{Exit, Failure, did_you_mean};
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::trust::{self, Trust};
use crate::ui::table::table;

/// Subcommands of `ztc plugins trust`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// List the pinned keys
    List,
    /// Pin the key of a source, in place of an older one
    Add {
        /// The source, as for `ztc plugins install --source`
        source: String,
        /// The public key, or the file that holds it
        key: String,
    },
    /// Forget the key of a source: the next one is pinned when it is first used
    Remove {
        /// The source
        source: String,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let root = context.repository.root();
    if matches!(arguments, Arguments::List) {
        list(context, &Trust::load(&context.machine)?);
        return Ok(Exit::Done);
    }
    let _hold = Store::new(&context.machine).hold(|| {
        context
            .ui
            .say("another ztc installs something; waiting for it");
    })?;
    let mut trust = Trust::load(&context.machine)?;
    let said = match arguments {
        Arguments::List => return Ok(Exit::Done),
        Arguments::Add { source, key } => {
            let source = Source::parse(source, root)?.name();
            let text = std::fs::read_to_string(root.join(key)).unwrap_or_else(|_| key.clone());
            let key = Key::parse(&text)?;
            trust.pin(&source, &key);
            format!("{source} is trusted with {}", key.text())
        }
        Arguments::Remove { source } => {
            let source = Source::parse(source, root)?.name();
            if trust.sources.remove(&source).is_none() {
                let failure =
                    Failure::new(Exit::Missing, format!("no key of `{source}` is pinned"));
                let known = trust.sources.keys().map(String::as_str);
                return Err(match did_you_mean(&source, known) {
                    Some(help) => failure.help(help),
                    None => failure.help("`ztc plugins trust list` shows what is pinned"),
                });
            }
            format!("the key of {source} is forgotten")
        }
    };
    trust.save(&context.machine)?;
    match context.ui.is_json() {
        true => list(context, &trust),
        false => context.ui.done(said),
    }
    Ok(Exit::Done)
}

fn list(context: &Context, trust: &Trust) {
    if context.ui.is_json() {
        context
            .ui
            .json(&json!({ "file": trust::path(&context.machine), "sources": trust.sources }));
        return;
    }
    let rows: Vec<Vec<String>> = trust
        .sources
        .iter()
        .map(|(source, pin)| {
            let day = pin.since.split('T').next().unwrap_or_default();
            vec![source.clone(), pin.key.clone(), day.to_owned()]
        })
        .collect();
    context.ui.data(&table(&["SOURCE", "KEY", "SINCE"], &rows));
}
