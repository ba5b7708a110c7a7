//! What a shared platform.yaml asks for and this machine does not have: shown with its source, its publisher and its powers, and installed
//! where the person at the terminal says so. Without a terminal the command is said instead.

use std::path::Path;

use semver::VersionReq;

use crate::adapter::Discovery;
use crate::commands::Context;
use crate::commands::plugins::install;
use crate::commands::plugins::project::Project;
use crate::commands::plugins::together::ask_all;
use crate::error::{Exit, Failure, Finding};
use crate::lock;
use crate::platform::{Platform, Plugin};
use crate::plugins::agreed::{self, Powers};
use crate::plugins::follow::{self, Network};
use crate::plugins::index::Choice;
use crate::plugins::install::{Mode, Terms};
use crate::plugins::locked;
use crate::plugins::powers::Power;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::tree::{Signed, Tree};
use crate::session;
use crate::wizard::Stop;
use crate::wizard::terminal::Terminal;

/// What came of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// Everything is here already.
    Nothing,
    /// All that was missing is installed now.
    Installed,
    /// Something is still missing.
    Declined,
}

/// An adapter that is missing, as its source has shown it: what is agreed to is installed from this very tree.
struct Missing {
    tree: Tree,
    choice: Choice,
}

/// Shows and offers what is missing.
pub(crate) fn offer(
    context: &Context,
    platform: &Platform,
    network: Network,
) -> Result<Offered, Failure> {
    let project = Project::with(context, platform)?;
    let platform = project.platform.as_ref().unwrap_or(platform);
    let names = missing(context, platform, &project);
    if names.is_empty() {
        return Ok(Offered::Nothing);
    }
    let ui = &context.ui;
    ui.say("platform.yaml asks for adapters that are not installed here:");
    let mut found = Vec::new();
    let mut known = true;
    let questions = names.iter().map(|name| {
        let source = platform.plugins[name].source.clone();
        (source.unwrap_or_default(), name)
    });
    let looks = ask_all(ui, questions.collect(), |name: &String| {
        look(context, platform, &project, name, network)
    });
    for (name, look) in names.iter().zip(looks) {
        match look {
            Ok((tree, choice)) => {
                known &= matches!(tree.signer, Signed::Known(_));
                let trust = match (project.pin(name), &tree.signer) {
                    (Some(_), Signed::Known(_)) => "the one that the lock names",
                    (None, Signed::Known(_)) => "trusted on this machine",
                    _ => "new here: compare it with what the publisher shows elsewhere",
                };
                let installed = Store::new(&context.machine).installed();
                let earlier = agreed::earlier(&installed, None, None, &choice);
                let powers = Powers::of(&choice.release, earlier.as_ref());
                known &= powers.new.is_empty() && powers.known;
                show(
                    context,
                    &platform.plugins[name],
                    (&tree, trust),
                    &choice,
                    &powers,
                );
                found.push(Missing { tree, choice });
            }
            Err(failure) => ui.finding(&Finding {
                help: failure.help,
                ..Finding::error(format!("`{name}`: {}", failure.message))
                    .at(platform.locate_plugin(name, "/source"))
            }),
        }
    }
    if found.is_empty() {
        return Ok(Offered::Declined);
    }
    let prompt = match found.as_slice() {
        [one] => format!("Install {} {}?", one.choice.name, one.choice.version),
        all => format!("Install these {}?", all.len()),
    };
    ui.say("");
    // A key that nobody here has seen before is for a person to compare, not for the Enter key to accept.
    let agreed = Terminal::new(ui.clone())
        .yes(&prompt, known)
        .map_err(|stop| match stop {
            Stop::Failed(failure) => failure,
            Stop::Interrupted | Stop::Unanswered => {
                Failure::new(Exit::Interrupted, "interrupted; nothing was installed")
                    .help("start again with the same command")
            }
        })?;
    if !agreed {
        return Ok(Offered::Declined);
    }
    for Missing { tree, choice } in &found {
        install::shown(context, &project, tree, choice)?;
    }
    match found.len() == names.len() {
        true => Ok(Offered::Installed),
        false => Ok(Offered::Declined),
    }
}

/// Says what is missing where nobody can be asked.
pub(crate) fn refuse(context: &Context, platform: &Platform) -> Result<(), Failure> {
    let project = Project::with(context, platform)?;
    let platform = project.platform.as_ref().unwrap_or(platform);
    let names = missing(context, platform, &project);
    let Some(name) = names.first() else {
        return Ok(());
    };
    let mut failure = Failure::new(
        Exit::Missing,
        match names.as_slice() {
            [name] => format!("adapter `{name}`, which platform.yaml asks for, is not installed"),
            _ => "adapters that platform.yaml asks for are not installed".to_owned(),
        },
    )
    .help("run `ztc plugins install`, then the same command again");
    for name in &names {
        let asked = session::asked(&platform.plugins[name]).unwrap_or_default();
        failure = failure.detail(match names.as_slice() {
            [_] => asked,
            _ => format!("{name}: {asked}"),
        });
    }
    Err(failure.at(platform.locate_plugin(name, "/source")))
}

/// Returns the adapters with a source that this machine does not have.
fn missing(context: &Context, platform: &Platform, project: &Project) -> Vec<String> {
    let discovery = Discovery::new(&context.machine, &context.repository, &platform.plugins)
        .with_lock(project.lock());
    platform
        .plugins
        .iter()
        .filter(|(_, plugin)| plugin.source.is_some() && plugin.path.is_none())
        .filter(|(name, _)| discovery.find(name).is_err())
        .map(|(name, _)| name.clone())
        .collect()
}

/// Opens the source of an adapter and chooses what would be installed: what is locked, or else the newest that will do.
fn look(
    context: &Context,
    platform: &Platform,
    project: &Project,
    name: &str,
    network: Network,
) -> Result<(Tree, Choice), Failure> {
    project.refuse_contradiction(name)?;
    let plugin = &platform.plugins[name];
    let source = plugin.source.as_deref().unwrap_or_default();
    let source = Source::parse(source, context.repository.root())?;
    if network == Network::Never {
        refuse_away(context, &source)?;
    }
    let terms = Terms::plain(Mode::DryRun);
    if let Some(locked) = project.pin(name) {
        let root = project.root();
        return match locked::contradiction(name, locked, Some(plugin), root) {
            Some(failure) => Err(failure),
            None => follow::look(&context.machine, root, (name, locked), &terms),
        };
    }
    let tree = crate::plugins::install::open(&context.machine, source, &terms)?;
    let range: Option<VersionReq> = plugin
        .version
        .as_deref()
        .and_then(|range| range.parse().ok());
    let choice = tree
        .index
        .choose(&tree.source.name(), name, range.as_ref(), &lock::machine())?;
    Ok((tree, choice))
}

/// Refuses to ask the network: what is read instead, a mirror that the operator names, may be on this machine.
fn refuse_away(context: &Context, source: &Source) -> Result<(), Failure> {
    let mirror = context.machine.running.mirror.as_deref();
    let is_here = match mirror {
        Some(mirror) => Source::parse(mirror, Path::new("/"))?.is_here(),
        None => source.is_here(),
    };
    match is_here {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Missing,
            format!("{} is not asked: `--offline`", source.name()),
        )
        .help("run `ztc plugins install` where there is a network, or name a mirror: `ZTC_PLUGINS_MIRROR=DIR`")),
    }
}

fn show(
    context: &Context,
    plugin: &Plugin,
    (tree, trust): (&Tree, &str),
    choice: &Choice,
    powers: &Powers,
) {
    let ui = &context.ui;
    let Choice {
        name,
        version,
        release,
        ..
    } = choice;
    let about = tree.index.adapters.get(name);
    let about = about.map(|entry| entry.description.as_str());
    ui.say("");
    match about.filter(|text| !text.is_empty()) {
        Some(about) => ui.say(format!("{name} {version}: {about}")),
        None => ui.say(format!("{name} {version}")),
    }
    let range = plugin.version.as_deref().unwrap_or("any version");
    let key = tree.signer.key().map_or("", |key| key.text());
    let publisher = match tree.index.publisher.name.as_str() {
        "" => String::new(),
        name => format!("{name}, as it calls itself"),
    };
    let touches = &release.touches;
    let words = |words: &[String]| words.join(", ");
    for (what, text) in [
        ("asked for", range.to_owned()),
        ("source", tree.source.name()),
        ("publisher", publisher),
        ("publisher key", key.to_owned()),
        ("", trust.to_owned()),
        ("provides", words(&release.provides)),
        ("requires", words(&release.requires)),
        ("may see", words(&touches.environment)),
        ("secrets", words(&touches.secrets)),
        ("may connect to", words(&touches.network)),
        ("needs the tools", words(&touches.tools)),
    ] {
        if !text.is_empty() {
            ui.say(format!("  {what:16}{text}"));
        }
    }
    if !powers.new.is_empty() {
        let new: Vec<String> = powers.new.iter().map(Power::to_string).collect();
        let before = powers.compared_with.as_deref().unwrap_or_default();
        ui.say(format!(
            "  more than {name} {before}, which is installed: {}",
            new.join(", ")
        ));
    }
    let touches_nothing = [
        &touches.environment,
        &touches.secrets,
        &touches.network,
        &touches.tools,
    ]
    .iter()
    .all(|list| list.is_empty());
    ui.say("  its stages      run as you, outside of the sandbox; `ztc render` writes their scripts to read");
    match (powers.known, touches_nothing) {
        (false, _) => {
            ui.say("  what it touches is not known: nobody has asked it when it was published");
        }
        (true, true) => {
            ui.say("  touches nothing outside of its own files, apart from what its stages do");
        }
        (true, false) => {}
    }
}
