//! `ztc plugins install`: what is named, or everything that platform.yaml and its overlays ask for.

use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use serde::Serialize;

use crate::commands::Context;
use crate::commands::plugins::finding::{Purpose, find, nameless};
use crate::commands::plugins::project::{Project, range_of};
use crate::commands::plugins::stop::Stop;
use crate::commands::plugins::trust::{key_or_file, show_planned_key};
use crate::commands::plugins::work::Work;
use crate::error::{Exit, Failure};
use crate::foreign::printable;
use crate::lock::plugins::LockedPlugin;
use crate::plugins::agreed::NewPowers;
use crate::plugins::follow::Network;
use crate::plugins::index::{Choice, and};
use crate::plugins::install::{Done, Mode, Moved, State, Terms, TrustWord, Wish};
use crate::plugins::locked;
use crate::plugins::mirror;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::tree::{Tree, Unsigned};
use crate::shell::word;

/// Options of `ztc plugins install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An adapter with a range of versions (`bgp`, `bgp@^1.2`), a tree (a directory or an address), or an executable
    /// [default: everything that platform.yaml and its overlays ask for]
    #[arg(value_name = "NAME[@RANGE] | PATH | URL")]
    what: Vec<String>,
    /// Where the adapter comes from: a directory, `file://`, `https://` or `oci://`; for what is locked, a copy to take it from instead
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// The publisher's public key, or the file that holds it, known from elsewhere: no other will do
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Agree that a version touches more than the one before: variables, secrets, network, tools
    #[arg(long)]
    accept: bool,
    /// Take what nobody has signed
    #[arg(long)]
    allow_unsigned: bool,
    /// Take an adapter from another source than before, or from a tree that its publisher has begun anew
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
pub(crate) struct Failed {
    pub(crate) name: String,
    pub(crate) error: Failure,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let terms = Terms {
        unsigned: Unsigned::of(arguments.allow_unsigned),
        moved: match arguments.moved {
            true => Moved::Allow,
            false => Moved::Refuse,
        },
        key: arguments
            .key
            .as_deref()
            .map(|key| key_or_file(context, key))
            .transpose()?,
        powers: match arguments.accept {
            true => NewPowers::Accept,
            false => NewPowers::Refuse,
        },
        mode: match arguments.dry_run {
            true => Mode::DryRun,
            false => Mode::Install,
        },
    };
    let project = Project::read(context)?;
    let jobs = jobs(
        context,
        arguments,
        &project,
        terms.key.as_ref().map(Key::text),
    )?;
    let work = Work {
        context,
        project: &project,
        terms: &terms,
        instead: arguments.source.as_deref(),
        network: match arguments.locked {
            true => Network::Never,
            false => Network::Use,
        },
        stop: Stop::listen(&context.ui),
    };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let (count, is_alone) = (jobs.len(), jobs.len() == 1);
    for job in jobs {
        let name = job.name();
        match one(&work, job) {
            Ok(mut one) => {
                let keeps_own = project.keeps_own(&one.name);
                one.warnings.extend(keeps_own.then(|| unused(&one.name)));
                if !context.ui.is_json() {
                    say(context, &one);
                    say_powers(context, &one);
                    say_lock(context, &one);
                    if keeps_own {
                        say_lines(context, &one);
                    }
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
        context.ui.say(nothing(&project));
    }
    match failed.is_empty() {
        true => Ok(Exit::Done),
        false => end(context, &failed, count),
    }
}

/// Says why there was nothing to do.
fn nothing(project: &Project) -> String {
    let plugins = project.platform.iter().flat_map(|it| &it.plugins);
    let paths = plugins.filter_map(|(name, plugin)| Some((name, plugin.path.as_ref()?)));
    let paths: Vec<String> = paths
        .map(|(name, path)| format!("`{name}` is {path}, as `plugins.{name}.path` says"))
        .collect();
    match paths.is_empty() {
        true => "platform.yaml asks for no plugins".to_owned(),
        false => format!("nothing to install: {}", paths.join("; ")),
    }
}

/// The exit code of several failures. What is refused for safety is never hidden behind what only failed.
pub(crate) fn exit_of(failed: &[Failed]) -> Exit {
    let exits: Vec<Exit> = failed.iter().map(|failed| failed.error.exit).collect();
    match exits.as_slice() {
        [] => Exit::Done,
        exits if exits.contains(&Exit::Refused) => Exit::Refused,
        [first, rest @ ..] if rest.iter().all(|exit| exit == first) => *first,
        _ => Exit::Failed,
    }
}

/// Says what is missing in the end.
fn end(context: &Context, failed: &[Failed], count: usize) -> Result<Exit, Failure> {
    let exit = exit_of(failed);
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

fn one(work: &Work<'_>, job: Job) -> Result<Done, Failure> {
    match job {
        Job::Refused(_, failure) => Err(failure),
        Job::Locked(name, locked) => work.follow(&name, &locked),
        Job::File(path) => work.file(&path),
        Job::Tree(wish) => work.wish(wish),
        Job::Somewhere(name, range) => {
            let tree = find(work.context, work.terms, &name, Purpose::Install)?;
            let wish = Wish {
                name: Some(name),
                range,
                source: tree.source.clone(),
                locked: None,
            };
            work.tree(&tree, wish)
        }
    }
}

/// Installs what a person was shown and has agreed to: what the lock names, or a release of the very tree that was shown.
pub(crate) fn shown(
    context: &Context,
    project: &Project,
    tree: &Tree,
    choice: &Choice,
) -> Result<(), Failure> {
    let terms = Terms {
        powers: NewPowers::Accept,
        ..Terms::plain(Mode::Install)
    };
    let work = Work {
        context,
        project,
        terms: &terms,
        instead: None,
        network: Network::Use,
        stop: Stop::listen(&context.ui),
    };
    let done = match project.pin(&choice.name) {
        Some(locked) => work.follow(&choice.name, locked)?,
        None => work.tree(
            tree,
            Wish {
                name: Some(choice.name.clone()),
                range: format!("={}", choice.version).parse().ok(),
                source: tree.source.clone(),
                locked: None,
            },
        )?,
    };
    say(context, &done);
    say_lock(context, &done);
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
        (Some(key), TrustWord::FirstUse) if done.state == State::Planned => {
            show_planned_key(&context.ui, source, key);
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

/// Says what it may touch, where it was not here before.
fn say_powers(context: &Context, done: &Done) {
    let is_file = done.publisher_key.is_none() && !done.powers.known;
    let words = match is_file {
        true => "what it says when it starts: nobody has signed that".to_owned(),
        false => printable(&done.powers.words()),
    };
    if done.state != State::Present {
        context.ui.say(format!("  touches {words}"));
    }
}

/// That it stands behind one of ztc's own.
fn unused(name: &str) -> String {
    format!("ztc goes on with its own `{name}` until `plugins` of platform.yaml names this one")
}

/// Says what to write into platform.yaml, so that it takes the place of one of ztc's own.
fn say_lines(context: &Context, done: &Done) {
    let source = serde_json::Value::from(done.source.as_str());
    let ui = &context.ui;
    ui.say("  in platform.yaml, to use it:");
    ui.say("    plugins:");
    ui.say(format!(
        "      {}: {{source: {source}, version: \"{}\"}}",
        done.name, done.version
    ));
}

/// Says what changed in the lock.
pub(crate) fn say_lock(context: &Context, done: &Done) {
    let Done { name, version, .. } = done;
    if let Some(was) = &done.lock_was {
        let change = match (was == &version.to_string(), done.lock_serial_was) {
            (true, Some(serial)) => {
                format!("{version} as it is now; its tree had the serial {serial} before")
            }
            (true, None) => format!("{version} as it is now"),
            (false, _) => format!("{version} instead of {was}"),
        };
        context
            .ui
            .say(format!("  platform/lock.json names {name} {change}"));
        // Where only the serial is another, what was rendered stays as it is.
        if was != &version.to_string() || done.lock_serial_was.is_none() {
            context.ui.next("ztc render", "renders with it");
        }
    }
}

/// Reads what is asked for.
fn jobs(
    context: &Context,
    arguments: &Arguments,
    project: &Project,
    key: Option<&str>,
) -> Result<Vec<Job>, Failure> {
    if arguments.what.is_empty() {
        return wanted(context, arguments, project);
    }
    let each = arguments.what.iter();
    each.map(|what| named(context, arguments, project, (what, key)))
        .collect()
}

/// Reads one that is named.
fn named(
    context: &Context,
    arguments: &Arguments,
    project: &Project,
    (what, key): (&str, Option<&str>),
) -> Result<Job, Failure> {
    let root = context.repository.root();
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
            return Ok(Job::File(path));
        }
        let source = Source::parse(what, root)?;
        return Ok(Job::Tree(Wish {
            name: None,
            range: None,
            source,
            locked: None,
        }));
    }
    let (name, range) = match what.split_once('@') {
        Some((name, range)) => (name, Some(requirement(range)?)),
        None => (what, None),
    };
    if name.is_empty() {
        return Err(nameless());
    }
    project.refuse_contradiction(name)?;
    let locked = project.pin(name);
    // Who names an adapter and says that its publisher began anew means the lock, too.
    let begins_anew = |locked: &LockedPlugin| {
        let is_other = |key: &str| locked.publisher_key.as_deref() != Some(key);
        arguments.moved || key.is_some_and(is_other)
    };
    let range = match locked.filter(|locked| begins_anew(locked)) {
        Some(locked) if range.is_none() => format!("={}", locked.version).parse().ok(),
        _ => range,
    };
    if let (None, Some(locked)) = (&range, locked) {
        return Ok(follow(project, name, locked));
    }
    if arguments.locked {
        return Ok(not_locked(name));
    }
    let asked = project.asked(name);
    let range = range.or_else(|| asked.and_then(range_of));
    let source = arguments
        .source
        .clone()
        .or_else(|| asked.and_then(|plugin| plugin.source.clone()))
        .or_else(|| locked.map(|locked| locked.source.clone()));
    Ok(match source {
        Some(source) => Job::Tree(Wish {
            name: Some(name.to_owned()),
            range,
            source: Source::parse(&source, root)?,
            locked: None,
        }),
        None => Job::Somewhere(name.to_owned(), range),
    })
}

/// Returns everything that platform.yaml and its overlays ask for and the lock names.
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
        .help(match above(project.root()) {
            Some(directory) => format!(
                "one lies above: `ztc -C {} plugins install`",
                word(&directory.display().to_string())
            ),
            None => "name what to install: `ztc plugins install NAME --source SOURCE`".to_owned(),
        }));
    };
    let wanted = platform.plugins.iter().filter(|(_, plugin)| {
        plugin.path.is_none() && (plugin.source.is_some() || plugin.version.is_some())
    });
    let asked = wanted.map(|(name, plugin)| {
        if let Err(failure) = project.refuse_contradiction(name) {
            return Ok(Job::Refused(name.clone(), failure));
        }
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
                        locked: None,
                    })
                })
                .map_err(|failure| failure.at(project.place_of(name, "/source")))?,
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
        let place = arguments.source.as_deref().unwrap_or_default();
        let help = match mirror::sources(&context.repository.root().join(place)).is_empty() {
            true => "name the adapter: `ztc plugins install NAME --source SOURCE`".to_owned(),
            false => format!(
                "this is a mirror: run `ZTC_PLUGINS_MIRROR={} ztc plugins install`",
                word(place)
            ),
        };
        return Err(Failure::invalid(
            "`--source` without a name gives another place for what is locked, and nothing is locked",
        )
        .help(help));
    }
    Ok(jobs)
}

/// The nearest directory above that has a platform.yaml.
fn above(root: &Path) -> Option<PathBuf> {
    let root = std::fs::canonicalize(root).ok()?;
    let mut above = root.ancestors().skip(1);
    let found = above.find(|directory| directory.join("platform.yaml").is_file());
    found.map(Path::to_owned)
}

/// Returns the job of following the lock, where platform.yaml asks for what it has.
fn follow(project: &Project, name: &str, locked: &LockedPlugin) -> Job {
    let asked = project.asked(name);
    match locked::contradiction(name, locked, asked, project.root()) {
        Some(failure) if failure.exit == Exit::Invalid => Job::Refused(
            name.to_owned(),
            failure.at(project.place_of(name, "/source")),
        ),
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
    let number = text.strip_prefix('v');
    let help = match number.filter(|number| VersionReq::parse(number).is_ok()) {
        Some(number) => format!("versions have no `v`: write `@{number}`"),
        None if text == "latest" || text.is_empty() => {
            "leave `@` and what follows it out: without a range the newest is taken".to_owned()
        }
        None => "write a version or a range, such as `bgp@1.2.0` or `bgp@^1.2`".to_owned(),
    };
    VersionReq::parse(exact.as_deref().unwrap_or(text)).map_err(|error| {
        Failure::invalid(format!("`{text}` is not a range of versions: {error}")).help(help)
    })
}
