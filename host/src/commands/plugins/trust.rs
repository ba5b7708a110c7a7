//! `ztc plugins trust`: the publishers' keys that this machine has pinned.

use serde_json::json;

use crate::commands::Context;
use crate::error::{Exit, Failure, did_you_mean};
use crate::foreign::printable;
use crate::plugins::remembered;
use crate::plugins::seen;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::trust::{self, Trust};
use crate::ui::Ui;
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
        /// Show what would be pinned
        #[arg(long)]
        dry_run: bool,
    },
    /// Forget the key of a source and what it has shown: the next key is pinned when the source is first used
    Remove {
        /// The source
        source: String,
        /// Show what would be forgotten
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match arguments {
        Arguments::List => list(context, &Trust::load(&context.machine)?, false),
        Arguments::Add {
            source,
            key,
            dry_run,
        } => {
            let source = Source::parse(source, context.repository.root())?.name();
            let key = key_or_file(context, key)?;
            change(context, *dry_run, |trust| {
                add(context, trust, &source, &key)
            })?;
        }
        Arguments::Remove { source, dry_run } => {
            let source = Source::parse(source, context.repository.root())?.name();
            change(context, *dry_run, |trust| remove(context, trust, &source))?;
        }
    }
    Ok(Exit::Done)
}

/// What a change does, in words for what was done and what would be.
struct Change {
    source: String,
    done: Vec<String>,
    planned: Vec<String>,
    /// Whether what the source has shown counts no more.
    begins_anew: bool,
}

fn change(
    context: &Context,
    dry_run: bool,
    change: impl FnOnce(&mut Trust) -> Result<Change, Failure>,
) -> Result<(), Failure> {
    let hold = || {
        Store::new(&context.machine).hold(|| {
            let ui = &context.ui;
            ui.say("another ztc installs something; waiting for it");
        })
    };
    let _hold = (!dry_run).then(hold).transpose()?;
    let mut trust = Trust::load(&context.machine)?;
    let change = change(&mut trust)?;
    if !dry_run {
        // The key comes last: whatever is interrupted, what another one has signed is not taken for its own.
        if change.begins_anew {
            seen::forget(&context.machine.data(), &change.source)?;
        }
        trust.save(&context.machine)?;
    }
    if context.ui.is_json() {
        list(context, &trust, dry_run);
        return Ok(());
    }
    let said = if dry_run { change.planned } else { change.done };
    let mut said = said.into_iter();
    if let Some(first) = said.next() {
        context.ui.done(first);
    }
    said.for_each(|line| context.ui.say(format!("  {line}")));
    Ok(())
}

fn add(context: &Context, trust: &mut Trust, source: &str, key: &Key) -> Result<Change, Failure> {
    let text = key.text();
    // Also where that is no key: this is how it is mended.
    let old = trust.sources.get(source).map(|pin| printable(&pin.key));
    let is_other = old.as_ref().is_some_and(|old| old != text);
    if old.as_deref() != Some(text) {
        trust.pin(source, key);
    }
    let mut done = vec![format!("{source} is trusted with {text}")];
    let mut planned = vec![format!("{source} would be trusted with {text}")];
    for old in old.iter().filter(|_| is_other) {
        let line = format!("instead of {old}: what that one has signed counts no more");
        done.push(line.clone());
        planned.push(line);
    }
    // Without a pin, too, the last index may be of another key.
    let last = seen::load(&context.machine.data(), source);
    // This is how that is mended, too.
    let is_broken = last.is_err();
    let is_of_another = match &last {
        Ok(last) => last
            .as_ref()
            .is_some_and(|last| last.index.publisher.key != text),
        Err(_) => true,
    };
    if is_broken {
        done.push("what was seen of it could not be read, and is forgotten".to_owned());
        planned.push("what was seen of it cannot be read, and would be forgotten".to_owned());
    }
    Ok(Change {
        source: source.to_owned(),
        done,
        planned,
        begins_anew: is_other || is_of_another,
    })
}

fn remove(context: &Context, trust: &mut Trust, source: &str) -> Result<Change, Failure> {
    let is_pinned = trust.sources.contains_key(source);
    // What was installed from a source, or seen of it, remembers whose it is where the list has lost that.
    if !is_pinned && !remembered::is_known(&context.machine, source) {
        let failure = Failure::new(Exit::Missing, format!("no key of `{source}` is pinned"));
        let known = trust.sources.keys().map(String::as_str);
        return Err(match did_you_mean(source, known) {
            Some(help) => failure.help(help),
            None => failure.help("`ztc plugins trust list` shows what is pinned"),
        });
    }
    trust.forget(source);
    let next = "the next key that it shows is pinned on first use".to_owned();
    Ok(Change {
        source: source.to_owned(),
        done: vec![
            format!("the key of {source} is forgotten, and what it has shown"),
            next.clone(),
        ],
        planned: vec![
            format!("the key of {source} would be forgotten, and what it has shown"),
            next,
        ],
        begins_anew: true,
    })
}

/// Shows a key that is about to be pinned because it is the first one of its source; with `--json` and `--quiet`, too.
pub(crate) fn show_key(ui: &Ui, source: &str, key: &Key) {
    ui.insist(format!(
        "the publisher's key of {source} is trusted from now on: {}",
        key.text()
    ));
    ui.insist("  compare it with what the publisher shows elsewhere");
}

/// Shows a key that a dry run does not pin.
pub(crate) fn show_planned_key(ui: &Ui, source: &str, key: &str) {
    ui.say(format!(
        "the publisher's key of {source} would be trusted from now on: {key}"
    ));
    ui.say("  compare it with what the publisher shows elsewhere");
}

/// Reads a key, or the file that holds it: what is a key is never taken for the name of a file.
pub(crate) fn key_or_file(context: &Context, text: &str) -> Result<Key, Failure> {
    let failure = match Key::parse(text) {
        Ok(key) => return Ok(key),
        Err(failure) => failure,
    };
    let path = context.repository.root().join(text);
    match std::fs::read_to_string(&path) {
        Ok(content) => Key::parse(&content).map_err(|_| {
            Failure::invalid(format!("`{text}` holds no public key of minisign"))
                .help("give the publisher's `.pub` file, or its line that begins with `RW`")
        }),
        // What begins like a key is one that was mistyped.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !text.starts_with("RW") => {
            let shown = printable(text);
            Err(Failure::new(
                Exit::Missing,
                format!("there is no file `{shown}` with a key"),
            )
            .help("give the publisher's `.pub` file, or its line that begins with `RW`"))
        }
        Err(_) => Err(failure),
    }
}

fn list(context: &Context, trust: &Trust, dry_run: bool) {
    if context.ui.is_json() {
        let file = trust::path(&context.machine);
        context
            .ui
            .json(&json!({ "file": file, "sources": trust.sources, "dry_run": dry_run }));
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
