//! `ztc plugins install`: what is named, or everything that platform.yaml asks for.

use std::path::PathBuf;

use semver::{Version, VersionReq};
use serde::Serialize;

use crate::commands::Context;
use crate::commands::plugins::project::{Project, range_of};
use crate::error::{Exit, Failure, Location};
use crate::lock::plugins::LockedPlugin;
use crate::plugins::index::and;
use crate::plugins::install::{self, Done, Mode, Moved, State, Terms, TrustWord, Wish};
use crate::plugins::locked::{self, Follow, Network};
use crate::plugins::name::FileName;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::tree::{Tree, Unsigned};
use crate::plugins::trust::Trust;

/// Options of `ztc plugins install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An adapter with a range of versions (`bgp`, `bgp@^1.2`), a tree (a directory or an address), or an executable
    /// [default: everything that platform.yaml asks for]
    #[arg(value_name = "NAME[@RANGE] | PATH | URL")]
    what: Option<String>,
    /// Where the adapter comes from: a directory, `file://`, `https://` or `oci://`; for what is locked, a copy to take it from instead
    #[arg(long, value_name = "SOURCE")]
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
    /// Take exactly what the lock names, without the network; refuse any difference
    #[arg(long, conflicts_with_all = ["moved", "key"])]
    locked: bool,
}

/// What is to be done.
enum Job {
    Tree(Wish),
    File(PathBuf),
    /// An adapter that one of the trusted sources may have.
    Somewhere(String, Option<VersionReq>),
    /// Exactly what the lock names.
    Locked(String, LockedPlugin),
    /// Nothing: the reason is known already.
    Refused(String, Failure),
}

/// What became of everything, as `--json` shows it.
#[derive(Serialize)]
struct Report<'a> {
    plugins: &'a [Done],
    /// What was not installed, and why.
    failed: &'a [Failed],
    dry_run: bool,
}

#[derive(Serialize)]
struct Failed {
    name: String,
    error: Failure,
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
    let project = Project::read(context)?;
    let jobs = jobs(context, arguments, &project)?;
    let store = Store::new(&context.machine);
    let _hold = match terms.mode {
        Mode::DryRun => None,
        Mode::Install => Some(store.hold(|| {
            context
                .ui
                .say("another ztc installs something; waiting for it");
        })?),
    };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let (count, is_alone) = (jobs.len(), jobs.len() == 1);
    for job in jobs {
        let name = job.name();
        let work = Work {
            context,
            project: &project,
            terms: &terms,
            arguments,
        };
        match work.one(job) {
            Ok(one) => {
                if !context.ui.is_json() {
                    say(context, &one);
                }
                done.push(one);
            }
            Err(failure) if is_alone => return Err(failure),
            Err(error) => {
                if !context.ui.is_json() {
                    context.ui.failure(&error);
                }
                failed.push(Failed { name, error });
            }
        }
    }
    project.remember(context, terms.mode);
    if context.ui.is_json() {
        context.ui.json(&Report {
            plugins: &done,
            failed: &failed,
            dry_run: arguments.dry_run,
        });
    } else if count == 0 {
        context.ui.say("platform.yaml asks for no plugins");
    }
    match failed.is_empty() {
        true => Ok(Exit::Done),
        false => end(context, &failed, count),
    }
}

/// Says what is missing in the end. What is refused for safety is never hidden behind what only failed.
fn end(context: &Context, failed: &[Failed], count: usize) -> Result<Exit, Failure> {
    let exits: Vec<Exit> = failed.iter().map(|failed| failed.error.exit).collect();
    let exit = match exits.as_slice() {
        exits if exits.contains(&Exit::Refused) => Exit::Refused,
        [first, rest @ ..] if rest.iter().all(|exit| exit == first) => *first,
        _ => Exit::Failed,
    };
    if context.ui.is_json() {
        return Ok(exit);
    }
    let names: Vec<&str> = failed.iter().map(|failed| failed.name.as_str()).collect();
    let message = format!(
        "{} of {count} adapters were not installed: {}",
        failed.len(),
        and(&names)
    );
    Err(Failure::new(exit, message)
        .help("correct what is said above and run the same command again"))
}

impl Job {
    fn name(&self) -> String {
        match self {
            Self::Tree(wish) => match &wish.name {
                Some(name) => name.clone(),
                None => wish.source.name(),
            },
            Self::File(path) => path.display().to_string(),
            Self::Somewhere(name, _) | Self::Locked(name, _) | Self::Refused(name, _) => {
                name.clone()
            }
        }
    }
}

/// Installs an adapter that platform.yaml names, as `ztc plugins install NAME[@VERSION]` does; JSON is the caller's affair.
pub(crate) fn one_by_name(context: &Context, project: &Project, what: &str) -> Result<(), Failure> {
    let arguments = Arguments {
        what: Some(what.to_owned()),
        source: None,
        key: None,
        allow_unsigned: false,
        moved: false,
        dry_run: false,
        locked: false,
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
    for job in jobs(context, &arguments, project)? {
        let work = Work {
            context,
            project,
            terms: &terms,
            arguments: &arguments,
        };
        say(context, &work.one(job)?);
    }
    project.remember(context, terms.mode);
    Ok(())
}

/// Says what became of one adapter.
pub(crate) fn say(context: &Context, done: &Done) {
    for warning in &done.warnings {
        context.ui.warning(warning);
    }
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
    if let Some(was) = &done.lock_was {
        let change = match was == &version.to_string() {
            true => format!("{version} as it is now"),
            false => format!("{version} instead of {was}"),
        };
        context
            .ui
            .say(format!("  platform/lock.json names {name} {change}"));
        context.ui.next("ztc render", "renders with it");
    }
}

/// Reads what is asked for.
fn jobs(context: &Context, arguments: &Arguments, project: &Project) -> Result<Vec<Job>, Failure> {
    let root = context.repository.root();
    let Some(what) = arguments.what.as_deref() else {
        return wanted(context, arguments, project);
    };
    if arguments.locked && what.contains(['@', '/']) {
        return Err(Failure::invalid(format!(
            "`--locked` takes what the lock names, and `{what}` may be something else"
        ))
        .help("name the adapter alone, or leave `--locked` out"));
    }
    if what.contains("://") || what.contains('/') || what.starts_with('.') {
        if arguments.source.is_some() {
            return Err(
                Failure::invalid("a place and `--source` say the same thing twice")
                    .help("name the adapter and give its source with `--source`"),
            );
        }
        let path = root.join(what.strip_prefix("file://").unwrap_or(what));
        if path.is_file() {
            // One file has one name in the lock.
            let path = std::fs::canonicalize(&path).unwrap_or(path);
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
    let locked = project.pin(name);
    if let (None, Some(locked)) = (&range, locked) {
        return Ok(vec![follow(project, name, locked)]);
    }
    if arguments.locked {
        return Ok(vec![not_locked(name)]);
    }
    let asked = project.asked(name);
    let range = range.or_else(|| asked.and_then(range_of));
    let source = arguments
        .source
        .clone()
        .or_else(|| asked.and_then(|plugin| plugin.source.clone()))
        .or_else(|| locked.map(|locked| locked.source.clone()));
    Ok(vec![match source {
        Some(source) => Job::Tree(Wish {
            name: Some(name.to_owned()),
            range,
            source: Source::parse(&source, root)?,
        }),
        None => Job::Somewhere(name.to_owned(), range),
    }])
}

/// Returns everything that platform.yaml asks for and the lock names.
fn wanted(
    context: &Context,
    arguments: &Arguments,
    project: &Project,
) -> Result<Vec<Job>, Failure> {
    let Some(platform) = &project.platform else {
        return Err(Failure::new(
            Exit::Missing,
            "there is no `platform.yaml` that asks for plugins",
        )
        .help("name what to install: `ztc plugins install NAME --source SOURCE`"));
    };
    let wanted = platform.plugins.iter().filter(|(_, plugin)| {
        plugin.path.is_none() && (plugin.source.is_some() || plugin.version.is_some())
    });
    let asked = wanted.map(|(name, plugin)| {
        Ok(match (project.pin(name), &plugin.source) {
            (Some(locked), _) => follow(project, name, locked),
            (None, _) if arguments.locked => not_locked(name),
            (None, None) => Job::Somewhere(name.clone(), range_of(plugin)),
            (None, Some(source)) => Source::parse(source, context.repository.root())
                .map(|source| {
                    Job::Tree(Wish {
                        name: Some(name.clone()),
                        range: range_of(plugin),
                        source,
                    })
                })
                .map_err(|failure| failure.at(Location::file("platform.yaml")))?,
        })
    });
    let mut jobs = asked.collect::<Result<Vec<Job>, Failure>>()?;
    // What platform.yaml says nothing of is in the lock where it was installed by its name alone.
    let silent = project.pins().filter(|(name, _)| {
        let plugin = platform.plugins.get(*name);
        plugin.is_none_or(|plugin| {
            plugin.path.is_none() && plugin.source.is_none() && plugin.version.is_none()
        })
    });
    jobs.extend(silent.map(|(name, locked)| follow(project, name, locked)));
    let follows = |job: &Job| matches!(job, Job::Locked(..) | Job::Refused(..));
    if arguments.source.is_some() && !jobs.iter().any(follows) {
        return Err(Failure::invalid(
            "`--source` without a name gives another place for what is locked, and nothing is locked",
        )
        .help("name the adapter: `ztc plugins install NAME --source SOURCE`"));
    }
    Ok(jobs)
}

/// Returns the job of following the lock, where platform.yaml asks for what it has.
fn follow(project: &Project, name: &str, locked: &LockedPlugin) -> Job {
    let asked = project.asked(name);
    match locked::contradiction(name, locked, asked, project.root()) {
        Some(failure) => Job::Refused(name.to_owned(), failure),
        None => Job::Locked(name.to_owned(), locked.clone()),
    }
}

fn not_locked(name: &str) -> Job {
    let failure = Failure::new(
        Exit::Refused,
        format!("platform.yaml asks for `{name}`, and the lock does not name it"),
    )
    .help("run `ztc plugins install` and `ztc render` without `--locked`, and commit platform/lock.json");
    Job::Refused(name.to_owned(), failure)
}

/// Reads a range; a whole version means that version alone.
pub(crate) fn requirement(text: &str) -> Result<VersionReq, Failure> {
    let exact = Version::parse(text).map(|version| format!("={version}"));
    VersionReq::parse(exact.as_deref().unwrap_or(text)).map_err(|error| {
        Failure::invalid(format!("`{text}` is not a range of versions: {error}"))
            .help("write a version or a range, such as `bgp@1.2.0` or `bgp@^1.2`")
    })
}

/// What installing one adapter needs.
struct Work<'a> {
    context: &'a Context,
    project: &'a Project,
    terms: &'a Terms,
    arguments: &'a Arguments,
}

impl Work<'_> {
    fn one(&self, job: Job) -> Result<Done, Failure> {
        let machine = &self.context.machine;
        let (tree, wish) = match job {
            Job::Refused(_, failure) => return Err(failure),
            Job::Locked(name, locked) => return self.follow(&name, &locked),
            Job::File(path) => {
                let (name, place) = (file_name(&path), format!("file://{}", path.display()));
                self.project.refuse_moved(&name, &place, None, self.terms)?;
                let relock = self.project.relock(self.context, &name, self.terms)?;
                let done = install::from_file(machine, &path, self.terms)?;
                return relock.take(self.context, done);
            }
            Job::Tree(wish) => {
                let tree = self.open(wish.name.as_deref(), wish.source.clone())?;
                (tree, wish)
            }
            Job::Somewhere(name, range) => {
                let tree = self.find(&name)?;
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
        let name = install::name(&tree, &wish)?;
        let relock = self.project.relock(self.context, &name, self.terms)?;
        self.project
            .refuse_moved(&name, &tree.source.name(), tree.signer.key(), self.terms)?;
        let bar = self.context.ui.transfer(&name);
        let done = install::from_tree(machine, &tree, &wish, self.terms, |come, of| {
            bar.at(come, of);
        });
        drop(bar);
        relock.take(self.context, done?)
    }

    /// Opens a source with all that this machine and the lock know of it.
    fn open(&self, name: Option<&str>, source: Source) -> Result<Tree, Failure> {
        match name.and_then(|name| self.project.pin(name)) {
            Some(locked) => locked::open(
                &self.context.machine,
                self.project.root(),
                source,
                locked,
                self.terms,
            ),
            None => install::open(&self.context.machine, source, self.terms),
        }
    }

    /// Finds the one trusted source that has an adapter.
    fn find(&self, name: &str) -> Result<Tree, Failure> {
        let machine = &self.context.machine;
        let trust = Trust::load(machine)?;
        let mut found = Vec::new();
        for source in trust.sources.keys() {
            let source = Source::parse(source, self.context.repository.root())?;
            let tree = install::open(machine, source, self.terms)?;
            if tree.index.adapters.contains_key(name) {
                found.push(tree);
            }
        }
        let sources: Vec<String> = found.iter().map(|tree| tree.source.name()).collect();
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        match found.len() {
            0 => Err(Failure::new(
                Exit::Missing,
                format!("no trusted source has an adapter `{name}`"),
            )
            .help(format!(
                "say where it comes from: `ztc plugins install {name} --source SOURCE`"
            ))),
            1 => Ok(found.remove(0)),
            _ => Err(
                Failure::invalid(format!("several trusted sources have an adapter `{name}`"))
                    .detail(format!("they are {}", and(&sources)))
                    .help(format!(
                        "choose one: `ztc plugins install {name} --source SOURCE`"
                    )),
            ),
        }
    }

    /// Installs exactly what the lock names.
    fn follow(&self, name: &str, locked: &LockedPlugin) -> Result<Done, Failure> {
        let root = self.context.repository.root();
        let instead = self.arguments.source.as_deref();
        let instead = instead
            .map(|source| Source::parse(source, root))
            .transpose()?;
        let follow = Follow {
            machine: &self.context.machine,
            root,
            terms: self.terms,
            instead: instead.as_ref(),
            network: match self.arguments.locked {
                true => Network::Never,
                false => Network::Use,
            },
        };
        let bar = self.context.ui.transfer(name);
        follow.install(name, locked, |come, of| bar.at(come, of))
    }
}

/// Returns the adapter that the name of a file says; nothing sensible where it says none, which is said later.
fn file_name(path: &std::path::Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    FileName::parse(&file).map_or_else(String::new, |file| file.name)
}
