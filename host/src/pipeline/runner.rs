//! Runs a plan: one loop over the ends of tasks and the wishes of the operator. Everything that happens is in the journal before anybody
//! sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use ztc_protocol::stage::Retry;

use crate::atomic;
use crate::error::Failure;
use crate::pipeline::attempt::{Ended, Stop};
use crate::pipeline::cache::Cache;
use crate::pipeline::event::{Event, Outcome, Record, RunStarted, Success, TaskFailure, TaskHead};
use crate::pipeline::journal::{self, Journal};
use crate::pipeline::plan::Plan;
use crate::pipeline::scheduler::{End, Queue};
use crate::pipeline::site::Site;
use crate::pipeline::state::RunState;

/// The longest wait before another attempt, in seconds.
const LONGEST_BACKOFF: u32 = 60;

/// The exit code that stands for "took too long" in a stage's list of codes to retry, as `timeout` has it.
const TIMED_OUT: i32 = 124;

/// What somebody wants of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The signal that said so.
    pub signal: String,
}

/// What a run tells.
#[derive(Debug)]
pub enum Told<'a> {
    /// Something happened; it is in the journal already.
    Record(&'a Record, &'a RunState),
    /// A stage printed a line.
    Line {
        /// The task.
        task: &'a str,
        /// The line, masked.
        line: &'a str,
    },
}

/// A run.
pub struct Runner {
    site: Arc<Site>,
    plan: Plan,
    jobs: usize,
    host: String,
    queue: Queue,
    journal: Journal,
    cache: Cache,
    began: Instant,
    since: BTreeMap<usize, Instant>,
    attempts: JoinSet<(usize, u32, Step)>,
    stop: watch::Sender<Stop>,
    /// Whether nothing starts any more, for those who wait for another attempt.
    halted: watch::Sender<bool>,
    lines: mpsc::Sender<(String, String)>,
    heard: mpsc::Receiver<(String, String)>,
}

/// What a future of the run's loop came to.
enum Step {
    Ended(Ended),
    /// The time for the next attempt has come, or the run stops.
    Again,
}

impl Runner {
    /// Begins a run: its journal and the directories that its stages use. Nothing has started yet.
    pub fn new(
        site: Arc<Site>,
        plan: Plan,
        cache: Cache,
        jobs: usize,
        host: String,
    ) -> Result<Self, Failure> {
        for directory in [
            site.repository.state(&site.environment),
            site.repository.secrets_of(&site.environment),
        ] {
            atomic::private_directory(&directory)?;
        }
        let last = journal::runs(&site.repository)?.pop().unwrap_or_default();
        let journal = Journal::create(&site.repository, &journal::new_run(&last))?;
        let queue = Queue::new(&site.tasks, jobs);
        let (lines, heard) = mpsc::channel(1024);
        Ok(Self {
            plan,
            jobs,
            host,
            queue,
            journal,
            cache,
            began: Instant::now(),
            since: BTreeMap::new(),
            attempts: JoinSet::new(),
            stop: watch::Sender::new(Stop::No),
            halted: watch::Sender::new(false),
            lines,
            heard,
            site,
        })
    }

    /// The run's name.
    pub fn name(&self) -> &str {
        self.journal.run()
    }

    /// Runs to the end and returns the last state. Where the journal cannot be written (a full disk, say), running stages are asked to
    /// stop and waited for: half a disk image is worse than half a journal.
    pub async fn run(
        mut self,
        mut wishes: mpsc::UnboundedReceiver<Wish>,
        mut tell: impl FnMut(Told<'_>),
    ) -> Result<RunState, Failure> {
        let driven = self.drive(&mut wishes, &mut tell).await;
        if driven.is_err() {
            self.queue.stop();
            self.stop.send_replace(Stop::Ask);
            while self.attempts.join_next().await.is_some() {}
        }
        driven?;
        // The journals hold everything that the cache does.
        let _ = self
            .cache
            .save(&self.site.repository, &self.site.environment);
        Ok(self.journal.state().clone())
    }

    async fn drive(
        &mut self,
        wishes: &mut mpsc::UnboundedReceiver<Wish>,
        mut tell: &mut impl FnMut(Told<'_>),
    ) -> Result<(), Failure> {
        let mut events = vec![Event::RunStarted(self.head())];
        let mut again = Vec::new();
        loop {
            let starting = self.fill(&mut events, std::mem::take(&mut again));
            self.record(std::mem::take(&mut events), &mut tell)?;
            for (task, attempt) in starting {
                self.start(task, attempt);
            }
            if self.queue.is_done() {
                break;
            }
            self.halted.send_if_modified(|halted| {
                std::mem::replace(halted, self.queue.is_stopped()) != self.queue.is_stopped()
            });
            tokio::select! {
                Some(done) = self.attempts.join_next() => {
                    let mut next = Some(done);
                    while let Some(done) = next {
                        let (task, attempt, step) = done.map_err(|error| Failure::failed("a mistake in ztc").detail(error))?;
                        match step {
                            Step::Ended(ended) => events.push(self.ended(task, attempt, ended)),
                            Step::Again => again.push((task, attempt)),
                        }
                        next = self.attempts.try_join_next();
                    }
                }
                Some(wish) = wishes.recv() => events.push(self.interrupt(wish)),
                Some((task, line)) = self.heard.recv() => tell(Told::Line { task: &task, line: &line }),
            }
        }
        let outcome = self.journal.state().outcome_so_far();
        self.record(
            vec![Event::RunFinished {
                outcome,
                seconds: seconds(self.began),
            }],
            &mut tell,
        )
    }

    fn head(&self) -> RunStarted {
        let site = &self.site;
        let heads = site.tasks.list.iter().map(|task| {
            let entry = task.entry(&site.pipeline);
            TaskHead {
                task: task.name.clone(),
                stage: entry.name.clone(),
                adapter: entry.adapter.clone(),
                item: task.item_key(&site.pipeline).to_owned(),
                cache_key: entry.cache_key.clone(),
                destructive: entry.destructive,
            }
        });
        RunStarted {
            environment: site.environment.clone(),
            ztc_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            host: self.host.clone(),
            jobs: self.jobs,
            tasks: heads.collect(),
        }
    }

    /// Takes everything that can start now. Nothing starts before it is recorded.
    fn fill(&mut self, events: &mut Vec<Event>, again: Vec<(usize, u32)>) -> Vec<(usize, u32)> {
        let mut starting = Vec::new();
        for (task, attempt) in again {
            if self.queue.is_stopped() {
                events.push(self.stopped(task));
            } else {
                starting.push((task, attempt));
            }
        }
        while let Some(task) = self.queue.start_next() {
            if self.plan.why[task].runs() {
                self.since.insert(task, Instant::now());
                starting.push((task, 1));
            } else {
                events.push(Event::TaskSkipped {
                    task: self.task_name(task),
                    why: self.plan.why[task].clone(),
                });
                self.queue.ended(task, End::Passed);
            }
        }
        for (task, attempt) in &starting {
            events.push(Event::TaskStarted {
                task: self.task_name(*task),
                attempt: *attempt,
                why: self.plan.why[*task].clone(),
                log: self.site.repository.display(&self.log(*task)),
            });
        }
        starting
    }

    fn record(
        &mut self,
        events: Vec<Event>,
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        // What stages printed before comes before.
        while let Ok((task, line)) = self.heard.try_recv() {
            tell(Told::Line {
                task: &task,
                line: &line,
            });
        }
        for record in self.journal.append(events)? {
            self.cache.add(self.journal.state(), &record);
            tell(Told::Record(&record, self.journal.state()));
        }
        Ok(())
    }

    fn start(&mut self, task: usize, number: u32) {
        let (site, stop, lines) = (self.site.clone(), self.stop.subscribe(), self.lines.clone());
        let log = self.log(task);
        self.attempts.spawn(async move {
            let ended = match site.attempt(task, number, log) {
                Ok(attempt) => attempt.run(stop, lines).await,
                Err(failure) => Ended::Badly(TaskFailure {
                    status: "could not be started".into(),
                    last_lines: std::iter::once(failure.message)
                        .chain(failure.details)
                        .collect(),
                    cause: failure.help,
                    code: None,
                }),
            };
            (task, number, Step::Ended(ended))
        });
    }

    fn ended(&mut self, task: usize, attempt: u32, ended: Ended) -> Event {
        let name = self.task_name(task);
        let entry = self.site.tasks.list[task].entry(&self.site.pipeline);
        let required = entry.required;
        match ended {
            Ended::Well => {
                let fingerprint = || self.site.inputs[task].fingerprint.clone();
                let success = entry.cache_key.is_some().then(|| Success {
                    stamp: self.cache.next_stamp(),
                    fingerprint: fingerprint(),
                });
                self.queue.ended(task, End::Passed);
                Event::TaskSucceeded {
                    task: name,
                    attempt,
                    seconds: self.seconds(task),
                    success,
                }
            }
            Ended::Stopped => self.stopped(task),
            Ended::Badly(failure) => match again_in(entry.retry.as_ref(), attempt, &failure) {
                Some(seconds) if !self.queue.is_stopped() => {
                    self.wait(task, attempt, seconds);
                    Event::AttemptFailed {
                        task: name,
                        attempt,
                        failure,
                        again_in: seconds,
                    }
                }
                _ => {
                    self.queue
                        .ended(task, if required { End::Failed } else { End::Passed });
                    Event::TaskFailed {
                        task: name,
                        attempt,
                        seconds: self.seconds(task),
                        failure,
                        required,
                    }
                }
            },
        }
    }

    /// Waits for the time of the next attempt, or for the end of the run.
    fn wait(&mut self, task: usize, attempt: u32, seconds: u32) {
        let mut halted = self.halted.subscribe();
        self.attempts.spawn(async move {
            let _ = tokio::time::timeout(
                Duration::from_secs(seconds.into()),
                halted.wait_for(|halted| *halted),
            )
            .await;
            (task, attempt + 1, Step::Again)
        });
    }

    fn stopped(&mut self, task: usize) -> Event {
        self.queue.ended(task, End::Failed);
        Event::TaskStopped {
            task: self.task_name(task),
            seconds: self.seconds(task),
        }
    }

    /// The first wish asks running stages to end, the second kills them.
    fn interrupt(&mut self, wish: Wish) -> Event {
        self.queue.stop();
        let stop = if *self.stop.borrow() == Stop::No {
            Stop::Ask
        } else {
            Stop::Kill
        };
        self.stop.send_replace(stop);
        Event::Interrupted {
            signal: wish.signal,
            kill: stop == Stop::Kill,
        }
    }

    fn task_name(&self, task: usize) -> String {
        self.site.tasks.list[task].name.clone()
    }

    fn seconds(&self, task: usize) -> f64 {
        self.since.get(&task).map_or(0.0, |since| seconds(*since))
    }

    fn log(&self, task: usize) -> PathBuf {
        let name = format!("{}.log", self.site.tasks.list[task].file_name());
        journal::directory(&self.site.repository, self.journal.run()).join(name)
    }
}

/// Seconds since a moment, to the millisecond.
fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}

/// Returns the seconds until the next attempt, where there is one.
fn again_in(retry: Option<&Retry>, attempt: u32, failure: &TaskFailure) -> Option<u32> {
    let retry = retry.filter(|retry| attempt < retry.max_attempts)?;
    let code = failure
        .code
        .or_else(|| failure.status.starts_with("no end").then_some(TIMED_OUT));
    let counts =
        retry.exit_codes.is_empty() || code.is_some_and(|code| retry.exit_codes.contains(&code));
    counts.then(|| {
        retry
            .backoff_seconds
            .saturating_mul(1 << (attempt - 1).min(16))
            .min(LONGEST_BACKOFF)
    })
}

/// What the end of a run is for the shell that waits for it: what failed without being required is said, and no failure.
pub fn exit(outcome: Outcome) -> crate::error::Exit {
    use crate::error::Exit;
    match outcome {
        Outcome::Succeeded | Outcome::Degraded => Exit::Done,
        Outcome::Failed => Exit::Failed,
        Outcome::Interrupted => Exit::Interrupted,
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod recovery_tests;
