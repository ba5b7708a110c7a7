//! Runs a plan: one loop over the ends of tasks and the wishes of the operator. Everything that happens is in the journal before anybody
//! sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use ztc_protocol::stage::{AfterFailure, Retry};

use crate::atomic;
use crate::error::Failure;
use crate::pipeline::attempt::{Ended, Stop};
use crate::pipeline::cache::Cache;
use crate::pipeline::event::{
    Event, Outcome, Record, RunKind, RunStarted, Success, TaskFailure, TaskHead,
};
use crate::pipeline::heads;
use crate::pipeline::journal::{self, Journal};
use crate::pipeline::plan::Plan;
use crate::pipeline::scheduler::{End, Lanes, Queue};
use crate::pipeline::site::Site;
use crate::pipeline::state::RunState;
use crate::pipeline::strays::Strays;
use crate::pipeline::why::Why;

/// The exit code that stands for "took too long" in a stage's list of codes to retry, as `timeout` has it.
const TIMED_OUT: i32 = 124;

/// What somebody wants of a run: that it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The signal that said so, or the command or option.
    pub signal: String,
    /// How fast.
    pub urgency: Urgency,
}

/// How fast a run is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgency {
    /// As with Ctrl-C: the first asks running stages to end, the second kills them.
    #[default]
    Again,
    /// Running stages are asked, however often this is said.
    Ask,
    /// Running stages are killed.
    Kill,
}

impl Wish {
    /// A wish as with Ctrl-C.
    pub fn new(signal: impl Into<String>) -> Self {
        Self {
            signal: signal.into(),
            urgency: Urgency::Again,
        }
    }
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

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What it does.
    pub kind: RunKind,
    /// How many tasks run at the same time.
    pub jobs: usize,
    /// The machine it runs on.
    pub host: String,
}

/// A run.
pub struct Runner {
    site: Arc<Site>,
    plan: Plan,
    setting: Setting,
    queue: Queue,
    journal: Journal,
    cache: Cache,
    began: Instant,
    since: BTreeMap<usize, Instant>,
    /// What failed, or was skipped because something before it did.
    failed: BTreeSet<usize>,
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
        setting: Setting,
    ) -> Result<Self, Failure> {
        for directory in [
            site.repository.state(&site.environment),
            site.repository.secrets_of(&site.environment),
        ] {
            atomic::private_directory(&directory)?;
        }
        let last = journal::runs(&site.repository)?.pop().unwrap_or_default();
        let journal = Journal::create(&site.repository, &journal::new_run(&last))?;
        let queue = Queue::new(
            &site.tasks,
            setting.jobs,
            Lanes::of(&site.pipeline, &site.tasks),
        );
        let (lines, heard) = mpsc::channel(1024);
        Ok(Self {
            plan,
            setting,
            queue,
            journal,
            cache,
            began: Instant::now(),
            since: BTreeMap::new(),
            failed: BTreeSet::new(),
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
        // Only a process that is a run and nothing else may end all its children.
        let strays = self.site.launcher.is_some().then(Strays::adopt);
        let driven = self.drive(&mut wishes, &mut tell).await;
        if driven.is_err() {
            self.queue.stop();
            self.stop.send_replace(Stop::Ask);
            while self.attempts.join_next().await.is_some() {}
        }
        if let Some(strays) = strays {
            strays.end().await;
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
            kind: self.setting.kind.clone(),
            ztc_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            host: self.setting.host.clone(),
            jobs: self.setting.jobs,
            stages: heads::heads(&site.pipeline),
            tasks: heads.collect(),
        }
    }

    /// Takes everything that can start now. Nothing starts before it is recorded.
    fn fill(&mut self, events: &mut Vec<Event>, again: Vec<(usize, u32)>) -> Vec<(usize, u32)> {
        let mut starting = Vec::new();
        for (task, attempt) in again {
            if self.queue.is_stopped() {
                events.push(self.stopped(task, None));
            } else {
                starting.push((task, attempt));
            }
        }
        while let Some(task) = self.queue.start_next() {
            let why = self.after_failure(task);
            let why = why.unwrap_or_else(|| self.plan.why[task].clone());
            if why.runs() {
                self.since.insert(task, Instant::now());
                starting.push((task, 1));
            } else {
                events.push(Event::TaskSkipped {
                    task: self.task_name(task),
                    why,
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

    /// Why a task does not run although it would: something before it failed, and it does not want to run then.
    fn after_failure(&mut self, task: usize) -> Option<Why> {
        let entry = self.site.tasks.list[task].entry(&self.site.pipeline);
        if self.failed.is_empty()
            || entry.after_failure == AfterFailure::Run
            || !self.plan.why[task].runs()
        {
            return None;
        }
        let failed = self
            .site
            .tasks
            .before(task)
            .filter(|need| self.failed.contains(need))
            .max()?;
        self.failed.insert(task);
        Some(Why::NeedFailed {
            task: self.task_name(failed),
        })
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
            let ended = match site.work(task, number, log) {
                Ok(work) => work.run(stop, lines).await,
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
                let counts = entry.cache_key.is_some() && self.setting.kind == RunKind::Bootstrap;
                let success = counts.then(|| Success {
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
            Ended::Stopped(cause) => self.stopped(task, cause),
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
                    self.failed.insert(task);
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

    fn stopped(&mut self, task: usize, cause: Option<String>) -> Event {
        self.queue.ended(task, End::Failed);
        Event::TaskStopped {
            task: self.task_name(task),
            seconds: self.seconds(task),
            cause,
        }
    }

    fn interrupt(&mut self, wish: Wish) -> Event {
        self.queue.stop();
        let before = *self.stop.borrow();
        let stop = match (wish.urgency, before) {
            (Urgency::Kill, _) | (Urgency::Again, Stop::Ask | Stop::Kill) => Stop::Kill,
            (Urgency::Ask, before) => before.max(Stop::Ask),
            (Urgency::Again, Stop::No) => Stop::Ask,
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
        .or_else(|| failure.took_too_long().then_some(TIMED_OUT));
    let counts =
        retry.exit_codes.is_empty() || code.is_some_and(|code| retry.exit_codes.contains(&code));
    counts.then(|| retry.wait_after(attempt))
}

/// What the end of a run is for the shell that waits for it.
pub fn exit(outcome: Outcome) -> crate::error::Exit {
    use crate::error::Exit;
    match outcome {
        Outcome::Succeeded => Exit::Done,
        Outcome::Degraded => Exit::Differences,
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
