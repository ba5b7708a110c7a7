//! Which task may start next: a small queue that knows no process, file or clock.
//!
//! A task is ready when everything before it has ended well. Whoever runs the tasks asks [`Queue::start_next`] until it has nothing more, and
//! says [`Queue::ended`] for each.

use std::collections::BTreeSet;

use crate::pipeline::file::Pipeline;
use crate::pipeline::tasks::Tasks;

/// How a task ended, as far as others are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What waits for it may start: it succeeded, was skipped, or failed without being required.
    Passed,
    /// Nothing starts any more.
    Failed,
}

/// The queue. Nodes are the tasks and, behind them, one gate for each stage, which opens when all tasks of the stage have passed.
#[derive(Clone, Debug)]
pub struct Queue {
    /// How many nodes each node still waits for.
    waits: Vec<usize>,
    /// The nodes that wait for each node.
    later: Vec<Vec<usize>>,
    /// The tasks that are ready, by lane.
    ready: Vec<BTreeSet<usize>>,
    tasks: usize,
    running: usize,
    jobs: usize,
    lanes: Lanes,
    /// How many tasks of each lane run.
    busy: Vec<usize>,
    stopped: bool,
}

/// Tasks that share a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// The lane of each task.
    of: Vec<usize>,
    /// How many tasks of each lane may run at the same time.
    limits: Vec<usize>,
}

impl Lanes {
    /// Puts each task into the lane of its section.
    pub fn of(pipeline: &Pipeline, tasks: &Tasks) -> Self {
        let mut names: Vec<&str> = Vec::new();
        let mut lane = |name| {
            let known = names.iter().position(|other| *other == name);
            known.unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        };
        let of = tasks
            .list
            .iter()
            .map(|task| lane(task.entry(pipeline).adapter.as_str()))
            .collect();
        let limit = |name: &&str| match pipeline.max_parallel.get(*name) {
            Some(limit) => usize::try_from(*limit).unwrap_or(usize::MAX).max(1),
            None => usize::MAX,
        };
        Self {
            of,
            limits: names.iter().map(limit).collect(),
        }
    }
}

impl Queue {
    /// Makes the queue; at most `jobs` tasks run at the same time, and of each lane at most as many as its limit says.
    pub fn new(tasks: &Tasks, jobs: usize, lanes: Lanes) -> Self {
        let count = tasks.list.len();
        let nodes = count + tasks.of_stage.len();
        let mut queue = Self {
            waits: vec![0; nodes],
            later: vec![Vec::new(); nodes],
            ready: vec![BTreeSet::new(); lanes.limits.len()],
            busy: vec![0; lanes.limits.len()],
            tasks: count,
            running: 0,
            jobs: jobs.max(1),
            lanes,
            stopped: false,
        };
        for (index, task) in tasks.list.iter().enumerate() {
            let gates = task.needs_all_of.iter().map(|stage| count + stage);
            for need in task.needs.iter().copied().chain(gates) {
                queue.edge(need, index);
            }
            queue.edge(index, count + task.stage);
        }
        for task in (0..count).filter(|task| queue.waits[*task] == 0) {
            queue.ready[queue.lanes.of[task]].insert(task);
        }
        queue
    }

    fn edge(&mut self, from: usize, to: usize) {
        self.waits[to] += 1;
        self.later[from].push(to);
    }

    /// Takes the next task to start: the first in the order of the pipeline whose lane has room.
    pub fn start_next(&mut self) -> Option<usize> {
        if self.stopped || self.running >= self.jobs {
            return None;
        }
        let lane = (0..self.ready.len())
            .filter(|lane| self.busy[*lane] < self.lanes.limits[*lane])
            .filter(|lane| !self.ready[*lane].is_empty())
            .min_by_key(|lane| self.ready[*lane].first().copied())?;
        let task = self.ready[lane].pop_first()?;
        self.busy[lane] += 1;
        self.running += 1;
        Some(task)
    }

    /// Takes the end of a task that [`Queue::start_next`] gave.
    pub fn ended(&mut self, task: usize, end: End) {
        self.running -= 1;
        self.busy[self.lanes.of[task]] -= 1;
        match end {
            End::Passed => self.open(task),
            End::Failed => self.stop(),
        }
    }

    fn open(&mut self, node: usize) {
        for later in std::mem::take(&mut self.later[node]) {
            self.waits[later] -= 1;
            match (self.waits[later], later < self.tasks) {
                (0, true) => {
                    self.ready[self.lanes.of[later]].insert(later);
                }
                (0, false) => self.open(later),
                _ => {}
            }
        }
    }

    /// Starts nothing more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether nothing starts any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether nothing runs and nothing can start.
    pub fn is_done(&self) -> bool {
        self.running == 0 && (self.stopped || self.ready.iter().all(BTreeSet::is_empty))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::file::StageEntry;
    use crate::pipeline::testing::{items, pipeline, stage};

    /// Pipelines of up to seven stages of three adapters over up to four machines, with any order between them, and limits of adapters.
    fn tasks() -> impl Strategy<Value = (Tasks, Lanes)> {
        const MACHINES: &[&str] = &["a", "b", "c", "d"];
        let one = (
            prop::collection::vec(prop::bool::ANY, 7),
            prop::option::of(prop::sample::subsequence(MACHINES, 0..=4)),
            0usize..3,
        );
        let limits = prop::collection::vec(prop::option::of(1u32..4), 3);
        (prop::collection::vec(one, 1..8), limits).prop_map(|(stages, limits)| {
            let names: Vec<String> = (0..stages.len()).map(|index| format!("s{index}")).collect();
            let entries = stages
                .iter()
                .enumerate()
                .map(|(index, (needs, machines, adapter))| {
                    let needs: Vec<&str> = (0..index)
                        .filter(|need| needs[*need])
                        .map(|need| names[need].as_str())
                        .collect();
                    StageEntry {
                        adapter: format!("adapter{adapter}"),
                        for_each: machines.as_ref().and_then(|machines| items(machines)),
                        ..stage(&names[index], &needs)
                    }
                });
            let limits = limits
                .iter()
                .enumerate()
                .filter_map(|(adapter, limit)| Some((format!("adapter{adapter}"), (*limit)?)));
            let pipeline = Pipeline {
                max_parallel: limits.collect(),
                ..pipeline(entries.collect())
            };
            let tasks = Tasks::of(&pipeline).unwrap();
            let lanes = Lanes::of(&pipeline, &tasks);
            (tasks, lanes)
        })
    }

    /// Runs all tasks, ending them in an order that `picks` chooses, and returns them in the order in which they started. Looks at every
    /// moment whether something runs too early or beyond a limit, and whether something could run that does not.
    fn drive(
        (tasks, lanes): &(Tasks, Lanes),
        jobs: usize,
        picks: &[usize],
        fails: impl Fn(usize) -> bool,
    ) -> Result<Vec<usize>, TestCaseError> {
        let mut queue = Queue::new(tasks, jobs, lanes.clone());
        let (mut started, mut running, mut passed) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut failed = false;
        for pick in picks.iter().cycle() {
            while let Some(task) = queue.start_next() {
                prop_assert!(!failed, "a task started after a failure");
                prop_assert!(
                    tasks.before(task).all(|need| passed.contains(&need)),
                    "a task started too early"
                );
                started.push(task);
                running.push(task);
            }
            let busy = |lane: usize| {
                running
                    .iter()
                    .filter(|task| lanes.of[**task] == lane)
                    .count()
            };
            prop_assert!(running.len() <= jobs);
            for (lane, limit) in lanes.limits.iter().enumerate() {
                prop_assert!(busy(lane) <= *limit, "lane {} is too full", lane);
            }
            let idle = (0..tasks.list.len()).find(|task| {
                !started.contains(task)
                    && tasks.before(*task).all(|need| passed.contains(&need))
                    && busy(lanes.of[*task]) < lanes.limits[lanes.of[*task]]
            });
            if !failed && running.len() < jobs {
                prop_assert_eq!(idle, None, "a task waits for nothing");
            }
            prop_assert_eq!(queue.is_done(), running.is_empty());
            if running.is_empty() {
                break;
            }
            let task = running.swap_remove(pick % running.len());
            failed |= fails(task);
            passed.insert(task);
            queue.ended(
                task,
                if fails(task) {
                    End::Failed
                } else {
                    End::Passed
                },
            );
        }
        Ok(started)
    }

    proptest! {
        #[test]
        fn every_task_runs_once_after_what_it_needs(world in tasks(), jobs in 1usize..6, picks in prop::collection::vec(0usize..9, 1..9)) {
            let mut started = drive(&world, jobs, &picks, |_| false)?;
            started.sort_unstable();
            prop_assert_eq!(started, (0..world.0.list.len()).collect::<Vec<_>>());
        }

        #[test]
        fn after_a_failure_nothing_starts(world in tasks(), jobs in 1usize..6, picks in prop::collection::vec(0usize..9, 1..9), bad in 0usize..9) {
            let started = drive(&world, jobs, &picks, |task| task == bad)?;
            if bad < world.0.list.len() {
                prop_assert!(started.contains(&bad));
            }
            let unique: BTreeSet<usize> = started.iter().copied().collect();
            prop_assert_eq!(unique.len(), started.len());
        }
    }

    #[test]
    fn all_that_is_free_runs_at_once_up_to_the_limits() {
        let pipeline = Pipeline {
            max_parallel: [("slow".to_owned(), 1)].into(),
            ..pipeline(vec![
                StageEntry {
                    for_each: items(&["a", "b", "c"]),
                    ..stage("install", &[])
                },
                stage("join", &["install"]),
                StageEntry {
                    adapter: "slow".into(),
                    for_each: items(&["a", "b"]),
                    ..stage("check", &[])
                },
            ])
        };
        let tasks = Tasks::of(&pipeline).unwrap();
        let start =
            |queue: &mut Queue| std::iter::from_fn(|| queue.start_next()).collect::<Vec<_>>();
        let mut queue = Queue::new(&tasks, 2, Lanes::of(&pipeline, &tasks));
        assert_eq!(start(&mut queue), [0, 1]);
        queue.ended(1, End::Passed);
        assert_eq!(start(&mut queue), [2]);
        queue.ended(0, End::Passed);
        assert_eq!(start(&mut queue), [4]);
        queue.ended(2, End::Passed);
        assert_eq!(start(&mut queue), [3]);
        queue.ended(3, End::Passed);
        // There is room, but not for this adapter.
        assert_eq!(start(&mut queue), Vec::<usize>::new());
        queue.ended(4, End::Passed);
        assert_eq!(start(&mut queue), [5]);
        queue.ended(5, End::Passed);
        assert!(queue.is_done());
    }
}
