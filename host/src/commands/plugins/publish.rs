//! `ztc plugins keygen`, `publish`, `publish-check`: a publisher's side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ztc_protocol::{Manifest, ProtocolVersion};

use crate::adapter::Discovery;
use crate::atomic::{self, Existing};
use crate::commands::plugins::{added, introduce_program, push};
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure, Finding, counted};
use crate::lock;
use crate::plugins::check;
use crate::plugins::claim::Claim;
use crate::plugins::inputs;
use crate::plugins::name::FileName;
use crate::plugins::powers;
use crate::plugins::publish::{self, Described, News, OtherKey, Published, Terms};
use crate::plugins::registry::Repository;
use crate::plugins::registry::push::{Mode, Pushed, would_refuse};
use crate::plugins::signature::{self, PASSWORD, Signer};
use crate::plugins::tables;
use crate::plugins::yank;
use crate::shell::word;
use crate::ui::prompt::{Prompts, Refusal};
use crate::versions::update::{self, Shown};

/// Options of `ztc plugins keygen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Keygen {
    /// The file of the secret key; the public one is FILE.pub
    file: PathBuf,
    /// No password: for the secret store of a CI, which keeps the file itself
    #[arg(long)]
    no_password: bool,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Options of `ztc plugins publish`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory that becomes, or is, the tree; executables `ztc-adapter-NAME-VERSION-OS-ARCH` in it are published
    // `directory` would be the repository: clap knows arguments by the names of their fields, and that one is everywhere.
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// An executable `ztc-adapter-NAME` to publish: it is asked for its version, and a script is for every platform (repeatable)
    #[arg(long, value_name = "PROGRAM")]
    add: Vec<PathBuf>,
    /// The secret key, as `ztc plugins keygen` or `minisign -G` has made it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How many days the index is valid; publish again before
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=730))]
    days: u16,
    /// Your name, for people
    #[arg(long, value_name = "TEXT")]
    publisher: Option<String>,
    /// The protocol that new versions speak, where none of their files runs on this machine
    #[arg(long, value_name = "VERSION")]
    protocol: Option<ProtocolVersion>,
    /// Tell people not to install a version any more
    #[arg(long, value_name = "NAME@VERSION", value_parser = name_and_version)]
    yank: Vec<(String, String)>,
    /// Why [default: the reason that was given before]
    #[arg(long, value_name = "TEXT", requires = "yank")]
    reason: Option<String>,
    /// Offer a version again that was taken back
    #[arg(long, value_name = "NAME@VERSION", value_parser = name_and_version)]
    unyank: Vec<(String, String)>,
    /// Sign a tree that another key has signed; with `--to`, take the place of what another key, or nobody, has signed there
    #[arg(long)]
    replace_key: bool,
    /// The serial of the index: above every one that was ever served, where the tree was lost and begins anew
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    serial: Option<u64>,
    /// Only sign the index anew, with a later end: whatever is not signed yet is refused
    #[arg(long, conflicts_with_all = ["add", "yank", "unyank", "replace_key", "protocol"])]
    renew: bool,
    /// Then push it to a repository of a registry
    #[arg(long, value_name = "oci://HOST/PATH")]
    to: Option<String>,
    /// Check everything and say what would be published; nothing is written, signed or sent
    #[arg(long)]
    dry_run: bool,
}

/// Options of `ztc plugins publish-check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The tree
    #[arg(value_name = "DIR")]
    tree: PathBuf,
}

/// What `publish` says to a program.
#[derive(serde::Serialize)]
struct Answer {
    #[serde(flatten)]
    published: Published,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<Pushed>,
    dry_run: bool,
}

/// Makes a key.
pub(crate) fn keygen(context: &Context, arguments: &Keygen) -> Result<Exit, Failure> {
    let secret = context.repository.root().join(&arguments.file);
    let public = PathBuf::from(format!("{}.pub", secret.display()));
    for path in [&secret, &public] {
        if path.exists() {
            return Err(Failure::new(
                Exit::Refused,
                format!("`{}` exists and is never written over", path.display()),
            )
            .help("name another file"));
        }
    }
    if let Some(parent) = secret.parent().filter(|parent| !parent.is_dir()) {
        return Err(Failure::new(
            Exit::Missing,
            format!("there is no directory `{}`", parent.display()),
        )
        .help("make it, or name a file somewhere else"));
    }
    if arguments.dry_run {
        return Ok(would_generate(context, arguments, &secret, &public));
    }
    let password = match arguments.no_password {
        true => None,
        false => Some(new_password(context)?),
    };
    let (secret_text, public_text) = signature::new_pair(password)?;
    atomic::private_file(&secret, secret_text.as_bytes(), Existing::Keep)?;
    atomic::public(&public, &public_text)?;
    let key = signature::Key::parse(&public_text)?;
    if context.ui.is_json() {
        context
            .ui
            .json(&serde_json::json!({ "secret": secret, "public": public, "key": key.text(), "dry_run": false }));
        return Ok(Exit::Done);
    }
    let shown = arguments.file.display();
    context
        .ui
        .done(format!("wrote `{shown}` and `{shown}.pub`"));
    context.ui.data(key.text());
    context.ui.say("  keep the first in a safe place and out of git; show the line above wherever people look for your adapters");
    Ok(Exit::Done)
}

/// Says where a key would be; there is none yet.
fn would_generate(context: &Context, arguments: &Keygen, secret: &Path, public: &Path) -> Exit {
    if context.ui.is_json() {
        context
            .ui
            .json(&serde_json::json!({ "secret": secret, "public": public, "dry_run": true }));
    } else {
        let shown = arguments.file.display();
        context
            .ui
            .done(format!("would write `{shown}` and `{shown}.pub`"));
    }
    Exit::Done
}

/// Publishes.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let directory = context.repository.root().join(&arguments.tree);
    let makes = !arguments.add.is_empty();
    if makes && !arguments.dry_run {
        std::fs::create_dir_all(&directory)
            .map_err(|error| Failure::io("make", &directory, &error))?;
    }
    if !makes && !directory.is_dir() {
        return Err(Failure::new(
            Exit::Missing,
            format!("there is no directory `{}`", arguments.tree.display()),
        )
        .help("name an adapter's executable with `--add PROGRAM`, or make the directory and put files such as `ztc-adapter-NAME-1.0.0-linux-x86_64` into it"));
    }
    let directory = match std::fs::canonicalize(&directory) {
        // Nothing is made for a look at it.
        Err(_) if arguments.dry_run => directory,
        found => found.map_err(|error| Failure::io("open", &directory, &error))?,
    };
    let to = arguments.to.as_deref();
    let to = to.map(|to| push::repository(context, to)).transpose()?;
    let key = context.repository.root().join(&arguments.key);
    let signer = Signer::open(&key, || password(context, "Password of the key"))?;
    let waiting = || {
        context
            .ui
            .say("another ztc publishes into this directory; waiting for it");
    };
    // Who only looks changes nothing, and the directory need not be there.
    let _claim = (!arguments.dry_run)
        .then(|| Claim::new(&directory, waiting))
        .transpose()?;
    let terms = Terms {
        days: arguments.days,
        publisher: arguments.publisher.clone(),
        other_key: OtherKey::of(arguments.replace_key),
        words: yank::Words {
            yank: arguments.yank.clone(),
            reason: arguments.reason.clone(),
            unyank: arguments.unyank.clone(),
        },
        add: added::read(context, &directory, &arguments.add)?,
        serial: arguments.serial,
        news: match arguments.renew {
            true => News::Refuse,
            false => News::Publish,
        },
        data: context.machine.data(),
        mode: match arguments.dry_run {
            true => publish::Mode::DryRun,
            false => publish::Mode::Publish,
        },
        now: Timestamp::now(),
    };
    // A renewal takes none.
    if !arguments.renew {
        show_to_adapters(context, &directory)?;
    }
    let published = publish::publish(
        &directory,
        &signer,
        &terms,
        |file, platforms| describe(context, file, platforms, arguments.protocol),
        |text, index| {
            // A tree that is signed and cannot be pushed is one that its publisher has to take back by hand.
            let refused = to
                .as_ref()
                .map(|to| would_refuse((text, index), to, terms.other_key));
            refused.unwrap_or(Ok(()))
        },
    )?;
    if let Some(failure) = &published.forgotten {
        let why = "it is signed, and this machine cannot remember that";
        context.ui.warning(format!("{why}: {}", failure.message));
    }
    let pushed = to.as_ref().filter(|_| !arguments.dry_run);
    let pushed = pushed.map(|to| {
        let how = (Mode::Push, terms.other_key);
        let pushed = push::push(context, &directory, to, how);
        pushed.map_err(|failure| signed_not_pushed(failure, arguments, to, &published))
    });
    let pushed = pushed.transpose()?;
    if context.ui.is_json() {
        context.ui.json(&Answer {
            published,
            pushed,
            dry_run: arguments.dry_run,
        });
        return Ok(Exit::Done);
    }
    say(context, &published, terms.mode);
    if let Some(pushed) = &pushed {
        push::say(context, pushed, Mode::Push);
    } else if let Some(to) = &to {
        context.ui.done(format!("would push it to {}", to.name()));
    } else if !arguments.dry_run {
        let shown = arguments.tree.display();
        context.ui.next(
            &format!("ztc plugins publish-check {shown}"),
            "then serve the directory as static files, `index.json.minisig` last",
        );
    }
    Ok(Exit::Done)
}

/// Whoever is told that it failed has to know what did not.
fn signed_not_pushed(
    failure: Failure,
    arguments: &Arguments,
    to: &Repository,
    published: &Published,
) -> Failure {
    let tree = word(&arguments.tree.display().to_string());
    let replace = match arguments.replace_key {
        true => " --replace-key",
        false => "",
    };
    failure.detail(format!(
        "the tree is signed with serial {}, and not pushed: go on with `ztc plugins push {tree} {}{replace}`",
        published.serial,
        to.name()
    ))
}

/// Says what was published.
fn say(context: &Context, published: &Published, mode: publish::Mode) {
    let done = match mode {
        publish::Mode::Publish => "signed",
        publish::Mode::DryRun => "would sign",
    };
    if let Some(old) = &published.replaced_key {
        context.ui.say(format!("  the key until now: {old}"));
        context.ui.say(format!(
            "  the key from now on: {}",
            published.publisher_key
        ));
    }
    for path in &published.added {
        context.ui.say(format!("  {path}"));
    }
    for one in &published.yanked {
        let (name, version, why) = (&one.name, &one.version, &one.why);
        context
            .ui
            .say(format!("  {name} {version} is taken back: {why}"));
    }
    for one in &published.unyanked {
        let (name, version) = (&one.name, &one.version);
        context
            .ui
            .say(format!("  {name} {version} is offered again"));
    }
    context.ui.done(format!(
        "{done} the index with serial {}, valid until {}",
        published.serial, published.expires
    ));
}

/// Shows new tables of versions to their adapters, where those are on this machine: what they refuse is not published.
fn show_to_adapters(context: &Context, directory: &Path) -> Result<(), Failure> {
    let discovery = Discovery::new(&context.machine, &context.repository, &BTreeMap::new());
    for table in tables::waiting(directory)? {
        let name = &table.adapter;
        if discovery.find(name).is_err() {
            context.ui.finding(
                &Finding::warning(format!(
                    "table {} of the versions of `{name}` is published unseen: there is no adapter `{name}` on this machine",
                    table.head.serial
                ))
                .help("install it, and it says whether it takes the table"),
            );
            continue;
        }
        let shown = update::try_text(&discovery, &context.ui, name, &table.head, &table.text);
        if let Shown::NotForIt(why) = wait_for(shown)? {
            context.ui.warning(format!(
                "table {} of the versions of `{name}` (for {}) is not for the adapter of this machine, and is published unseen: {name} {why}",
                table.head.serial, table.head.adapter
            ));
        }
    }
    Ok(())
}

/// Checks a tree.
pub(crate) fn check(context: &Context, arguments: &Check) -> Result<Exit, Failure> {
    let checked = check::check(&context.repository.root().join(&arguments.tree))?;
    let is_good = checked.problems.is_empty();
    if context.ui.is_json() {
        context.ui.json(&checked);
    } else if is_good {
        if let Some(source) = &checked.mirror_of {
            context.ui.say(format!(
                "a mirror of {source}, which need not hold every file"
            ));
        }
        context.ui.done(format!(
            "{}, {}, {}{}: serial {}, valid until {}, key {}",
            counted(checked.files, "file", "files"),
            counted(checked.versions, "version", "versions"),
            counted(checked.adapters, "adapter", "adapters"),
            match checked.tables {
                0 => String::new(),
                1 => ", one table of versions".to_owned(),
                several => format!(", {several} tables of versions"),
            },
            checked.serial,
            checked.expires,
            checked.publisher_key
        ));
    }
    match is_good {
        true => Ok(Exit::Done),
        false if context.ui.is_json() => Ok(Exit::Failed),
        false => {
            let mut failure = Failure::failed(format!(
                "`{}` cannot be installed from",
                arguments.tree.display()
            ))
            .help("correct the files and run `ztc plugins publish` again");
            failure.details = checked.problems;
            Err(failure)
        }
    }
}

/// Asks a new version who it is, where one of its files runs here.
fn describe(
    context: &Context,
    file: &FileName,
    platforms: &BTreeMap<String, PathBuf>,
    protocol: Option<ProtocolVersion>,
) -> Result<Described, Failure> {
    let FileName { name, version, .. } = file;
    let Some(path) = platforms.get(&lock::machine()) else {
        let protocol = protocol.ok_or_else(|| {
            Failure::invalid(format!(
                "`{name}` {version} has no file for {}, so it cannot be asked which protocol it speaks",
                lock::machine()
            ))
            .help("say it with `--protocol 1.0`, or publish where one of its files runs")
        })?;
        return Ok(Described {
            protocols: vec![protocol.to_string()],
            ..Described::default()
        });
    };
    let path = std::path::absolute(path).map_err(|error| Failure::io("find", path, &error))?;
    let introduction = introduce_program(context, name, &path)?;
    let manifest = &introduction.manifest;
    if manifest.name != *name || manifest.version != version.to_string() {
        return Err(Failure::invalid(format!(
            "`{}` says that it is `{}` {}",
            path.display(),
            manifest.name,
            manifest.version
        ))
        .help("name the file after what it says, or correct its manifest"));
    }
    Ok(described(manifest, introduction.protocol))
}

fn described(manifest: &Manifest, protocol: ProtocolVersion) -> Described {
    Described {
        description: manifest.description.clone(),
        protocols: vec![protocol.to_string()],
        provides: manifest
            .provides
            .iter()
            .map(|item| format!("{} {}", item.capability, item.version))
            .collect(),
        requires: manifest
            .requires
            .iter()
            .map(|item| format!("{} {}", item.capability, item.version))
            .collect(),
        touches: powers::declared(manifest),
        inputs: Some(inputs::inputs(&manifest.config_schema)),
    }
}

/// The password for a new key, asked for twice: what was mistyped once nobody ever opens again.
fn new_password(context: &Context) -> Result<String, Failure> {
    let first = password(context, "Password for the new key")?;
    if first.is_empty() {
        return Err(Failure::invalid("the password is empty")
            .help("give one, or add `--no-password` where a secret store keeps the file itself"));
    }
    if std::env::var_os(PASSWORD).is_none()
        && password(context, "The same password again")? != first
    {
        return Err(
            Failure::invalid("the two passwords are not the same; nothing was written")
                .help("run the same command again"),
        );
    }
    Ok(first)
}

/// The password of a key: from the environment, or from the person at the terminal.
fn password(context: &Context, prompt: &str) -> Result<String, Failure> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    if !context.ui.is_interactive() {
        return Err(
            Failure::invalid("the key has a password, and nobody can be asked for it").help(
                format!("set `{PASSWORD}`, or add `--no-password` to `ztc plugins keygen`"),
            ),
        );
    }
    let _hold = context.ui.hold();
    Prompts::new(&context.ui)
        .hidden(prompt)
        .map_err(|refusal| match refusal {
            Refusal::Interrupted => {
                Failure::new(Exit::Interrupted, "interrupted; nothing was written")
                    .help("start again with the same command")
            }
            Refusal::Failed(failure) => failure,
        })
}

fn name_and_version(text: &str) -> Result<(String, String), String> {
    let (name, version) = text.split_once('@').ok_or("expected NAME@VERSION")?;
    Ok((name.to_owned(), version.to_owned()))
}
