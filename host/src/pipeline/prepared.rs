//! Everything that a run knows before it starts: the tasks, what each is made from, what succeeded before, and the plan. Changes nothing.

use std::collections::BTreeMap;

use crate::error::{Exit, Failure};
use crate::lock::Lock;
use crate::paths::Repository;
use crate::pipeline::cache::Cache;
use crate::pipeline::file::Pipeline;
use crate::pipeline::inputs::{self, Artifacts, Inputs};
use crate::pipeline::plan::{Options, Plan, plan};
use crate::pipeline::tasks::Tasks;
use crate::platform::Platform;
use crate::secrets::bundle::Bundle;
use crate::secrets::{Reference, Vault};
use crate::tools;

/// What a run knows before it starts.
pub struct Prepared {
    /// The tasks.
    pub tasks: Tasks,
    /// What each is made from.
    pub inputs: Vec<Inputs>,
    /// What succeeded before.
    pub cache: Cache,
    /// Which run, and why.
    pub plan: Plan,
}

impl Prepared {
    /// Reads everything and makes the plan.
    pub fn new(
        repository: &Repository,
        environment: &str,
        lock: &Lock,
        pipeline: &Pipeline,
        bundles: &BTreeMap<String, Bundle>,
        options: &Options,
    ) -> Result<Self, Failure> {
        let tasks = Tasks::of(pipeline)?;
        let inputs = inputs::load(Artifacts::new(repository, lock), pipeline, &tasks, bundles)?;
        let cache = Cache::load(repository, environment)?;
        let fingerprints: Vec<_> = inputs.iter().map(|inputs| &inputs.fingerprint).collect();
        let plan = plan(pipeline, &tasks, &fingerprints, &cache, options)?;
        Ok(Self {
            tasks,
            inputs,
            cache,
            plan,
        })
    }

    /// The tasks that run and destroy data.
    pub fn destructive<'a>(&'a self, pipeline: &'a Pipeline) -> impl Iterator<Item = usize> + 'a {
        self.plan
            .running()
            .filter(|task| self.tasks.list[*task].entry(pipeline).destructive)
    }

    /// Looks for every program that the stages that run start. What is missing is one failure that names each.
    pub async fn check_tools(&self, pipeline: &Pipeline) -> Result<(), Failure> {
        let bash = tools::bash();
        let mut needed = BTreeMap::from([(bash.name.clone(), bash)]);
        for task in self.plan.running() {
            tools::merge(&mut needed, &self.tasks.list[task].entry(pipeline).tools);
        }
        // Every stage has a jq, see `jq.rs`.
        needed.remove("jq");
        let mut missing = Vec::new();
        for tool in needed.values() {
            if let Err(failure) = tools::find(tool).await {
                missing.push(self.missing_tool(pipeline, &tool.name, failure));
            }
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Failure {
                findings: missing,
                ..Failure::new(
                    Exit::Missing,
                    "programs that the stages start are missing; nothing has been run",
                )
            }),
        }
    }

    fn missing_tool(
        &self,
        pipeline: &Pipeline,
        tool: &str,
        failure: Failure,
    ) -> crate::error::Finding {
        let mut stages: Vec<&str> = self
            .plan
            .running()
            .map(|task| self.tasks.list[task].entry(pipeline))
            .filter(|entry| entry.tools.iter().any(|other| other.name == tool))
            .map(|entry| entry.name.as_str())
            .collect();
        stages.dedup();
        let whom = if stages.is_empty() {
            "every stage".to_owned()
        } else {
            stages.join(", ")
        };
        let finding =
            crate::error::Finding::error(format!("{} (needed by {whom})", failure.message));
        crate::error::Finding {
            help: failure.help,
            ..finding
        }
    }

    /// Resolves the secrets of all stages that run, by section and input.
    pub async fn secrets(
        &self,
        pipeline: &Pipeline,
        platform: &Platform,
        vault: &Vault,
    ) -> Result<BTreeMap<(String, String), String>, Failure> {
        let mut values = BTreeMap::new();
        for task in self.plan.running() {
            let entry = self.tasks.list[task].entry(pipeline);
            for secret in &entry.secrets {
                let key = (entry.adapter.clone(), secret.input.clone());
                if values.contains_key(&key) {
                    continue;
                }
                let what = format!("{}.{}", entry.adapter, secret.input);
                let configured = platform
                    .section(&entry.adapter)
                    .and_then(|section| section.config.get(&secret.input));
                let reference = match configured {
                    Some(value) => Reference::parse(value).map_err(|why| {
                        Failure::invalid(format!("`{what}`: {why}"))
                            .at(platform.locate(&entry.adapter, &format!("/{}", secret.input)))
                    })?,
                    // An operator who says nothing uses the variable that the stage itself reads.
                    None => Reference::Env {
                        name: secret.variable.clone(),
                    },
                };
                values.insert(key, vault.resolve(&what, &reference).await?);
            }
        }
        Ok(values)
    }
}

/// The name that the operator types to confirm: that of the cluster, where an adapter's section has one, else the environment.
pub fn cluster_name(platform: &Platform) -> String {
    let names = platform
        .sections
        .iter()
        .filter_map(|section| section.config.get("cluster_name")?.as_str());
    names
        .into_iter()
        .next()
        .unwrap_or(&platform.environment)
        .to_owned()
}
