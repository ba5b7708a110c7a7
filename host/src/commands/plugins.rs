//! `ztc plugins`: which adapters there are, and what each one is and may touch.

mod added;
mod available;
mod finding;
mod info;
mod install;
mod installed;
mod list;
mod mirror;
mod new;
pub(crate) mod offer;
pub(crate) mod project;
mod publish;
mod push;
mod replay;
mod search;
mod sources;
mod stop;
mod test;
pub(crate) mod together;
pub(crate) mod trust;
mod upgrade;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use ztc_protocol::{Manifest, PROTOCOL, ProtocolVersion};

use crate::adapter::{Candidate, Discovery, Source, Supervisor, builtin, process};
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure};
use crate::lock::Lock;
use crate::platform::{Platform, Plugin};
use crate::plugins::environments::join;

/// Subcommands of `ztc plugins`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// List all adapters: built in, installed, on PATH, named in platform.yaml
    #[command(alias = "ls")]
    List(list::Arguments),
    /// Show what an adapter provides, requires and may touch, also before it is installed
    Info(info::Arguments),
    /// Install adapters that others publish: everything that platform.yaml and its overlays ask for, or what is named
    Install(install::Arguments),
    /// Show what newer versions change, and then install them
    #[command(aliases = ["update", "outdated"])]
    Upgrade(upgrade::Arguments),
    /// Search what the known sources offer
    Search(search::Arguments),
    /// Copy what is needed of every source into a directory, for machines without network
    Mirror(mirror::Arguments),
    /// Check that what is installed still has the bytes that were installed
    Verify,
    /// Remove an installed adapter
    #[command(aliases = ["uninstall", "delete", "rm"])]
    Remove(installed::Remove),
    /// List, pin and forget the keys of publishers
    #[command(subcommand)]
    Trust(trust::Arguments),
    /// Replay a recording (`--record`) as the adapter or as the host, and show what the other side does differently
    Replay(replay::Arguments),
    /// Check that an adapter keeps the protocol
    Test(test::Arguments),
    /// Write a small working adapter to begin with
    New(new::Arguments),
    /// Make the pair of keys of a publisher
    Keygen(publish::Keygen),
    /// Make a signed tree out of executables, for any static web server
    Publish(publish::Arguments),
    /// Push a signed tree to a repository of an OCI registry
    Push(push::Arguments),
    /// Check a tree as operators will meet it
    PublishCheck(publish::Check),
    /// Print the JSON Schemas of protocol 1.0: every message, and the standard capabilities
    Schema,
    /// Run an adapter's own command, as in `ztc plugins run talos validate-config FILE`
    ///
    /// The adapter gets the arguments, the terminal and the working directory, and its exit code becomes that of ztc. Without arguments it
    /// says what it is and which commands it has. It runs as you, outside of the sandbox, like any program that you start.
    Run {
        /// The adapter
        name: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match arguments {
        Arguments::List(arguments) => list::run(context, arguments),
        Arguments::Info(arguments) => info::run(context, arguments),
        Arguments::Install(arguments) => install::run(context, arguments),
        Arguments::Upgrade(arguments) => upgrade::run(context, arguments),
        Arguments::Search(arguments) => search::run(context, arguments),
        Arguments::Mirror(arguments) => mirror::run(context, arguments),
        Arguments::Verify => installed::verify(context),
        Arguments::Remove(arguments) => installed::remove(context, arguments),
        Arguments::Trust(arguments) => trust::run(context, arguments),
        Arguments::Keygen(arguments) => publish::keygen(context, arguments),
        Arguments::Publish(arguments) => publish::run(context, arguments),
        Arguments::Push(arguments) => push::run(context, arguments),
        Arguments::PublishCheck(arguments) => publish::check(context, arguments),
        Arguments::Replay(arguments) => replay::run(context, arguments),
        Arguments::Test(arguments) => test::run(context, arguments),
        Arguments::New(arguments) => new::run(context, arguments),
        Arguments::Schema => {
            context.ui.data(ztc_protocol::schema::FROZEN_1_0.trim_end());
            Ok(Exit::Done)
        }
        Arguments::Run { name, arguments } => own_command(context, name, arguments),
    }
}

/// What an adapter has said about itself.
struct Introduction {
    manifest: Manifest,
    protocol: ProtocolVersion,
}

/// Looks for adapters everywhere. A platform.yaml that cannot be read leaves the paths in it out, and is said.
fn discovery(context: &Context) -> Discovery {
    let mut plugins = BTreeMap::new();
    if context.repository.platform().exists() {
        match Platform::load(&context.repository, None) {
            Ok(platform) => match join(&context.repository, platform.clone()) {
                Ok(joined) => plugins = joined.platform.plugins,
                Err(failure) => {
                    context
                        .ui
                        .warning(format!("the overlays are left out: {}", failure.message));
                    plugins = platform.plugins;
                }
            },
            Err(failure) => {
                context.ui.warning(format!(
                    "the paths in platform.yaml are left out: {}",
                    failure.message
                ));
            }
        }
    }
    let lock = match Lock::load(&context.repository) {
        Ok(lock) => lock,
        Err(failure) => {
            context
                .ui
                .warning(format!("the lock is left out: {}", failure.message));
            None
        }
    };
    Discovery::new(&context.machine, &context.repository, &plugins).with_lock(lock.as_ref())
}

/// Asks adapters who they are: those of this program directly, all others by starting them.
fn introduce(
    context: &Context,
    discovery: Discovery,
    candidates: &[Candidate],
) -> Result<BTreeMap<String, Result<Introduction, Failure>>, Failure> {
    let own = |candidate: &&Candidate| candidate.source == Source::BuiltIn;
    let mut found: BTreeMap<_, _> = candidates
        .iter()
        .filter(own)
        .filter_map(|candidate| {
            let manifest = (builtin::find(&candidate.name)?.manifest)();
            Some((
                candidate.name.clone(),
                Ok(Introduction {
                    manifest,
                    protocol: PROTOCOL,
                }),
            ))
        })
        .collect();
    let others: Vec<String> = candidates
        .iter()
        .filter(|candidate| !own(candidate))
        .map(|candidate| candidate.name.clone())
        .collect();
    if !others.is_empty() {
        found.extend(wait_for(ask(
            Supervisor::new(discovery.granting_nothing(), context.ui.clone()),
            others,
        ))?);
    }
    Ok(found)
}

/// Starts one executable as the adapter `name`, whatever else has that name, and asks it who it is: what its author is about to publish.
fn introduce_program(
    context: &Context,
    name: &str,
    program: &Path,
) -> Result<Introduction, Failure> {
    let plugin = Plugin {
        path: Some(program.display().to_string()),
        ..Plugin::default()
    };
    let discovery = Discovery::new(
        &context.machine,
        &context.repository,
        &[(name.to_owned(), plugin)].into(),
    )
    .without_overrides();
    let candidate = Candidate {
        name: name.to_owned(),
        source: Source::Explicit,
        program: program.to_owned(),
        arguments: vec![ztc_protocol::ADAPTER_ARGUMENT.to_owned()],
        sha256: None,
    };
    introduce(context, discovery, &[candidate])?
        .remove(name)
        .ok_or_else(|| {
            Failure::failed(format!("`{}` did not introduce itself", program.display()))
                .help("run `ztc plugins test` with it, which says more")
        })?
}

async fn ask(
    supervisor: Supervisor,
    names: Vec<String>,
) -> Result<BTreeMap<String, Result<Introduction, Failure>>, Failure> {
    let started = supervisor.start_each(&names).await;
    supervisor.shutdown().await;
    let introduced = started.into_iter().map(|(name, result)| {
        let introduction = result.map(|adapter| Introduction {
            manifest: adapter.manifest.clone(),
            protocol: adapter.protocol,
        });
        (name, introduction)
    });
    Ok(introduced.collect())
}

fn own_command(context: &Context, name: &str, arguments: &[String]) -> Result<Exit, Failure> {
    let candidate = discovery(context).find(name)?;
    let ended: Box<dyn Fn(Exit) -> bool> =
        match builtin::find(name).filter(|_| candidate.source == Source::BuiltIn) {
            Some(adapter) => {
                let code = builtin::command(adapter, arguments);
                Box::new(move |exit| code == ExitCode::from(exit))
            }
            None => {
                let status = process::run_in_terminal(&candidate, arguments)?;
                Box::new(move |exit| status.code() == Some(exit.code().into()))
            }
        };
    // A code that ztc has no meaning for is a plain failure.
    let known = Exit::ALL.into_iter().find(|exit| ended(*exit));
    Ok(known.unwrap_or(Exit::Failed))
}
