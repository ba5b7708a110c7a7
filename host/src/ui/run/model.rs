//! What the live view knows of a run: its state, the last line of everything that runs, what earlier runs took.

use std::collections::BTreeMap;

use crate::pipeline::event::{Event, Record};
use crate::pipeline::state::{Phase, RunState};
use crate::report::build::task_of;
use crate::report::estimate::Estimate;
use crate::report::history::History;
use crate::ui::run::{duration, plain};

/// Items of a stage that has more than so many end without a line of their own where they end well.
const FOLD: usize = 12;

/// What is known.
pub(super) struct Model {
    pub(super) state: RunState,
    pub(super) last: BTreeMap<String, String>,
    /// When each running task was started first.
    pub(super) since: BTreeMap<String, jiff::Timestamp>,
    pub(super) estimate: Estimate,
    history: History,
}

/// What of a record stays on the terminal.
#[derive(Debug, PartialEq)]
pub(super) enum Lasting {
    Nothing,
    /// Its line.
    Line,
    /// Nothing now: its stage gets one line for all items.
    Folded,
    /// The last item of a stage is over, and this says so of all.
    Stage {
        name: String,
        text: String,
    },
}

impl Model {
    pub(super) fn new(history: History) -> Self {
        Self {
            state: RunState::default(),
            last: BTreeMap::new(),
            since: BTreeMap::new(),
            estimate: Estimate::default(),
            history,
        }
    }

    /// Takes a line of output.
    pub(super) fn line(&mut self, task: &str, line: &str) {
        if !line.trim().is_empty() {
            self.last.insert(task.to_owned(), line.trim().to_owned());
        }
    }

    /// Takes a record.
    pub(super) fn record(&mut self, record: &Record) -> Lasting {
        // The journal takes legal records only.
        let _ = self.state.apply(record);
        match &record.event {
            Event::RunStarted(head) => {
                self.estimate = Estimate::new(head, &self.history);
                Lasting::Line
            }
            Event::TaskStarted { task, attempt, .. } => {
                if *attempt == 1
                    && let Ok(at) = record.at.parse()
                {
                    self.since.insert(task.clone(), at);
                }
                Lasting::Nothing
            }
            Event::Interrupted { .. } => Lasting::Line,
            Event::RunFinished { .. } => Lasting::Nothing,
            event => {
                if let Some(task) = task_of(event).filter(|_| plain::ends(event)) {
                    self.last.remove(task);
                    self.since.remove(task);
                }
                self.ended(event)
            }
        }
    }

    fn ended(&self, event: &Event) -> Lasting {
        let well = matches!(
            event,
            Event::TaskSucceeded { .. } | Event::TaskSkipped { .. }
        );
        let stage = task_of(event).and_then(|task| Some(&self.state.head_of(task)?.stage));
        let Some(stage) = stage.filter(|_| well) else {
            return Lasting::Line;
        };
        let phases: Vec<&Phase> = self.stage(stage).map(|(_, phase)| phase).collect();
        if phases.len() <= FOLD {
            return Lasting::Line;
        }
        if phases.iter().any(|phase| !phase.is_over()) {
            return Lasting::Folded;
        }
        Lasting::Stage {
            name: stage.clone(),
            text: all(&phases),
        }
    }

    /// The tasks of a stage.
    pub(super) fn stage(&self, stage: &str) -> impl Iterator<Item = (usize, &Phase)> {
        let tasks = self.state.tasks().enumerate();
        tasks
            .filter(move |(_, (head, _))| head.stage == stage)
            .map(|(index, (_, phase))| (index, phase))
    }

    /// How long a running task has been running, in seconds.
    pub(super) fn elapsed(&self, task: &str, now: jiff::Timestamp) -> f64 {
        self.since.get(task).map_or(0.0, |since| {
            now.duration_since(*since).as_secs_f64().max(0.0)
        })
    }
}

/// How all items of a stage ended: `48 ok in 1m02s to 3m05s, 2 skipped`.
fn all(phases: &[&Phase]) -> String {
    let times: Vec<f64> = phases
        .iter()
        .filter_map(|phase| match phase {
            Phase::Succeeded { seconds } => Some(*seconds),
            _ => None,
        })
        .collect();
    let shortest = times.iter().copied().reduce(f64::min);
    let longest = times.iter().copied().reduce(f64::max);
    let done = shortest.zip(longest).map(|(shortest, longest)| {
        format!(
            "{} in {} to {}",
            times.len(),
            duration(shortest),
            duration(longest)
        )
    });
    let count = |wanted: fn(&Phase) -> bool, word: &str| {
        let count = phases.iter().filter(|phase| wanted(phase)).count();
        (count > 0).then(|| format!("{count} {word}"))
    };
    [
        done,
        count(|phase| matches!(phase, Phase::Skipped { .. }), "skipped"),
        count(|phase| matches!(phase, Phase::Failed { .. }), "failed"),
        count(|phase| matches!(phase, Phase::Stopped { .. }), "stopped"),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}
