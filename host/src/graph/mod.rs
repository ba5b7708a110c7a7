//! Directed graphs, as small pure functions: waves of what can go at the same time, and the shortest cycle where there is one.
//!
//! A graph is a list: the entry of a node holds the nodes that it needs. Nodes are numbers from 0; callers keep the names.
//! Nothing here knows what a node stands for. [`picture`] draws graphs whose nodes have labels.

pub mod picture;

use std::collections::VecDeque;

/// Returns the nodes in waves: every node comes after all that it needs, as early as it can, each wave in ascending order. Nothing
/// where the graph has a cycle.
pub fn waves(needs: &[Vec<usize>]) -> Option<Vec<Vec<usize>>> {
    let mut open: Vec<usize> = needs.iter().map(|needs| distinct(needs).len()).collect();
    let needed_by = reversed(needs);
    let mut wave: Vec<usize> = (0..needs.len()).filter(|node| open[*node] == 0).collect();
    let mut waves = Vec::new();
    let mut placed = 0;
    while !wave.is_empty() {
        placed += wave.len();
        let mut next = Vec::new();
        for node in wave.iter().flat_map(|node| &needed_by[*node]) {
            open[*node] -= 1;
            if open[*node] == 0 {
                next.push(*node);
            }
        }
        next.sort_unstable();
        waves.push(std::mem::replace(&mut wave, next));
    }
    (placed == needs.len()).then_some(waves)
}

/// Returns a shortest cycle, each node followed by one that it needs, beginning with its lowest node, which is not repeated at the
/// end. Of several the one with the lowest beginning. Nothing where there is no cycle.
pub fn shortest_cycle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    (0..needs.len())
        .filter_map(|start| path_back(needs, start))
        .min_by_key(Vec::len)
}

/// Returns the shortest way from a node to itself.
fn path_back(needs: &[Vec<usize>], start: usize) -> Option<Vec<usize>> {
    let mut before: Vec<Option<usize>> = vec![None; needs.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &next in distinct(&needs[node]).iter() {
            if next == start {
                return Some(trace(&before, start, node));
            }
            if before[next].is_none() {
                before[next] = Some(node);
                queue.push_back(next);
            }
        }
    }
    None
}

fn trace(before: &[Option<usize>], start: usize, end: usize) -> Vec<usize> {
    let mut path = vec![end];
    while let Some(node) = path
        .last()
        .filter(|node| **node != start)
        .and_then(|node| before[*node])
    {
        path.push(node);
    }
    path.reverse();
    path
}

/// Returns for each node the nodes that need it.
fn reversed(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut needed_by = vec![Vec::new(); needs.len()];
    for (node, needs) in needs.iter().enumerate() {
        for need in distinct(needs) {
            needed_by[need].push(node);
        }
    }
    needed_by
}

/// Returns everything that a node needs, directly or through others, in ascending order; not itself unless it is on a cycle.
pub fn reachable(needs: &[Vec<usize>], from: usize) -> Vec<usize> {
    let mut seen = vec![false; needs.len()];
    let mut queue = needs[from].clone();
    while let Some(node) = queue.pop() {
        if !std::mem::replace(&mut seen[node], true) {
            queue.extend(&needs[node]);
        }
    }
    (0..needs.len()).filter(|node| seen[*node]).collect()
}

fn distinct(nodes: &[usize]) -> Vec<usize> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waves_hold_what_can_go_at_the_same_time() {
        let needs = [vec![], vec![0, 0], vec![0], vec![1, 2], vec![]];
        assert_eq!(waves(&needs), Some(vec![vec![0, 4], vec![1, 2], vec![3]]));
        assert_eq!(waves(&[]), Some(vec![]));
        assert_eq!(reachable(&needs, 3), [0, 1, 2]);
    }

    #[test]
    fn the_shortest_cycle_is_found() {
        assert_eq!(
            shortest_cycle(&[vec![1], vec![2], vec![0, 3], vec![2]]),
            Some(vec![2, 3])
        );
        assert_eq!(
            shortest_cycle(&[vec![1], vec![2], vec![0]]),
            Some(vec![0, 1, 2])
        );
        assert_eq!(shortest_cycle(&[vec![0]]), Some(vec![0]));
        assert_eq!(shortest_cycle(&[vec![1], vec![]]), None);
    }

    fn graph() -> impl Strategy<Value = Vec<Vec<usize>>> {
        (1..8_usize).prop_flat_map(|nodes| {
            prop::collection::vec(prop::collection::vec(0..nodes, 0..4), nodes)
        })
    }

    proptest! {
        #[test]
        fn a_graph_has_waves_or_a_cycle(needs in graph()) {
            match (waves(&needs), shortest_cycle(&needs)) {
                (Some(waves), None) => {
                    let wave_of = |node: usize| waves.iter().position(|wave| wave.contains(&node)).unwrap();
                    prop_assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), needs.len());
                    for (node, needs) in needs.iter().enumerate() {
                        let earliest = needs.iter().map(|need| wave_of(*need) + 1).max().unwrap_or(0);
                        prop_assert_eq!(wave_of(node), earliest);
                    }
                }
                (None, Some(cycle)) => {
                    for (position, node) in cycle.iter().enumerate() {
                        prop_assert!(needs[*node].contains(&cycle[(position + 1) % cycle.len()]));
                    }
                    prop_assert_eq!(cycle.iter().min(), cycle.first());
                }
                other => prop_assert!(false, "waves and cycle: {:?}", other),
            }
        }
    }
}
