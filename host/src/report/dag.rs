//! The picture of stages: each below what it waits for, barriers between those that reach them and those that wait for them. Pure.

use std::collections::BTreeSet;

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

/// The order of a pipeline's stages, and of those of a run that go through it backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the pipeline has them.
    Forwards,
    /// The last first.
    Backwards,
}

/// Makes the picture.
pub fn picture(title: String, stages: &[Drawn], direction: Direction) -> Picture {
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
        colors: colors(stages, direction),
        nodes: stages
            .iter()
            .map(node)
            .chain(barriers.iter().map(pill))
            .collect(),
        edges: edges(stages, &barriers),
    }
}

/// The adapters in the order in which the pipeline has them, so that each has one color in all pictures of it.
fn colors(stages: &[Drawn], direction: Direction) -> Vec<String> {
    let mut adapters: Vec<String> = stages
        .iter()
        .map(|stage| stage.head.adapter.clone())
        .collect();
    if direction == Direction::Backwards {
        adapters.reverse();
    }
    let mut seen = BTreeSet::new();
    adapters.retain(|adapter| seen.insert(adapter.clone()));
    adapters
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
    reduced(edges, stages.len())
}

/// Without the edges from stage to stage that others imply: who waits for what came later waits for what came before.
fn reduced(edges: Vec<Edge>, stages: usize) -> Vec<Edge> {
    let implied = |edge: &Edge| {
        let mut known = BTreeSet::new();
        let mut open: Vec<usize> = vec![edge.from];
        while let Some(node) = open.pop() {
            for next in edges
                .iter()
                .filter(|next| next.from == node && *next != edge)
            {
                if next.to == edge.to {
                    return true;
                }
                if known.insert(next.to) {
                    open.push(next.to);
                }
            }
        }
        false
    };
    let is_needed = |edge: &Edge| edge.from >= stages || edge.to >= stages || !implied(edge);
    let needed: Vec<bool> = edges.iter().map(is_needed).collect();
    let kept = edges.into_iter().zip(needed).filter(|(_, needed)| *needed);
    kept.map(|(edge, _)| edge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, needs: &[&str]) -> Drawn {
        Drawn {
            head: StageHead {
                stage: name.into(),
                adapter: format!("adapter of {name}"),
                needs: needs.iter().map(|need| (*need).to_owned()).collect(),
                ..StageHead::default()
            },
            ..Drawn::default()
        }
    }

    #[test]
    fn an_edge_that_others_imply_is_not_drawn() {
        let stages = [
            stage("e", &[]),
            stage("d", &["e"]),
            stage("c", &["e", "d"]),
            stage("b", &["e"]),
            stage("a", &["e", "d", "c", "b"]),
        ];
        let picture = picture(String::new(), &stages, Direction::Backwards);
        let edges: Vec<(usize, usize)> = picture
            .edges
            .iter()
            .map(|edge| (edge.from, edge.to))
            .collect();
        assert_eq!(edges, [(0, 1), (1, 2), (0, 3), (2, 4), (3, 4)]);
        assert_eq!(picture.colors[0], "adapter of a");
    }
}
