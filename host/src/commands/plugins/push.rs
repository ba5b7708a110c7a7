//! `ztc plugins push`, and `--to` of `ztc plugins publish`: a signed tree into a repository of an OCI registry.

use std::path::{Path, PathBuf};

use crate::commands::Context;
use crate::error::{Exit, Failure};
use crate::plugins::check;
use crate::plugins::index::{self, Index};
use crate::plugins::publish::OtherKey;
use crate::plugins::registry::Repository;
use crate::plugins::registry::push::{self, Mode, Pushed};
use crate::plugins::source::Source;

/// Options of `ztc plugins push`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The signed tree, or a mirror of one
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// The repository
    #[arg(value_name = "oci://HOST/PATH")]
    to: String,
    /// Take the place of what another key, or nobody, has signed there
    #[arg(long)]
    replace_key: bool,
    /// Compare everything and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let directory = context.repository.root().join(&arguments.tree);
    let mode = match arguments.dry_run {
        true => Mode::DryRun,
        false => Mode::Push,
    };
    let repository = repository(context, &arguments.to)?;
    let other = OtherKey::of(arguments.replace_key);
    let pushed = push(context, &directory, &repository, (mode, other))?;
    match context.ui.is_json() {
        true => context
            .ui
            .json(&serde_json::json!({ "pushed": pushed, "dry_run": arguments.dry_run })),
        false => say(context, &pushed, mode),
    }
    Ok(Exit::Done)
}

/// Reads the address of a repository that a tree is pushed to.
pub(crate) fn repository(context: &Context, to: &str) -> Result<Repository, Failure> {
    let Source::Registry(repository) = Source::parse(to, context.repository.root())? else {
        return Err(
            Failure::invalid(format!("`{to}` is not a repository of a registry"))
                .help("write `oci://HOST/PATH`; other trees are served as static files"),
        );
    };
    match repository.range() {
        None => Ok(repository),
        Some(_) => Err(
            Failure::invalid(format!("`{to}` names a version")).help(format!(
                "write `{}`: every version gets a tag of its own",
                repository.name()
            )),
        ),
    }
}

/// Checks a tree and sends it.
pub(crate) fn push(
    context: &Context,
    directory: &Path,
    repository: &Repository,
    how: (Mode, OtherKey),
) -> Result<Pushed, Failure> {
    let checked = check::check(directory)?;
    if !checked.problems.is_empty() {
        let mut failure = Failure::failed(format!("`{}` cannot be pushed", directory.display()))
            .help("correct the files and run `ztc plugins publish` again");
        failure.details = checked.problems;
        return Err(failure);
    }
    let path = directory.join(index::FILE);
    let text = std::fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
    let index = Index::parse(&text, &directory.display().to_string())?;
    let bar = context.ui.transfer("");
    push::push(
        directory,
        (&text, &index),
        repository,
        how,
        &mut |path, went, of| {
            bar.named(path.rsplit('/').next().unwrap_or(path));
            bar.at(went, of);
        },
    )
}

/// Says what was sent.
pub(crate) fn say(context: &Context, pushed: &Pushed, mode: Mode) {
    if let Some(old) = &pushed.replaced_key {
        context
            .ui
            .say(format!("  the key until now in {}: {old}", pushed.source));
    }
    if !pushed.left.is_empty() {
        context.ui.say(format!(
            "  not yours, and still there under tags of their own: {}",
            pushed.left.join(", ")
        ));
    }
    let (sent, what) = match mode {
        Mode::Push => ("sent", "holds"),
        Mode::DryRun => ("would send", "would hold"),
    };
    for path in &pushed.sent {
        context.ui.say(format!("  {sent} {path}"));
    }
    let tags = match pushed.tags.is_empty() {
        true => "no new versions".to_owned(),
        false if pushed.replaced_key.is_some() => {
            format!("under its key {}", pushed.tags.join(", "))
        }
        false => format!("new versions {}", pushed.tags.join(", ")),
    };
    context.ui.done(format!(
        "{} {what} the tree with serial {}, {tags}",
        pushed.source, pushed.serial
    ));
}
