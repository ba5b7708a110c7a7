//! `ztc plugins mirror`: what is needed of every source, copied for machines without network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::commands::Context;
use crate::commands::plugins::sources::{Sources, Wanted};
use crate::commands::plugins::trust::{key_or_file, show_key, show_planned_key};
use crate::error::{Exit, Failure};
use crate::plugins::claim::Claim;
use crate::plugins::install::{self, Mode, Terms, both};
use crate::plugins::mirror::{self, Asked, FileState, Mirrored, Platforms};
use crate::plugins::name::is_platform;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::tree::{Signed, Tree, Unsigned};
use crate::shell::word;

/// Options of `ztc plugins mirror`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the mirror: it gets a tree for every source
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// Adapters, each with a range of versions where only that is wanted [default: everything that platform.yaml and its overlays ask for]
    #[arg(value_name = "NAME[@RANGE]")]
    names: Vec<String>,
    /// For which platforms: `all`, or a list such as `linux-x86_64,macos-aarch64`
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = platforms)]
    platform: Platforms,
    /// Where the named adapters come from
    #[arg(long, value_name = "SOURCE", requires = "names")]
    source: Option<String>,
    /// The publisher's public key or its `.pub` file, known from elsewhere: no other will do
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Check and show what would be copied
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let key = arguments.key.as_deref();
    let terms = Terms {
        key: key.map(|key| key_or_file(context, key)).transpose()?,
        unsigned: Unsigned::Never(
            "a mirror holds only what its publisher has signed; copy the directory, and `ztc plugins install` takes it with `--allow-unsigned`",
        ),
        ..Terms::plain(match arguments.dry_run {
            true => Mode::DryRun,
            false => Mode::Install,
        })
    };
    let directory = plain(&context.repository.root().join(&arguments.to));
    let sources = Sources::read(context, &terms)?;
    let wanted = sources.wanted(&arguments.names, arguments.source.as_deref())?;
    if wanted.is_empty() {
        return nothing(context, &sources, arguments);
    }
    let mut all = Vec::new();
    for (source, asked) in by_source(wanted).into_values() {
        let name = source.name();
        let first = asked.first().map_or("", |asked| &asked.name);
        let tree = sources.open(first, source)?;
        let directory = directory.join(mirror::directory_name(&name));
        let chosen = mirror::choose(&tree, &asked, &arguments.platform)?;
        let mirrored = match terms.mode {
            Mode::DryRun => mirror::planned(&tree, &chosen, &directory),
            Mode::Install => {
                std::fs::create_dir_all(&directory)
                    .map_err(|error| Failure::io("make", &directory, &error))?;
                let _claim = Claim::new(&directory, || {
                    context
                        .ui
                        .say("another ztc writes into this mirror; waiting for it");
                })?;
                let bar = context.ui.transfer("");
                let mirrored = mirror::copy(&tree, &chosen, &directory, |path, come, of| {
                    bar.named(path.rsplit('/').next().unwrap_or(path));
                    bar.at(come, of);
                })?;
                drop(bar);
                // The servers took their time; nobody else had to wait for it.
                let _hold = Store::new(&context.machine).hold(|| {
                    context
                        .ui
                        .say("another ztc installs something; waiting for it");
                })?;
                install::remember(&context.machine, &tree, &terms, &|source, key| {
                    show_key(&context.ui, source, key);
                })?;
                mirrored
            }
        };
        if !context.ui.is_json() {
            say(context, &tree, &mirrored, terms.mode);
        }
        all.push(mirrored);
    }
    if context.ui.is_json() {
        context
            .ui
            .json(&serde_json::json!({ "mirrors": all, "dry_run": arguments.dry_run }));
    } else if terms.mode == Mode::Install && !all.is_empty() {
        context.ui.next(
            &format!(
                "ZTC_PLUGINS_MIRROR={} ztc plugins install",
                word(&directory.display().to_string())
            ),
            "on a machine without network, with the place of the directory there",
        );
    }
    Ok(Exit::Done)
}

/// Where nothing is asked for there is nothing to copy; where nobody can ask, the operator has to say what.
fn nothing(
    context: &Context,
    sources: &Sources<'_>,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    if !sources.has_platform() {
        return Err(Failure::new(
            Exit::Missing,
            "there is no `platform.yaml` that asks for plugins",
        )
        .help("name what to copy: `ztc plugins mirror DIR NAME --source SOURCE`"));
    }
    match context.ui.is_json() {
        true => context
            .ui
            .json(&serde_json::json!({ "mirrors": [], "dry_run": arguments.dry_run })),
        false => context.ui.say("platform.yaml asks for no plugins"),
    }
    Ok(Exit::Done)
}

/// What is wanted of each source.
fn by_source(wanted: Vec<Wanted>) -> BTreeMap<String, (Source, Vec<Asked>)> {
    let mut all: BTreeMap<String, (Source, Vec<Asked>)> = BTreeMap::new();
    for Wanted {
        name,
        range,
        source,
    } in wanted
    {
        let range = both(range.as_ref(), source.range());
        let entry = all
            .entry(source.name())
            .or_insert_with(|| (source, Vec::new()));
        entry.1.push(Asked { name, range });
    }
    all
}

fn say(context: &Context, tree: &Tree, mirrored: &Mirrored, mode: Mode) {
    if let (Signed::New(key), Mode::DryRun) = (&tree.signer, mode) {
        show_planned_key(&context.ui, &mirrored.source, key.text());
    }
    for file in &mirrored.files {
        let state = match file.state {
            FileState::Copied => "copied",
            FileState::Present => "was there",
            FileState::Planned => "would be copied",
        };
        context.ui.say(format!(
            "  {} {} for {}: {state}",
            file.name, file.version, file.platform
        ));
    }
    let (source, directory) = (&mirrored.source, mirrored.directory.display());
    let done = match mode {
        Mode::Install => format!("{source} in {directory}"),
        Mode::DryRun => format!("{source} would be in {directory}"),
    };
    context.ui.done(format!(
        "{done}, serial {}, valid until {}",
        mirrored.serial, mirrored.expires
    ));
}

/// A path without `..` and links, as far as it is there.
fn plain(path: &Path) -> PathBuf {
    match (std::fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(plain), _, _) => plain,
        (Err(_), Some(parent), Some(name)) => plain(parent).join(name),
        (Err(_), _, _) => path.to_owned(),
    }
}

fn platforms(text: &str) -> Result<Platforms, String> {
    if text == "all" {
        return Ok(Platforms::All);
    }
    let these: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
    match these.iter().find(|word| !is_platform(word)) {
        None => Ok(Platforms::These(these)),
        Some(word) => Err(format!(
            "`{word}` is not a platform such as `linux-x86_64` or `macos-aarch64`"
        )),
    }
}
