//! `ztc secrets`: generated bundles, made and replaced only here and only by the operator's explicit wish.

pub(crate) mod checks;
mod import;
mod kubeconfig;
mod talosconfig;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use ztc_protocol::manifest::SecretBundle;
use ztc_protocol::message::{CheckSecretsResult, GenerateSecrets, GenerateSecretsParams};

use self::import::{Cluster, Wish};
use crate::adapter::{Adapter, Discovery, Supervisor, attach, grant};
use crate::atomic::{self, Existing};
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure, Finding, Location, Severity, did_you_mean, listed};
use crate::lock::Lock;
use crate::paths::Repository;
use crate::platform::{Platform, Section};
use crate::render::bundles::exchanged;
use crate::secrets::bundle::Bundle;
use crate::secrets::git;
use crate::session;
use crate::ui::table::table;

/// Subcommands of `ztc secrets`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// Make the bundles that do not exist yet; existing ones are never changed
    Generate {
        #[command(flatten)]
        of: Of,
        /// Bundles or adapters [default: everything that platform.yaml needs]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Make bundles anew that the lock knows and that are gone: so is their cluster
        #[arg(long)]
        new_cluster: bool,
    },
    /// Take a bundle from a file, such as one made by `talosctl gen secrets`
    Import {
        #[command(flatten)]
        of: Of,
        /// The bundle
        name: String,
        /// The file
        file: PathBuf,
        /// Replace an existing bundle, of which a copy is kept
        #[arg(long)]
        replace: bool,
        /// Give up the bundle that the lock knows: its cluster is gone
        #[arg(long, requires = "replace")]
        new_cluster: bool,
    },
    /// Write the talosconfig for `talosctl`, with a new certificate where the old one ends soon
    Talosconfig {
        #[command(flatten)]
        of: Of,
        /// Where to write it [default: secrets/<environment>/talosconfig]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Make a new certificate that is valid this long, such as 12h, 30d or 1y
        #[arg(long, value_name = "TIME", value_parser = talosconfig::hours)]
        ttl: Option<u32>,
    },
    /// Say where the kubeconfig is, or merge it into your own
    Kubeconfig {
        #[command(flatten)]
        of: Of,
        /// Merge it into your own kubeconfig, of which a copy is kept
        #[arg(long)]
        merge: bool,
    },
    /// List the bundles that platform.yaml needs
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Check bundles and show fingerprints and expiry, never a value
    Check {
        #[command(flatten)]
        of: Of,
        /// Bundles or adapters [default: everything that platform.yaml needs]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Whose secrets.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    if let Arguments::Kubeconfig { of, merge } = arguments {
        return kubeconfig::run(context, of.env.as_deref(), *merge);
    }
    wait_for(async {
        let of = match arguments {
            Arguments::Generate { of, .. }
            | Arguments::Import { of, .. }
            | Arguments::Talosconfig { of, .. }
            | Arguments::Kubeconfig { of, .. }
            | Arguments::List { of }
            | Arguments::Check { of, .. } => of,
        };
        let keeper = Keeper::open(context, of.env.as_deref()).await?;
        let result = match arguments {
            Arguments::Generate {
                names, new_cluster, ..
            } => keeper.generate(names, Cluster::of(*new_cluster)).await,
            Arguments::Import {
                name,
                file,
                replace,
                new_cluster,
                ..
            } => {
                let existing = if *replace {
                    Existing::Replace
                } else {
                    Existing::Keep
                };
                let cluster = Cluster::of(*new_cluster);
                keeper.import(name, file, Wish { existing, cluster }).await
            }
            Arguments::Talosconfig { output, ttl, .. } => {
                keeper.talosconfig(output.as_deref(), *ttl).await
            }
            Arguments::List { .. } | Arguments::Kubeconfig { .. } => keeper.list(),
            Arguments::Check { names, .. } => keeper.check(names).await,
        };
        keeper.supervisor.shutdown().await;
        result
    })
}

/// A bundle with the adapter that makes it.
struct Declared {
    bundle: SecretBundle,
    section: Section,
    adapter: Arc<Adapter>,
}

struct Keeper<'a> {
    context: &'a Context,
    environment: String,
    supervisor: Supervisor,
    declared: Vec<Declared>,
    lock: Option<Lock>,
}

/// One bundle, as `--json` shows it.
#[derive(Serialize)]
struct Row {
    name: String,
    adapter: String,
    description: String,
    path: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
}

impl<'a> Keeper<'a> {
    async fn open(context: &'a Context, environment: Option<&str>) -> Result<Self, Failure> {
        let platform = Platform::load(&context.repository, environment)?;
        let lock = Lock::load(&context.repository)?;
        let discovery = Discovery::new(&context.machine, &context.repository, &platform.plugins)
            .with_lock(lock.as_ref());
        session::find_all(&platform, &discovery)?;
        let supervisor = Supervisor::new(discovery, context.ui.clone());
        let names: BTreeSet<String> = platform
            .sections
            .iter()
            .map(|section| section.adapter.clone())
            .collect();
        let names: Vec<String> = names.into_iter().collect();
        attach::check_used(supervisor.discovery().attached(), &names)?;
        let adapters = supervisor.start_all(&names).await?;
        grant::findings_of_all(&platform, supervisor.discovery(), &adapters)
            .iter()
            .for_each(|warning| context.ui.finding(warning));
        let declared = platform
            .sections
            .iter()
            .filter_map(|section| Some((section, adapters.get(&section.adapter)?)))
            .flat_map(|(section, adapter)| {
                adapter.manifest.bundles.iter().map(|bundle| Declared {
                    bundle: bundle.clone(),
                    section: section.clone(),
                    adapter: adapter.clone(),
                })
            })
            .collect();
        // The lock of another environment knows nothing of these.
        let lock = lock.filter(|lock| lock.environment == platform.environment);
        Ok(Self {
            context,
            environment: platform.environment,
            supervisor,
            declared,
            lock,
        })
    }

    fn repository(&self) -> &Repository {
        &self.context.repository
    }

    fn load(&self, name: &str) -> Result<Option<Bundle>, Failure> {
        Bundle::load(
            self.repository(),
            &self.environment,
            self.context.ui.mask(),
            name,
        )
    }

    /// What the lock says of a bundle. One that is made from others is not in it.
    fn locked(&self, name: &str) -> Option<&str> {
        let is_derived =
            |declared: &Declared| declared.bundle.name == name && !declared.bundle.from.is_empty();
        if self.declared.iter().any(is_derived) {
            return None;
        }
        self.lock.as_ref()?.secrets.get(name).map(String::as_str)
    }

    fn path(&self, name: &str) -> PathBuf {
        Bundle::path(self.repository(), &self.environment, name)
    }

    /// Refuses a bundle that is not the one of the lock.
    fn refuse_exchanged(&self, name: &str) -> Result<(), Failure> {
        let (Some(locked), Some(bundle)) = (self.locked(name), self.load(name)?) else {
            return Ok(());
        };
        let found = bundle.fingerprint();
        if locked == found {
            return Ok(());
        }
        let path = self.repository().display(&self.path(name));
        Err(exchanged(name, &path, locked, &found))
    }

    /// Refuses where what a bundle is made from is not what the lock knows.
    fn refuse_exchanged_sources(&self, declared: &Declared) -> Result<(), Failure> {
        declared
            .bundle
            .from
            .iter()
            .try_for_each(|source| self.refuse_exchanged(source))
    }

    /// Returns the bundles that the names mean, those they are made from first.
    fn select(&self, names: &[String]) -> Result<Vec<&Declared>, Failure> {
        let mut selected: Vec<&Declared> = Vec::new();
        for name in names {
            let found: Vec<&Declared> = self
                .declared
                .iter()
                .filter(|declared| declared.bundle.name == *name || declared.section.name == *name)
                .collect();
            if found.is_empty() {
                return Err(self.unknown(name));
            }
            selected.extend(found);
        }
        if names.is_empty() {
            selected.extend(&self.declared);
        }
        let mut seen = BTreeSet::new();
        selected.retain(|declared| seen.insert(declared.bundle.name.clone()));
        selected.sort_by_key(|declared| declared.bundle.from.len());
        Ok(selected)
    }

    fn unknown(&self, name: &str) -> Failure {
        let known: BTreeSet<&str> = self
            .declared
            .iter()
            .flat_map(|declared| {
                [
                    declared.bundle.name.as_str(),
                    declared.section.name.as_str(),
                ]
            })
            .collect();
        let failure = Failure::invalid(format!(
            "no adapter of platform.yaml has a secret bundle `{name}`"
        ));
        match did_you_mean(name, known.iter().copied()) {
            Some(hint) => failure.help(hint),
            None if known.is_empty() => {
                failure.help("no adapter of platform.yaml generates secrets")
            }
            None => failure.help(format!("there is {}", listed(known))),
        }
    }

    async fn generate(&self, names: &[String], cluster: Cluster) -> Result<Exit, Failure> {
        git::ensure_ignored(self.repository())?;
        git::refuse_tracked(self.repository()).await?;
        let mut made = 0;
        for declared in self.select(names)? {
            let name = &declared.bundle.name;
            if self.load(name)?.is_some() {
                self.context.ui.say(format!(
                    "  secret bundle `{name}` exists and stays as it is"
                ));
                continue;
            }
            let is_locked = self.locked(name).is_some();
            if is_locked && cluster == Cluster::Kept {
                return Err(self.lost(name));
            }
            if cluster == Cluster::Kept {
                self.refuse_exchanged_sources(declared)?;
            }
            self.make(declared, Existing::Keep, None).await?;
            if is_locked {
                self.forget(name)?;
            }
            made += 1;
        }
        if made == 0 {
            self.context.ui.done("nothing to generate");
        } else {
            self.context.ui.say(
                "  keep a copy in a safe place: whoever has these files controls the cluster, and without them nobody does",
            );
        }
        Ok(Exit::Done)
    }

    /// The lock knows the bundle but the file is gone: a new one would not fit the running cluster.
    fn lost(&self, name: &str) -> Failure {
        Failure::new(Exit::Refused, format!("secret bundle `{name}` is missing but platform/lock.json knows it"))
            .at(Location::file(self.repository().display(&Bundle::path(self.repository(), &self.environment, name))))
            .detail("a new one would not fit the cluster that was made with the old one")
            .help(format!(
                "restore the file from its backup; where the cluster is gone and a new one is meant, `ztc secrets generate {name} --new-cluster`"
            ))
    }

    /// Makes a bundle. `valid_hours`: how long its certificates are valid, where the operator says so.
    async fn make(
        &self,
        declared: &Declared,
        existing: Existing,
        valid_hours: Option<u32>,
    ) -> Result<(), Failure> {
        let name = &declared.bundle.name;
        let mut from = BTreeMap::new();
        for source in &declared.bundle.from {
            let path = self.path(source);
            let text =
                std::fs::read_to_string(&path).map_err(|error| match self.locked(source) {
                    Some(_) if error.kind() == std::io::ErrorKind::NotFound => self.lost(source),
                    _ => Failure::io("read", self.repository().display(&path), &error).help(
                        format!("make it first with `ztc secrets generate {source}`"),
                    ),
                })?;
            from.insert(source.clone(), text);
        }
        self.context.ui.say(format!(
            "  making secret bundle `{name}` ({})",
            declared.bundle.description
        ));
        let params = GenerateSecretsParams {
            bundle: name.clone(),
            config: declared.section.config.clone(),
            from,
            valid_hours,
            ..GenerateSecretsParams::default()
        };
        let result = declared.adapter.call::<GenerateSecrets>(params).await?;
        let path = self.path(name);
        atomic::private(&path, result.content.as_bytes(), existing)?;
        self.context
            .ui
            .done(format!("wrote {}", self.repository().display(&path)));
        Ok(())
    }

    fn list(&self) -> Result<Exit, Failure> {
        let rows = self
            .declared
            .iter()
            .map(|declared| self.row(declared))
            .collect::<Result<Vec<_>, _>>()?;
        if self.context.ui.is_json() {
            self.context.ui.json(&rows);
            return Ok(Exit::Done);
        }
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                vec![
                    row.name.clone(),
                    row.adapter.clone(),
                    row.state.to_owned(),
                    row.description.clone(),
                ]
            })
            .collect();
        self.context.ui.data(&table(
            &["BUNDLE", "ADAPTER", "STATE", "DESCRIPTION"],
            &cells,
        ));
        Ok(Exit::Done)
    }

    fn row(&self, declared: &Declared) -> Result<Row, Failure> {
        let name = &declared.bundle.name;
        let fingerprint = self.load(name)?.map(|bundle| bundle.fingerprint());
        let state = match (&fingerprint, self.locked(name)) {
            (None, None) => "not made",
            (None, Some(_)) => "missing",
            (Some(_), None) => "made",
            (Some(now), Some(locked)) if now == locked => "locked",
            (Some(_), Some(_)) => "different from the lock",
        };
        Ok(Row {
            name: name.clone(),
            adapter: declared.section.name.clone(),
            description: declared.bundle.description.clone(),
            path: self.repository().display(&Bundle::path(
                self.repository(),
                &self.environment,
                name,
            )),
            state,
            fingerprint,
        })
    }

    async fn check(&self, names: &[String]) -> Result<Exit, Failure> {
        let mut report = Vec::new();
        for declared in self.select(names)? {
            let name = &declared.bundle.name;
            let path = Bundle::path(self.repository(), &self.environment, name);
            let file = self.repository().display(&path);
            let content = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound if self.locked(name).is_some() => self.lost(name),
                std::io::ErrorKind::NotFound => {
                    Failure::invalid(format!("secret bundle `{name}` does not exist"))
                        .help(format!("make it with `ztc secrets generate {name}`"))
                }
                _ => Failure::io("read", &file, &error),
            })?;
            let result = self.examine(declared, &content).await?;
            refuse_errors(name, &file, &result)?;
            self.refuse_exchanged(name)?;
            report.push((name.clone(), file, result));
        }
        if self.context.ui.is_json() {
            let facts: BTreeMap<&String, _> = report
                .iter()
                .map(|(name, _, result)| (name, result))
                .collect();
            self.context.ui.json(&facts);
            return Ok(Exit::Done);
        }
        for (name, file, result) in &report {
            self.context.ui.data(&format!("{name}  {file}  valid"));
            let rows: Vec<Vec<String>> = result
                .facts
                .iter()
                .map(|(fact, value)| vec![format!("  {fact}"), value.clone()])
                .collect();
            if !rows.is_empty() {
                self.context.ui.data(&table(&["  FACT", "VALUE"], &rows));
            }
            for finding in findings(result) {
                self.context.ui.finding(&finding);
            }
        }
        if let Some(open) = checks::open_files(self.repository()) {
            self.context.ui.finding(&open);
        }
        Ok(Exit::Done)
    }
}

impl Keeper<'_> {
    /// Asks the adapter about the text of a bundle.
    async fn examine(
        &self,
        declared: &Declared,
        content: &str,
    ) -> Result<CheckSecretsResult, Failure> {
        checks::ask(
            self.repository(),
            &self.environment,
            &declared.adapter,
            &declared.bundle,
            content,
        )
        .await
    }
}

fn findings(result: &CheckSecretsResult) -> Vec<Finding> {
    checks::findings("", result)
}

fn refuse_errors(name: &str, file: &str, result: &CheckSecretsResult) -> Result<(), Failure> {
    let found = findings(result);
    if !found
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        return Ok(());
    }
    Err(
        Failure::findings(format!("secret bundle `{name}` is not valid"), found)
            .at(Location::file(file)),
    )
}
