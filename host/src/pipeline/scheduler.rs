//! Which task may start next: a small queue that knows no process, file or clock.
//!
//! A task is ready when everything before it has ended well. Whoever runs the tasks asks [`Queue::start_next`] until it has nothing more, and
//! says [`Queue::ended`] for each.

use std::collections::BTreeSet;

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
    ready: BTreeSet<usize>,
    tasks: usize,
    running: usize,
    jobs: usize,
    stopped: bool,
}

impl Queue {
    /// Makes the queue; at most `jobs` tasks run at the same time.
    pub fn new(tasks: &Tasks, jobs: usize) -> Self {
        let count = tasks.list.len();
        let nodes = count + tasks.of_stage.len();
        let mut queue = Self {
            waits: vec![0; nodes],
            later: vec![Vec::new(); nodes],
            ready: BTreeSet::new(),
            tasks: count,
            running: 0,
            jobs: jobs.max(1),
            stopped: false,
        };
        for (index, task) in tasks.list.iter().enumerate() {
            let gates = task.needs_all_of.iter().map(|stage| count + stage);
            for need in task.needs.iter().copied().chain(gates) {
                queue.edge(need, index);
            }
            queue.edge(index, count + task.stage);
        }
        queue.ready = (0..count).filter(|task| queue.waits[*task] == 0).collect();
        queue
    }

    fn edge(&mut self, from: usize, to: usize) {
        self.waits[to] += 1;
        self.later[from].push(to);
    }

    /// Takes the next task to start: the first in the order of the pipeline.
    pub fn start_next(&mut self) -> Option<usize> {
        if self.stopped || self.running >= self.jobs {
            return None;
        }
        let task = self.ready.pop_first()?;
        self.running += 1;
        Some(task)
    }

    /// Takes the end of a task that [`Queue::start_next`] gave.
    pub fn ended(&mut self, task: usize, end: End) {
        self.running -= 1;
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
                    self.ready.insert(later);
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
        self.running == 0 && (self.stopped || self.ready.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::file::StageEntry;
    use crate::pipeline::testing::{items, pipeline, stage};

    /// Pipelines of up to seven stages over up to four machines, with any order between them.
    fn tasks() -> impl Strategy<Value = Tasks> {
        const MACHINES: &[&str] = &["a", "b", "c", "d"];
        let one = (
            prop::collection::vec(prop::bool::ANY, 7),
            prop::option::of(prop::sample::subsequence(MACHINES, 0..=4)),
        );
        prop::collection::vec(one, 1..8).prop_map(|stages| {
            let names: Vec<String> = (0..stages.len()).map(|index| format!("s{index}")).collect();
            let entries = stages.iter().enumerate().map(|(index, (needs, machines))| {
                let needs: Vec<&str> = (0..index)
                    .filter(|need| needs[*need])
                    .map(|need| names[need].as_str())
                    .collect();
                StageEntry {
                    for_each: machines.as_ref().and_then(|machines| items(machines)),
                    ..stage(&names[index], &needs)
                }
            });
            Tasks::of(&pipeline(entries.collect())).unwrap()
        })
    }

    /// Runs all tasks, ending them in an order that `picks` chooses, and returns them in the order in which they started.
    fn drive(
        tasks: &Tasks,
        jobs: usize,
        picks: &[usize],
        fails: impl Fn(usize) -> bool,
    ) -> Result<Vec<usize>, TestCaseError> {
        let mut queue = Queue::new(tasks, jobs);
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
            prop_assert!(running.len() <= jobs);
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
        fn every_task_runs_once_after_what_it_needs(tasks in tasks(), jobs in 1usize..6, picks in prop::collection::vec(0usize..9, 1..9)) {
            let mut started = drive(&tasks, jobs, &picks, |_| false)?;
            started.sort_unstable();
            prop_assert_eq!(started, (0..tasks.list.len()).collect::<Vec<_>>());
        }

        #[test]
        fn after_a_failure_nothing_starts(tasks in tasks(), jobs in 1usize..6, picks in prop::collection::vec(0usize..9, 1..9), bad in 0usize..9) {
            let started = drive(&tasks, jobs, &picks, |task| task == bad)?;
            if bad < tasks.list.len() {
                prop_assert!(started.contains(&bad));
            }
            let unique: BTreeSet<usize> = started.iter().copied().collect();
            prop_assert_eq!(unique.len(), started.len());
        }
    }

    #[test]
    fn all_that_is_free_runs_at_once_up_to_the_limit() {
        let tasks = Tasks::of(&pipeline(vec![
            StageEntry {
                for_each: items(&["a", "b", "c"]),
                ..stage("install", &[])
            },
            stage("join", &["install"]),
        ]))
        .unwrap();
        let mut queue = Queue::new(&tasks, 2);
        assert_eq!(
            [queue.start_next(), queue.start_next(), queue.start_next()],
            [Some(0), Some(1), None]
        );
        queue.ended(1, End::Passed);
        assert_eq!([queue.start_next(), queue.start_next()], [Some(2), None]);
        queue.ended(0, End::Passed);
        assert_eq!(queue.start_next(), None);
        queue.ended(2, End::Passed);
        assert_eq!([queue.start_next(), queue.start_next()], [Some(3), None]);
        queue.ended(3, End::Passed);
        assert!(queue.is_done());
    }
}
