//! What succeeded in an environment, so that it need not run again: the sum of all its journals.
//!
//! The file `.zerotouch-cache/stage-cache/<env>.json` only saves reading old journals: records of runs that it does not hold yet are added
//! when it is loaded, so a run that was killed has lost nothing, and a file that cannot be read is made again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Existing};
use crate::error::Failure;
use crate::paths::Repository;
use crate::pipeline::event::{Event, Record, RunKind, Success, VERSION};
use crate::pipeline::journal;
use crate::pipeline::state::RunState;
use crate::pipeline::why::Unfinished;

/// What is known of all tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// [`VERSION`] of the records it was made from.
    v: u32,
    /// The last run that it holds.
    last_run: String,
    /// The highest stamp of any success.
    clock: u64,
    /// By cache key and the key of the item.
    entries: BTreeMap<String, BTreeMap<String, Known>>,
}

/// What is known of one task, and whether it destroys data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    entry: Entry,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    destructive: bool,
}

impl Known {
    fn is_forgotten(&self) -> bool {
        matches!(
            self.entry,
            Entry::Unfinished {
                how: Unfinished::Forgotten,
                ..
            }
        )
    }
}

/// What is known of one task: of its last start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// It succeeded.
    Succeeded {
        /// In which run.
        run: String,
        /// From what.
        success: Success,
    },
    /// It was started, and whatever succeeded before no longer counts.
    Unfinished {
        /// In which run.
        run: String,
        /// What happened.
        how: Unfinished,
    },
}

impl Cache {
    /// The file.
    pub fn path(repository: &Repository, environment: &str) -> PathBuf {
        repository
            .cache()
            .join("stage-cache")
            .join(format!("{environment}.json"))
    }

    /// The file as it is; nothing where it cannot be read.
    fn stored(repository: &Repository, environment: &str) -> Option<Self> {
        let text = std::fs::read(Self::path(repository, environment)).ok()?;
        let known: Self = serde_json::from_slice(&text).ok()?;
        (known.v == VERSION).then_some(known)
    }

    /// Whether the file holds a whole run: it is written at the end of one.
    pub fn holds(repository: &Repository, environment: &str, run: &str) -> bool {
        Self::stored(repository, environment).is_some_and(|cache| *cache.last_run >= *run)
    }

    /// Reads the cache and adds the runs that it does not hold yet.
    pub fn load(repository: &Repository, environment: &str) -> Result<Self, Failure> {
        let mut cache = Self::stored(repository, environment).unwrap_or_else(|| Self {
            v: VERSION,
            ..Self::default()
        });
        for run in journal::runs(repository)?
            .into_iter()
            .filter(|run| *run > cache.last_run)
            .collect::<Vec<_>>()
        {
            cache.add_run(environment, &journal::read(repository, &run)?);
        }
        Ok(cache)
    }

    /// Writes the file.
    pub fn save(&self, repository: &Repository, environment: &str) -> Result<(), Failure> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Failure::failed("failed to write the stage cache").detail(error))?;
        atomic::private(
            &Self::path(repository, environment),
            &text,
            Existing::Replace,
        )
    }

    fn add_run(&mut self, environment: &str, records: &[Record]) {
        let mut state = RunState::default();
        for record in records {
            // The journal was checked when it was read.
            if state.apply(record).is_err() || state.head.environment != environment {
                return;
            }
            self.add(&state, record);
        }
    }

    /// Adds what a record tells of a task of a run.
    pub fn add(&mut self, state: &RunState, record: &Record) {
        let run = record.run.clone();
        if run > self.last_run {
            self.last_run.clone_from(&run);
        }
        let undoes = match &state.head.kind {
            RunKind::Bootstrap => false,
            RunKind::Rollback { .. } => true,
            RunKind::Reset { destructive } => {
                self.forget(&run, *destructive);
                return;
            }
        };
        let (task, entry) = match &record.event {
            Event::TaskStarted { task, .. } | Event::TaskSucceeded { task, .. } if undoes => {
                let how = match record.event {
                    Event::TaskStarted { .. } => Unfinished::Undoing,
                    _ => Unfinished::Undone,
                };
                (task, Entry::Unfinished { run, how })
            }
            _ if undoes => return,
            Event::TaskStarted { task, .. } => (
                task,
                Entry::Unfinished {
                    run,
                    how: Unfinished::Lost,
                },
            ),
            Event::TaskFailed { task, .. } => (
                task,
                Entry::Unfinished {
                    run,
                    how: Unfinished::Failed,
                },
            ),
            Event::TaskStopped { task, .. } => (
                task,
                Entry::Unfinished {
                    run,
                    how: Unfinished::Stopped,
                },
            ),
            Event::TaskSucceeded {
                task,
                success: Some(success),
                ..
            } => {
                self.clock = self.clock.max(success.stamp);
                (
                    task,
                    Entry::Succeeded {
                        run,
                        success: success.clone(),
                    },
                )
            }
            _ => return,
        };
        let Some(head) = state.head_of(task) else {
            return;
        };
        if let Some(key) = &head.cache_key {
            let of_key = self.entries.entry(key.clone()).or_default();
            // Undoing something does not make it harmless.
            let destructive = match undoes {
                true => of_key
                    .get(&head.item)
                    .is_some_and(|known| known.destructive),
                false => head.destructive,
            };
            of_key.insert(head.item.clone(), Known { entry, destructive });
        }
    }

    /// Forgets how everything ended, but for what destroyed data unless that is to be forgotten too. That it ran stays known, to be told.
    fn forget(&mut self, run: &str, destructive: bool) {
        for known in self.entries.values_mut().flat_map(BTreeMap::values_mut) {
            if (destructive || !known.destructive) && !known.is_forgotten() {
                known.entry = Entry::Unfinished {
                    run: run.to_owned(),
                    how: Unfinished::Forgotten,
                };
            }
        }
    }

    /// Everything that is known: cache key, item, and whether it destroys data.
    pub fn known(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.entries.iter().flat_map(|(key, items)| {
            let known = items.iter().filter(|(_, known)| !known.is_forgotten());
            known.map(|(item, known)| (key.as_str(), item.as_str(), known.destructive))
        })
    }

    /// What is known of a task.
    pub fn entry(&self, cache_key: &str, item: &str) -> Option<&Entry> {
        Some(&self.entries.get(cache_key)?.get(item)?.entry)
    }

    /// The stamp for the next success.
    pub fn next_stamp(&self) -> u64 {
        self.clock + 1
    }

    /// The last run that it holds; empty where there is none.
    pub fn last_run(&self) -> &str {
        &self.last_run
    }
}
