//! `ztc plugins install`: what is named, or everything that platform.yaml asks for.

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use semver::{Version, VersionReq};

use crate::commands::Context;
use crate::error::{Exit, Failure, Location};
use crate::platform::{Platform, Plugin};
use crate::plugins::index::and;
use crate::plugins::install::{self, Done, Mode, Moved, State, Terms, TrustWord, Wish};
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::tree::Unsigned;
use crate::plugins::trust::Trust;

/// Options of `ztc plugins install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An adapter with a range of versions (`bgp`, `bgp@^1.2`), a tree (a directory or an address), or an executable
    /// [default: everything that platform.yaml asks for]
    #[arg(value_name = "NAME[@RANGE] | PATH | URL")]
    what: Option<String>,
    /// Where the adapter comes from: a directory, `file://` or `https://`
    #[arg(long, value_name = "SOURCE", requires = "what")]
    source: Option<String>,
    /// The publisher's public key, known from elsewhere: no other will do
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Take what nobody has signed
    #[arg(long)]
    allow_unsigned: bool,
    /// Take an adapter from another source than before
    #[arg(long)]
    moved: bool,
    /// Check and show what would be installed
    #[arg(long)]
    dry_run: bool,
}

/// What is to be done.
enum Job {
    Tree(Wish),
    File(PathBuf),
    /// An adapter that one of the trusted sources may have.
    Somewhere(String, Option<VersionReq>),
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let terms = Terms {
        unsigned: match arguments.allow_unsigned {
            true => Unsigned::Allow,
            false => Unsigned::Refuse,
        },
        moved: match arguments.moved {
            true => Moved::Allow,
            false => Moved::Refuse,
        },
        key: arguments.key.as_deref().map(Key::parse).transpose()?,
        mode: match arguments.dry_run {
            true => Mode::DryRun,
            false => Mode::Install,
        },
    };
    let jobs = jobs(context, arguments)?;
    let store = Store::new(&context.machine);
    let _hold = match terms.mode {
        Mode::DryRun => None,
        Mode::Install => Some(store.hold(|| {
            context
                .ui
                .say("another ztc installs something; waiting for it");
        })?),
    };
    let mut all = Vec::new();
    for job in jobs {
        all.push(one(context, job, &terms)?);
    }
    if context.ui.is_json() {
        context
            .ui
            .json(&serde_json::json!({ "plugins": all, "dry_run": arguments.dry_run }));
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        context.ui.say("platform.yaml asks for no plugins");
    }
    for done in &all {
        say(context, done);
    }
    Ok(Exit::Done)
}

/// Installs an adapter that platform.yaml names, as `ztc plugins install NAME@VERSION` does; JSON is the caller's affair.
pub(crate) fn one_by_name(context: &Context, what: &str) -> Result<(), Failure> {
    let arguments = Arguments {
        what: Some(what.to_owned()),
        source: None,
        key: None,
        allow_unsigned: false,
        moved: false,
        dry_run: false,
    };
    let terms = Terms {
        unsigned: Unsigned::Refuse,
        moved: Moved::Refuse,
        key: None,
        mode: Mode::Install,
    };
    let _hold = Store::new(&context.machine).hold(|| {
        context
            .ui
            .say("another ztc installs something; waiting for it");
    })?;
    for job in jobs(context, &arguments)? {
        say(context, &one(context, job, &terms)?);
    }
    Ok(())
}

fn say(context: &Context, done: &Done) {
    let what = match done.state {
        State::Installed => "installed",
        State::Present => "was installed",
        State::Planned => "would be installed",
    };
    let Done {
        name,
        version,
        source,
        ..
    } = done;
    match (&done.publisher_key, done.trust) {
        (Some(key), TrustWord::FirstUse) => {
            let pinned = match done.state {
                State::Planned => "would be trusted from now on",
                _ => "is trusted from now on",
            };
            context
                .ui
                .say(format!("the publisher's key of {source} {pinned}: {key}"));
            context
                .ui
                .say("  compare it with what the publisher shows elsewhere");
        }
        (None, _) => context.ui.warning(format!(
            "nobody has signed `{name}` {version}: whoever can change {source} decides what it does"
        )),
        _ => {}
    }
    context
        .ui
        .done(format!("{name} {version} {what} from {source}"));
}

/// Reads what is asked for.
fn jobs(context: &Context, arguments: &Arguments) -> Result<Vec<Job>, Failure> {
    let root = context.repository.root();
    let Some(what) = arguments.what.as_deref() else {
        return wanted(context);
    };
    if what.contains("://") || what.contains('/') || what.starts_with('.') {
        if arguments.source.is_some() {
            return Err(
                Failure::invalid("a place and `--source` say the same thing twice")
                    .help("name the adapter and give its source with `--source`"),
            );
        }
        let path = root.join(what.strip_prefix("file://").unwrap_or(what));
        if path.is_file() {
            return Ok(vec![Job::File(path)]);
        }
        let source = Source::parse(what, root)?;
        return Ok(vec![Job::Tree(Wish {
            name: None,
            range: None,
            source,
        })]);
    }
    let (name, range) = match what.split_once('@') {
        Some((name, range)) => (name, Some(requirement(range)?)),
        None => (what, None),
    };
    let asked = platform(context)?.and_then(|platform| platform.plugins.get(name).cloned());
    let range = range.or_else(|| asked.as_ref().and_then(range_of));
    let source = arguments
        .source
        .clone()
        .or_else(|| asked.and_then(|plugin| plugin.source));
    Ok(vec![match source {
        Some(source) => Job::Tree(Wish {
            name: Some(name.to_owned()),
            range,
            source: Source::parse(&source, root)?,
        }),
        None => Job::Somewhere(name.to_owned(), range),
    }])
}

/// Returns everything that platform.yaml asks for.
fn wanted(context: &Context) -> Result<Vec<Job>, Failure> {
    let Some(platform) = platform(context)? else {
        return Err(Failure::new(
            Exit::Missing,
            "there is no `platform.yaml` that asks for plugins",
        )
        .help("name what to install: `ztc plugins install NAME --source SOURCE`"));
    };
    let wanted = platform.plugins.iter().filter(|(_, plugin)| {
        plugin.path.is_none() && (plugin.source.is_some() || plugin.version.is_some())
    });
    wanted
        .map(|(name, plugin)| match &plugin.source {
            None => Ok(Job::Somewhere(name.clone(), range_of(plugin))),
            Some(source) => Source::parse(source, context.repository.root())
                .map(|source| {
                    Job::Tree(Wish {
                        name: Some(name.clone()),
                        range: range_of(plugin),
                        source,
                    })
                })
                .map_err(|failure| failure.at(Location::file("platform.yaml"))),
        })
        .collect()
}

fn platform(context: &Context) -> Result<Option<Platform>, Failure> {
    match context.repository.platform().exists() {
        true => Platform::load(&context.repository, None).map(Some),
        false => Ok(None),
    }
}

fn range_of(plugin: &Plugin) -> Option<VersionReq> {
    plugin
        .version
        .as_deref()
        .and_then(|range| range.parse().ok())
}

/// Reads a range; a whole version means that version alone.
fn requirement(text: &str) -> Result<VersionReq, Failure> {
    let exact = Version::parse(text).map(|version| format!("={version}"));
    VersionReq::parse(exact.as_deref().unwrap_or(text)).map_err(|error| {
        Failure::invalid(format!("`{text}` is not a range of versions: {error}"))
            .help("write a version or a range, such as `bgp@1.2.0` or `bgp@^1.2`")
    })
}

fn one(context: &Context, job: Job, terms: &Terms) -> Result<Done, Failure> {
    let machine = &context.machine;
    let (tree, wish) = match job {
        Job::File(path) => return install::from_file(machine, &path, terms),
        Job::Tree(wish) => (install::open(machine, wish.source.clone(), terms)?, wish),
        Job::Somewhere(name, range) => {
            let trust = Trust::load(machine)?;
            let mut found = Vec::new();
            for source in trust.sources.keys() {
                let source = Source::parse(source, context.repository.root())?;
                let tree = install::open(machine, source, terms)?;
                if tree.index.adapters.contains_key(&name) {
                    found.push(tree);
                }
            }
            let sources: Vec<String> = found.iter().map(|tree| tree.source.name()).collect();
            let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
            match found.len() {
                0 => {
                    return Err(Failure::new(
                        Exit::Missing,
                        format!("no trusted source has an adapter `{name}`"),
                    )
                    .help(format!(
                        "say where it comes from: `ztc plugins install {name} --source SOURCE`"
                    )));
                }
                1 => {}
                _ => {
                    return Err(Failure::invalid(format!(
                        "several trusted sources have an adapter `{name}`"
                    ))
                    .detail(format!("they are {}", and(&sources)))
                    .help(format!(
                        "choose one: `ztc plugins install {name} --source SOURCE`"
                    )));
                }
            }
            let tree = found.remove(0);
            let source = tree.source.clone();
            (
                tree,
                Wish {
                    name: Some(name),
                    range,
                    source,
                },
            )
        }
    };
    let bar = bar(context, wish.name.as_deref().unwrap_or("plugin"));
    let done = install::from_tree(machine, &tree, &wish, terms, |come| bar.set_position(come));
    bar.finish_and_clear();
    done
}

/// A bar on a terminal, nothing elsewhere.
fn bar(context: &Context, name: &str) -> ProgressBar {
    if !context.ui.has_live_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  {msg} {bytes} {bytes_per_sec}");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_message(name.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
