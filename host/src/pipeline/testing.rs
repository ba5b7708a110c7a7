//! Small pipelines, and a bench that runs them with real scripts in a repository of its own, for the tests of this module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use ztc_protocol::stage::{ForEach, Item};

use crate::digest::sha256_hex;
use crate::error::Failure;
use crate::lock::{Lock, LockedFile};
use crate::mask::Mask;
use crate::paths::Repository;
use crate::pipeline::event::{Event, Record, RunKind};
use crate::pipeline::file::{Kind, Pipeline, StageEntry};
use crate::pipeline::manual::Desk;
use crate::pipeline::plan::Options;
use crate::pipeline::prepared::Prepared;
use crate::pipeline::runner::{Runner, Setting, Told, Wish};
use crate::pipeline::site::Site;
use crate::pipeline::state::{Phase, RunState};
use crate::secrets::bundle::Bundle;

pub(crate) fn pipeline(stages: Vec<StageEntry>) -> Pipeline {
    Pipeline {
        mode: "test".into(),
        total_steps: stages.len(),
        stages,
        ..Pipeline::default()
    }
}

/// A required stage of the section `demo` with a cache key and a script of its own name.
pub(crate) fn stage(name: &str, needs: &[&str]) -> StageEntry {
    StageEntry {
        name: name.into(),
        adapter: "demo".into(),
        script: format!("demo://{name}.sh"),
        cache_key: Some(name.into()),
        required: true,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        timeout: 60,
        ..StageEntry::default()
    }
}

/// Items whose key is `key-<name>`.
pub(crate) fn items(names: &[&str]) -> Option<ForEach> {
    let items = names.iter().map(|name| Item {
        key: format!("key-{name}"),
        name: (*name).to_owned(),
        ..Item::default()
    });
    Some(ForEach {
        item: "node".into(),
        items: items.collect(),
    })
}

/// A repository with a pipeline, ready to run.
pub(crate) struct Bench {
    pub(crate) directory: PathBuf,
    /// Removes the directory at the end; nothing where somebody else does.
    _owned: Option<tempfile::TempDir>,
    pub(crate) pipeline: Pipeline,
    pub(crate) lock: Lock,
    pub(crate) bundles: BTreeMap<String, Bundle>,
    pub(crate) secrets: BTreeMap<(String, String), String>,
    pub(crate) mask: Mask,
    pub(crate) options: Options,
    pub(crate) jobs: usize,
    pub(crate) grace: Duration,
    pub(crate) desk: Desk,
}

/// What a run left.
pub(crate) struct Ran {
    pub(crate) state: RunState,
    pub(crate) records: Vec<Record>,
    pub(crate) lines: Vec<String>,
}

impl Bench {
    /// Makes a repository from stages and the texts of their scripts.
    pub(crate) fn new(stages: Vec<(StageEntry, &str)>) -> Self {
        let owned = tempfile::tempdir().unwrap();
        let directory = owned.path().to_owned();
        Self {
            _owned: Some(owned),
            ..Self::inside(&directory, stages)
        }
    }

    /// Makes it in a directory that belongs to somebody else.
    pub(crate) fn inside(directory: &Path, stages: Vec<(StageEntry, &str)>) -> Self {
        let mut bench = Self {
            directory: directory.to_owned(),
            _owned: None,
            pipeline: pipeline(stages.iter().map(|(stage, _)| stage.clone()).collect()),
            lock: Lock::default(),
            bundles: BTreeMap::new(),
            secrets: BTreeMap::new(),
            mask: Mask::default(),
            options: Options::default(),
            jobs: 16,
            grace: Duration::from_secs(10),
            desk: Desk::Nobody,
        };
        for (stage, text) in stages {
            if stage.kind == Kind::Script {
                bench.script(&stage.name, text);
            }
        }
        bench
    }

    /// Writes the script of a stage.
    pub(crate) fn script(&mut self, stage: &str, text: &str) {
        self.artifact(
            &format!("debug/scripts/demo/{stage}.sh"),
            &format!("set -euo pipefail\n{text}\n"),
        );
    }

    /// Writes the context of a stage.
    pub(crate) fn context(&mut self, stage: &str, context: &Value) {
        let entry = self
            .pipeline
            .stages
            .iter_mut()
            .find(|entry| entry.name == stage)
            .unwrap();
        entry.context_file = Some(format!("demo/{stage}.sh.context.json"));
        self.artifact(
            &format!("debug/scripts/demo/{stage}.sh.context.json"),
            &context.to_string(),
        );
    }

    /// Writes an artifact and locks it.
    pub(crate) fn artifact(&mut self, path: &str, content: &str) {
        let file = self.repository().generated().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
        let locked = LockedFile {
            sha256: sha256_hex(content.as_bytes()),
            mode: "0644".into(),
        };
        self.lock.artifacts.insert(path.to_owned(), locked);
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::at(&self.directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Reads a file that scripts wrote into the repository; empty where there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn runner(&self) -> Result<Runner, Failure> {
        let (repository, environment) = (self.repository(), "test".to_owned());
        let Prepared {
            tasks,
            inputs,
            cache,
            plan,
        } = Prepared::new(
            &repository,
            &environment,
            &self.lock,
            &self.pipeline,
            &self.bundles,
            &self.options,
        )?;
        let site = Site {
            repository,
            environment,
            lock: self.lock.clone(),
            pipeline: self.pipeline.clone(),
            tasks,
            inputs,
            bundles: self.bundles.clone(),
            secrets: self.secrets.clone(),
            variables: std::env::vars().collect(),
            mask: self.mask.clone(),
            grace: self.grace,
            launcher: None,
            desk: self.desk.clone(),
        };
        let setting = Setting {
            kind: RunKind::Bootstrap,
            jobs: self.jobs,
            host: "here".into(),
        };
        Runner::new(Arc::new(site), plan, cache, setting)
    }

    /// Runs to the end. `on_line` sees every line that a stage prints and may wish.
    pub(crate) async fn run_with(&self, on_line: impl Fn(&str) -> bool) -> Ran {
        let (wish, wishes) = mpsc::unbounded_channel();
        let (mut records, mut lines) = (Vec::new(), Vec::new());
        let tell = |told: Told<'_>| match told {
            Told::Record(record, _) => records.push(record.clone()),
            Told::Line { line, .. } => {
                lines.push(line.to_owned());
                if on_line(line) {
                    wish.send(Wish::new("SIGINT")).unwrap();
                }
            }
        };
        let state = self.runner().unwrap().run(wishes, tell).await.unwrap();
        Ran {
            state,
            records,
            lines,
        }
    }

    pub(crate) async fn run(&self) -> Ran {
        self.run_with(|_| false).await
    }
}

impl Ran {
    /// Every task with the word for its end and, where it was skipped or started, why.
    pub(crate) fn summary(&self) -> Vec<String> {
        let why = |task: &str| {
            self.records.iter().find_map(|record| match &record.event {
                Event::TaskStarted {
                    task: name, why, ..
                }
                | Event::TaskSkipped { task: name, why }
                    if name == task =>
                {
                    Some(why)
                }
                _ => None,
            })
        };
        let line = |(head, phase): (&crate::pipeline::event::TaskHead, &Phase)| match why(&head.task)
        {
            Some(why) => format!(
                "{} {}: {}",
                head.task,
                phase.word(),
                self.named(&why.to_string())
            ),
            None => format!("{} {}", head.task, phase.word()),
        };
        self.state.tasks().map(line).collect()
    }

    /// Calls this run and any other run by names that do not change.
    fn named(&self, text: &str) -> String {
        let words = text
            .split(' ')
            .map(|word| match ulid::Ulid::from_string(word) {
                Ok(_) if word == self.state.run => "THIS",
                Ok(_) => "EARLIER",
                Err(_) => word,
            });
        words.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn log(&self, bench: &Bench, task: &str) -> String {
        bench.read(&format!(
            ".zerotouch-cache/runs/{}/{task}.log",
            self.state.run
        ))
    }

    /// How a task failed.
    pub(crate) fn failure(&self, task: &str) -> crate::pipeline::event::TaskFailure {
        match self.state.phase(task) {
            Some(Phase::Failed { failure, .. }) => failure.clone(),
            other => panic!("`{task}` did not fail: {other:?}"),
        }
    }
}
