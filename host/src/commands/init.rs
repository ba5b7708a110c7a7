//! `ztc init`: the wizard and its non-interactive twin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::json;
use ztc_protocol::Manifest;

use crate::adapter::{Discovery, Source, Supervisor};
use crate::commands::plugins::offer::{self, Offered};
use crate::commands::{Context, wait_for_all_of};
use crate::error::{Exit, Failure, Finding};
use crate::lock::Lock;
use crate::platform::{Partial, Platform, Plugin, answers};
use crate::plugins::follow::Network;
use crate::plugins::locked;
use crate::plugins::store::Store;
use crate::secrets::Vault;
use crate::versions::background::Background;
use crate::versions::{Pins, Tables};
use crate::wizard::files::{self, Files};
use crate::wizard::running::{Interrupts, Running};
use crate::wizard::terminal::Terminal;
use crate::wizard::twin::Twin;
use crate::wizard::{Draft, Group, Session, Stop, document, groups, origin, summary};

/// Options of `ztc init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Keep the answers of an interrupted wizard or of platform.yaml and ask only for what is missing or wrong
    #[arg(long, conflicts_with = "force")]
    pub(crate) resume: bool,
    /// Take the answers from a YAML file of the form of platform.yaml (`-`: standard input) and ask nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<PathBuf>,
    /// Set one answer, such as `talos.cluster_name=prod` or `environment=staging`, and ask nothing (repeatable)
    #[arg(long, value_name = "ADAPTER.KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Write over an existing platform.yaml
    #[arg(long)]
    pub(crate) force: bool,
    /// Ask no network: neither for newer versions nor for adapters that platform.yaml asks for
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let is_twin =
        arguments.answers.is_some() || !arguments.set.is_empty() || !context.ui.is_interactive();
    if let Some(exit) = shared(context, arguments, is_twin)? {
        return Ok(exit);
    }
    refuse(context, arguments, is_twin)?;
    wait_for_all_of(async {
        let mut end = Interrupts::listen()?;
        let machine = &context.machine;
        // The twin writes the same file with and without a network.
        let fetching = match is_twin || arguments.offline {
            true => None,
            false => Some(Background::begin(
                machine,
                &Discovery::new(machine, &context.repository, &BTreeMap::new()),
            )?),
        };
        let start = Start::read(context, arguments, is_twin)?;
        let lock = Lock::load(&context.repository)?;
        let discovery =
            Discovery::new(machine, &context.repository, &start.plugins()).with_lock(lock.as_ref());
        let mut tables = Tables::of(machine, lock.as_ref(), &Pins::Hold)?;
        if let Some(fetching) = fetching {
            fetching
                .finish(machine, &discovery, &context.ui, &mut tables)
                .await?;
        }
        let supervisor = Supervisor::new(discovery, context.ui.clone()).with_tables(tables);
        let done = converse(context, &supervisor, start, &mut end, is_twin).await;
        supervisor.shutdown().await;
        done
    })
}

/// Sees to what a platform.yaml that others have written asks for, before anything is started. Returns how the command ends, where it does.
fn shared(
    context: &Context,
    arguments: &Arguments,
    is_twin: bool,
) -> Result<Option<Exit>, Failure> {
    if arguments.force {
        return Ok(None);
    }
    // What is wrong with the file is said by whoever needs all of it.
    let Ok(Some(partial)) =
        Platform::load_partial(&context.repository, &context.repository.platform())
    else {
        return Ok(None);
    };
    if is_twin {
        return offer::refuse(context, &partial.platform).map(|()| None);
    }
    let network = match arguments.offline {
        true => Network::Never,
        false => Network::Use,
    };
    let offered = offer::offer(context, &partial.platform, network)?;
    match (offered, arguments.resume) {
        (Offered::Nothing, _) | (Offered::Installed, true) => Ok(None),
        (Offered::Installed, false) => {
            match context.repository.lock().exists() {
                true => context.ui.next(
                    "ztc validate",
                    "checks that everything is as it was rendered",
                ),
                false => context
                    .ui
                    .next("ztc render", "makes all artifacts from platform.yaml"),
            }
            Ok(Some(Exit::Done))
        }
        (Offered::Declined, true) => Ok(None),
        (Offered::Declined, false) => Err(Failure::new(
            Exit::Missing,
            "what platform.yaml asks for is not installed, and nothing works without it",
        )
        .help(
            "run `ztc plugins install` when you are sure about its source, or change platform.yaml",
        )),
    }
}

/// Refuses what cannot go well before anything is started.
fn refuse(context: &Context, arguments: &Arguments, is_twin: bool) -> Result<(), Failure> {
    if context.repository.platform().exists() && !arguments.resume && !arguments.force {
        return Err(Failure::new(Exit::Refused, "there is a `platform.yaml` already").help(
            "keep its answers and add what is missing with `ztc init --resume`, or write a new one over it with `ztc init --force`",
        ));
    }
    let has_answers = arguments.answers.is_some() || !arguments.set.is_empty() || arguments.resume;
    if is_twin && !has_answers {
        return Err(Failure::invalid("`ztc init` asks questions, and this is no terminal").help(
            "give the answers: `ztc init --answers FILE` with a file of the form of platform.yaml, or `--set talos.cluster_name=prod` and so on",
        ));
    }
    Ok(())
}

/// What there is before the first question.
struct Start {
    /// Answers that were kept, or those of platform.yaml.
    base: Draft,
    /// The file of answers.
    given: Option<Partial>,
    set: Vec<String>,
    /// The file that knows places, for what is wrong.
    source: Option<Platform>,
}

impl Start {
    fn read(context: &Context, arguments: &Arguments, is_twin: bool) -> Result<Self, Failure> {
        let given = arguments
            .answers
            .as_deref()
            .map(answers)
            .transpose()?
            .map(|source| Platform::parse_partial(&source))
            .transpose()?;
        let (base, partial) = match arguments.resume {
            true => resumed(context)?,
            false => (Draft::default(), None),
        };
        let (base, partial) = match partial.is_none()
            && !arguments.resume
            && !is_twin
            && files::has_newer_answers(&context.repository)
        {
            true => offered(context)?,
            false => (base, partial),
        };
        let source = given
            .as_ref()
            .or(partial.as_ref())
            .map(|partial| partial.platform.clone());
        Ok(Self {
            base,
            given,
            set: arguments.set.clone(),
            source,
        })
    }

    fn plugins(&self) -> BTreeMap<String, Plugin> {
        let mut plugins = serde_json::from_value(self.base.plugins.clone()).unwrap_or_default();
        let given = self
            .given
            .iter()
            .flat_map(|given| given.platform.plugins.clone());
        BTreeMap::extend(&mut plugins, given);
        plugins
    }
}

/// Takes up the answers that were kept, or those of platform.yaml where they are newer.
fn resumed(context: &Context) -> Result<(Draft, Option<Partial>), Failure> {
    let repository = &context.repository;
    if files::has_newer_answers(repository)
        && let Some(partial) = Platform::load_partial(repository, &files::kept(repository))?
    {
        return Ok((Draft::of(&partial, false), Some(partial)));
    }
    match Platform::load_partial(repository, &repository.platform())? {
        Some(partial) => Ok((Draft::of(&partial, true), Some(partial))),
        None => {
            context
                .ui
                .say("there are no answers yet: this starts from the beginning");
            Ok((Draft::default(), None))
        }
    }
}

/// Asks whether the answers of an interrupted wizard are taken up.
fn offered(context: &Context) -> Result<(Draft, Option<Partial>), Failure> {
    let prompt = "Go on with the wizard that was interrupted?";
    match Terminal::new(context.ui.clone())
        .yes(prompt, true)
        .map_err(|stop| ended(stop, false))?
    {
        true => resumed(context),
        false => files::forget(&context.repository).map(|()| (Draft::default(), None)),
    }
}

async fn converse(
    context: &Context,
    supervisor: &Supervisor,
    start: Start,
    end: &mut Interrupts,
    is_twin: bool,
) -> Result<Exit, Failure> {
    let manifests = end
        .or(manifests(context, supervisor))
        .await
        .map_err(|stop| ended(stop, false))?;
    let is_built_in = |name: &str| {
        supervisor
            .discovery()
            .find(name)
            .is_ok_and(|candidate| candidate.source == Source::BuiltIn)
    };
    let groups = groups(&manifests, is_built_in);
    let strangers = manifests
        .keys()
        .filter(|name| !is_built_in(name))
        .cloned()
        .collect();
    let before = start.base.clone();
    let wizard = Wizard {
        context,
        manifests: &manifests,
        groups: &groups,
        strangers: &strangers,
        running: match is_twin {
            // The twin writes the same file with and without a network.
            true => Running::new(supervisor, end),
            false => {
                let vault = Vault::new(&context.repository, context.ui.mask());
                Running::new(supervisor, end).with_secrets(vault, context.ui.clone())
            }
        },
    };
    let draft = match is_twin {
        true => wizard.twin(start).await?,
        false => {
            let mut draft = wizard.terminal(start).await?;
            let mut installed = Store::new(&context.machine).installed();
            let is_used = |name: &str| {
                let candidate = supervisor.discovery().find(name);
                candidate.is_ok_and(|candidate| candidate.source == Source::Installed)
            };
            installed.retain(|record| is_used(&record.name));
            for record in &mut installed {
                record.source = locked::portable(&record.source, context.repository.root(), None);
            }
            origin::add(&mut draft, &installed);
            draft
        }
    };
    finish(context, &before, &draft, &manifests)
}

/// Starts every adapter there is, for its manifest. One that cannot be started is left out and named.
async fn manifests(
    context: &Context,
    supervisor: &Supervisor,
) -> Result<BTreeMap<String, Manifest>, Stop> {
    let mut manifests = BTreeMap::new();
    let mut used = Vec::new();
    for candidate in supervisor.discovery().all() {
        match supervisor.start(&candidate.name).await {
            Ok(adapter) => {
                used.extend(
                    adapter
                        .versions
                        .as_ref()
                        .map(|used| used.text(&candidate.name)),
                );
                manifests.insert(candidate.name.clone(), adapter.manifest.clone());
            }
            Err(failure) => context.ui.finding(&Finding {
                help: failure.help,
                ..Finding::warning(format!(
                    "adapter `{}` is left out: {}",
                    candidate.name, failure.message
                ))
            }),
        }
    }
    match supervisor.tables().is_plain() {
        true if used.is_empty() => {}
        true => context
            .ui
            .say("versions: those that the adapters know themselves (no channel is configured)"),
        false => used.iter().for_each(|text| context.ui.say(text)),
    }
    match manifests.is_empty() {
        true => Err(
            Failure::new(Exit::Missing, "there is no adapter that can be asked")
                .help("see what is wrong with `ztc plugins list`")
                .into(),
        ),
        false => Ok(manifests),
    }
}

struct Wizard<'a> {
    context: &'a Context,
    manifests: &'a BTreeMap<String, Manifest>,
    groups: &'a [Group],
    strangers: &'a BTreeSet<String>,
    running: Running<'a>,
}

impl<'a> Wizard<'a> {
    async fn terminal(&self, start: Start) -> Result<Draft, Failure> {
        let ui = &self.context.ui;
        let mut draft = start.base;
        for (section, pointer, why) in draft.take_plain_secrets(self.manifests) {
            ui.warning(format!(
                "`{section}{}`: {why}; it is asked again",
                pointer.replace('/', ".")
            ));
        }
        for (section, finding) in draft.findings(self.manifests, self.groups) {
            // Two adapters of one group and a bad environment are asked for; a section that nobody knows is carried along.
            if !draft
                .sections
                .iter()
                .any(|known| known.name == section && self.manifests.contains_key(&known.adapter))
                && !section.is_empty()
            {
                ui.finding(&Finding {
                    severity: crate::error::Severity::Warning,
                    ..finding
                });
            }
        }
        ui.say("Enter takes what is proposed. Ctrl-C stops; what was answered is kept for `ztc init --resume`.");
        let mut session = self.session(
            Terminal::new(ui.clone()),
            Files::keeping(&self.context.repository, ui.mask()),
            draft,
        );
        match session.run().await {
            Ok(()) => Ok(session.draft),
            Err(stop) => Err(ended(stop, files::kept(&self.context.repository).exists())),
        }
    }

    async fn twin(&self, start: Start) -> Result<Draft, Failure> {
        let ui = &self.context.ui;
        let mut given = start
            .given
            .as_ref()
            .map(|partial| Draft::of(partial, false))
            .unwrap_or_default();
        let mut wrong = Vec::new();
        for assignment in &start.set {
            wrong.extend(given.set(assignment, &start.base, self.manifests).err());
        }
        let assigned: BTreeSet<String> = start
            .set
            .iter()
            .filter_map(|text| {
                Some(
                    text.split_once('=')?
                        .0
                        .split('.')
                        .take(2)
                        .collect::<Vec<_>>()
                        .join("."),
                )
            })
            .collect();
        let mut twin = Twin::new(ui.clone(), start.source, assigned);
        for finding in wrong {
            twin.add("", "", false, finding);
        }
        let mut draft = start.base;
        for (section, finding) in given.findings(self.manifests, self.groups) {
            twin.add(&section, "", true, finding);
        }
        for (gone, came) in draft.lay_over(given, self.groups) {
            ui.say(format!(
                "the answers for `{gone}` go: `{came}` takes its place"
            ));
        }
        for (section, finding) in draft.findings(self.manifests, self.groups) {
            twin.add(&section, "", true, finding);
        }
        for (section, pointer, why) in draft.take_plain_secrets(self.manifests) {
            twin.add(
                &section,
                &pointer,
                false,
                Finding::error(format!("`{section}{}`: {why}", pointer.replace('/', "."))),
            );
        }
        let mut session = self.session(
            twin,
            Files::writing_nothing(&self.context.repository, ui.mask()),
            draft,
        );
        session.run().await.map_err(|stop| ended(stop, false))?;
        let Session {
            prompter, draft, ..
        } = session;
        prompter.verdict().map(|()| draft)
    }

    fn session<'s, P, W>(
        &'s self,
        prompter: P,
        world: W,
        draft: Draft,
    ) -> Session<'s, P, Running<'a>, W> {
        Session {
            prompter,
            world,
            adapters: &self.running,
            manifests: self.manifests,
            groups: self.groups,
            strangers: self.strangers,
            draft,
            capabilities: BTreeMap::new(),
            unanswered: BTreeSet::new(),
        }
    }
}

/// Writes the document and says what it holds and what comes next.
fn finish(
    context: &Context,
    before: &Draft,
    draft: &Draft,
    manifests: &BTreeMap<String, Manifest>,
) -> Result<Exit, Failure> {
    let ui = &context.ui;
    let is_new = document::value(before) != document::value(draft)
        || !context.repository.platform().exists();
    ui.say("");
    ui.say(summary::text(draft));
    ui.say("");
    match is_new {
        true if files::write(&context.repository, draft)? => {
            ui.done(format!(
                "wrote `platform.yaml`; the one before it is kept as `{}`",
                context
                    .repository
                    .display(&files::previous(&context.repository))
            ));
        }
        true => ui.done("wrote `platform.yaml`"),
        false => ui.done("`platform.yaml` has every answer already and stays as it is"),
    }
    files::forget(&context.repository)?;
    let missing = summary::missing_bundles(&context.repository, draft, manifests);
    if !missing.is_empty() {
        ui.next(
            "ztc secrets generate",
            &format!("makes `{}`", missing.join("` and `")),
        );
    }
    ui.next("ztc render", "makes all artifacts from it");
    if ui.is_json() {
        ui.json(&json!({ "platform": document::value(draft), "written": is_new, "missing_bundles": missing }));
    }
    Ok(Exit::Done)
}

fn ended(stop: Stop, kept: bool) -> Failure {
    match stop {
        Stop::Failed(failure) => failure,
        Stop::Interrupted | Stop::Unanswered if kept => Failure::new(
            Exit::Interrupted,
            "interrupted; the answers so far are kept",
        )
        .help("go on with `ztc init --resume`"),
        Stop::Interrupted | Stop::Unanswered => {
            Failure::new(Exit::Interrupted, "interrupted; nothing was changed")
                .help("start again with the same command")
        }
    }
}
