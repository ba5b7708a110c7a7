//! Which stage comes before which, and why: the graph behind a pipeline. Pure.
//!
//! Nodes are the positions of stages in a list; an edge says that one waits for another and which rule makes it wait.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a stage waits for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The adapter says so.
    Need,
    /// The other one reaches the barrier that this one waits for.
    Barrier(String),
    /// This one destroys, and the other one's adapter provides what its adapter requires.
    Provider,
    /// Both are of one adapter and one kind.
    Chain,
    /// The other one's kind comes first.
    Kind,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Need => f.write_str("it says so"),
            Self::Barrier(name) => write!(f, "barrier `{name}`"),
            Self::Provider => f.write_str("it destroys, and the other's adapter prepares for it"),
            Self::Chain => f.write_str("stages of one adapter follow each other"),
            Self::Kind => f.write_str("its kind comes later"),
        }
    }
}

/// The graph.
#[derive(Clone, Debug, Default)]
pub struct Order {
    needs: Vec<BTreeMap<usize, Reason>>,
}

impl Order {
    /// Makes a graph of so many stages without edges.
    pub fn new(stages: usize) -> Self {
        Self {
            needs: vec![BTreeMap::new(); stages],
        }
    }

    /// Lets one stage wait for another. Where several rules do, the most telling one is kept.
    pub fn wait(&mut self, stage: usize, need: usize, reason: Reason) {
        let known = self.needs[stage]
            .entry(need)
            .or_insert_with(|| reason.clone());
        if reason < *known {
            *known = reason;
        }
    }

    /// The stages that a stage waits for itself.
    pub fn needs(&self, stage: usize) -> impl Iterator<Item = usize> + '_ {
        self.needs[stage].keys().copied()
    }

    /// Returns the stages in an order in which they could run one by one: of those that are free, the first by `rank`.
    /// Where there is none, returns a circle: each stage with the next one that it waits for and why.
    pub fn sorted<K: Ord>(
        &self,
        rank: impl Fn(usize) -> K,
    ) -> Result<Vec<usize>, Vec<(usize, usize, Reason)>> {
        let mut waits: Vec<usize> = self.needs.iter().map(BTreeMap::len).collect();
        let mut free: BTreeSet<(K, usize)> = (0..waits.len())
            .filter(|stage| waits[*stage] == 0)
            .map(|stage| (rank(stage), stage))
            .collect();
        let mut order = Vec::with_capacity(waits.len());
        while let Some((_, stage)) = free.pop_first() {
            order.push(stage);
            for later in (0..waits.len()).filter(|later| self.needs[*later].contains_key(&stage)) {
                waits[later] -= 1;
                if waits[later] == 0 {
                    free.insert((rank(later), later));
                }
            }
        }
        if order.len() == waits.len() {
            Ok(order)
        } else {
            Err(self.circle(&order))
        }
    }

    /// Finds a shortest circle among the stages that are not sorted.
    fn circle(&self, sorted: &[usize]) -> Vec<(usize, usize, Reason)> {
        let stuck: Vec<usize> = (0..self.needs.len())
            .filter(|stage| !sorted.contains(stage))
            .collect();
        let shortest = stuck
            .iter()
            .filter_map(|start| self.way_back(*start))
            .min_by_key(Vec::len)
            .unwrap_or_default();
        let ends = shortest
            .iter()
            .copied()
            .skip(1)
            .chain(shortest.first().copied());
        shortest
            .iter()
            .zip(ends)
            .map(|(from, to)| (*from, to, self.needs[*from][&to].clone()))
            .collect()
    }

    /// The stages on the shortest way from a stage along what it waits for back to itself.
    fn way_back(&self, start: usize) -> Option<Vec<usize>> {
        let mut from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(stage) = queue.pop_front() {
            for need in self.needs(stage) {
                if need == start {
                    let mut way = vec![stage];
                    while let Some(previous) = way
                        .last()
                        .filter(|stage| **stage != start)
                        .and_then(|stage| from.get(stage))
                    {
                        way.push(*previous);
                    }
                    way.reverse();
                    return Some(way);
                }
                if let Entry::Vacant(place) = from.entry(need) {
                    place.insert(stage);
                    queue.push_back(need);
                }
            }
        }
        None
    }

    /// Returns, for every stage, all stages before it, however far. The graph must have no circle.
    pub fn before(&self) -> Vec<BTreeSet<usize>> {
        let mut before: Vec<Option<BTreeSet<usize>>> = vec![None; self.needs.len()];
        for stage in self.sorted(|stage| stage).unwrap_or_default() {
            let mut all = BTreeSet::new();
            for need in self.needs(stage) {
                all.insert(need);
                all.extend(before[need].iter().flatten());
            }
            before[stage] = Some(all);
        }
        before.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Takes out every edge that others imply. The graph must have no circle.
    pub fn reduce(&mut self) {
        let before = self.before();
        for needs in &mut self.needs {
            let all: Vec<usize> = needs.keys().copied().collect();
            needs.retain(|need, _| !all.iter().any(|other| before[*other].contains(need)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(stages: usize, edges: &[(usize, usize)]) -> Order {
        let mut order = Order::new(stages);
        for (stage, need) in edges {
            order.wait(*stage, *need, Reason::Need);
        }
        order
    }

    #[test]
    fn a_circle_is_the_shortest_one_with_its_reasons() {
        let mut order = order(5, &[(0, 1), (1, 2), (2, 3), (3, 0), (4, 3)]);
        order.wait(2, 1, Reason::Barrier("ready".into()));
        let circle = order.sorted(|stage| stage).unwrap_err();
        assert_eq!(
            circle,
            [
                (1, 2, Reason::Need),
                (2, 1, Reason::Barrier("ready".into()))
            ]
        );
    }

    #[test]
    fn a_stage_that_waits_for_itself_is_a_circle() {
        assert_eq!(
            order(1, &[(0, 0)]).sorted(|stage| stage).unwrap_err(),
            [(0, 0, Reason::Need)]
        );
    }

    #[test]
    fn what_others_imply_is_left_out() {
        let mut order = order(4, &[(1, 0), (2, 1), (2, 0), (3, 0), (3, 2)]);
        order.reduce();
        let needs: Vec<Vec<usize>> = (0..4).map(|stage| order.needs(stage).collect()).collect();
        assert_eq!(needs, [vec![], vec![0], vec![1], vec![2]]);
    }

    proptest! {
        #[test]
        fn reducing_keeps_everything_that_comes_before(edges in prop::collection::vec((1usize..12, 0usize..11), 0..60)) {
            let edges: Vec<_> = edges.into_iter().map(|(stage, need)| (stage, need % stage)).collect();
            let mut order = order(12, &edges);
            let before = order.before();
            order.reduce();
            prop_assert_eq!(order.before(), before);
        }

        #[test]
        fn every_stage_comes_after_what_it_waits_for(edges in prop::collection::vec((0usize..9, 0usize..9), 0..24)) {
            let order = order(9, &edges);
            match order.sorted(|stage| 9 - stage) {
                Ok(sorted) => {
                    prop_assert_eq!(sorted.len(), 9);
                    for (place, stage) in sorted.iter().enumerate() {
                        prop_assert!(order.needs(*stage).all(|need| sorted[..place].contains(&need)));
                    }
                }
                Err(circle) => {
                    prop_assert!(!circle.is_empty());
                    for (index, (from, to, _)) in circle.iter().enumerate() {
                        prop_assert!(order.needs(*from).any(|need| need == *to));
                        prop_assert_eq!(*to, circle[(index + 1) % circle.len()].0);
                    }
                }
            }
        }
    }
}
