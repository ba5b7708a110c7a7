//! The picture of stages: each below what it waits for, barriers between those that reach them and those that wait for them. Pure.

use crate::graph::picture::{Edge, Mark, Node, Picture, Shape};
use crate::pipeline::heads::StageHead;

/// A stage as it is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// The stage.
    pub head: StageHead,
    /// What stands below its name.
    pub note: String,
    /// Whether it destroys data.
    pub destructive: bool,
    /// What became of it, in the picture of a run.
    pub mark: Option<Mark>,
    /// Where a click on it leads.
    pub link: Option<String>,
}

/// Makes the picture.
pub fn picture(title: String, stages: &[Drawn]) -> Picture {
    let mut barriers: Vec<&String> = Vec::new();
    for barrier in stages.iter().flat_map(|stage| &stage.head.reaches) {
        if !barriers.contains(&barrier) {
            barriers.push(barrier);
        }
    }
    let node = |stage: &Drawn| Node {
        name: stage.head.stage.clone(),
        note: stage.note.clone(),
        group: stage.head.adapter.clone(),
        shape: Shape::Box,
        destructive: stage.destructive,
        mark: stage.mark,
        link: stage.link.clone(),
    };
    let pill = |barrier: &&String| Node {
        name: (*barrier).clone(),
        shape: Shape::Pill,
        ..Node::default()
    };
    let destructive = stages.iter().filter(|stage| stage.destructive).count();
    Picture {
        title,
        description: format!(
            "{} stages, {destructive} of them destroy data, and {} barriers; each stands below what it waits for",
            stages.len(),
            barriers.len()
        ),
        pills: "barrier: holds from then on".into(),
        broken: String::new(),
        nodes: stages
            .iter()
            .map(node)
            .chain(barriers.iter().map(pill))
            .collect(),
        edges: edges(stages, &barriers),
    }
}

/// From a stage to the barriers that it reaches, from there to those that wait for them, and what is left from stage to stage.
fn edges(stages: &[Drawn], barriers: &[&String]) -> Vec<Edge> {
    let barrier = |name: &String| {
        let place = barriers.iter().position(|known| *known == name)?;
        Some(stages.len() + place)
    };
    let mut edges: Vec<Edge> = Vec::new();
    let mut add = |from: usize, to: usize| {
        let edge = Edge {
            from,
            to,
            weak: false,
        };
        if !edges.contains(&edge) {
            edges.push(edge);
        }
    };
    for (from, stage) in stages.iter().enumerate() {
        for to in stage.head.reaches.iter().filter_map(barrier) {
            add(from, to);
        }
    }
    for (to, stage) in stages.iter().enumerate() {
        for need in &stage.head.needs {
            let Some(from) = stages.iter().position(|other| other.head.stage == *need) else {
                continue;
            };
            let reached = stage
                .head
                .barrier
                .as_ref()
                .filter(|barrier| stages[from].head.reaches.contains(barrier));
            add(reached.and_then(barrier).unwrap_or(from), to);
        }
    }
    edges
}
