//! Where everything goes: nodes in layers from top to bottom, edges around the nodes that they pass. Pure.
//!
//! A node stands one layer below the lowest of those before it. An edge over several layers gets a bend in each, which takes its place there
//! like a narrow node. Then each layer is sorted by where its neighbors stand, a few times down and up, so that fewer edges cross.

use console::measure_text_width;

use crate::graph::picture::{Node, Picture, Shape, shortened};
use crate::graph::waves;

/// Distances in pixels.
const GAP_X: f64 = 36.0;
const GAP_Y: f64 = 32.0;
/// Width of a letter of a name and of a note: generous, since every viewer has another font.
const LETTER: f64 = 8.2;
const NOTE_LETTER: f64 = 6.7;
const PADDING: f64 = 30.0;
/// Width of a bend.
const BEND: f64 = 14.0;
const SWEEPS: usize = 8;

/// The places of a picture. Coordinates are centers.
#[derive(Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) nodes: Vec<Place>,
    /// For each edge of the picture the points that it passes, from the first node to the last.
    pub(super) edges: Vec<Vec<(f64, f64)>>,
}

/// The place of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Nodes and bends alike.
struct Slot {
    layer: usize,
    width: f64,
    height: f64,
    /// Neighbors in the layer above and below.
    above: Vec<usize>,
    below: Vec<usize>,
    x: f64,
}

/// Finds the places.
pub(super) fn layout(picture: &Picture) -> Layout {
    let needs = picture.needs();
    // A graph with a cycle is not drawn in layers; nothing that ztc draws has one.
    let layers = waves(&needs).unwrap_or_else(|| vec![(0..needs.len()).collect()]);
    let mut slots: Vec<Slot> = picture
        .nodes
        .iter()
        .map(|node| {
            let (width, height) = size(node);
            Slot {
                layer: 0,
                width,
                height,
                above: Vec::new(),
                below: Vec::new(),
                x: 0.0,
            }
        })
        .collect();
    for (number, layer) in layers.iter().enumerate() {
        layer.iter().for_each(|node| slots[*node].layer = number);
    }
    let chains: Vec<Vec<usize>> = picture
        .edges
        .iter()
        .map(|edge| chain(&mut slots, edge.from, edge.to))
        .collect();
    arrange(&mut slots, layers.len());
    let (rows, height) = rows(&slots, layers.len());
    let y = |layer: usize| rows[layer];
    let left = slots
        .iter()
        .map(|slot| slot.x - slot.width / 2.0)
        .reduce(f64::min)
        .unwrap_or(0.0);
    let right = slots
        .iter()
        .map(|slot| slot.x + slot.width / 2.0)
        .reduce(f64::max)
        .unwrap_or(0.0);
    slots.iter_mut().for_each(|slot| slot.x -= left);
    let point = |slot: usize| (slots[slot].x, y(slots[slot].layer));
    let nodes = (0..picture.nodes.len())
        .map(|node| Place {
            x: slots[node].x,
            y: y(slots[node].layer),
            width: slots[node].width,
            height: slots[node].height,
        })
        .collect();
    let edges = chains
        .iter()
        .map(|chain| {
            let mut points: Vec<(f64, f64)> = chain.iter().map(|slot| point(*slot)).collect();
            if let ([first, .., last], [from, .., to]) = (points.as_mut_slice(), chain.as_slice()) {
                first.1 += slots[*from].height / 2.0;
                last.1 -= slots[*to].height / 2.0;
            }
            points
        })
        .collect();
    Layout {
        width: right - left,
        height,
        nodes,
        edges,
    }
}

/// How much room a node takes.
fn size(node: &Node) -> (f64, f64) {
    let wide = |text: &str, letter: f64| measure_text_width(&shortened(text)) as f64 * letter;
    let note = wide(&node.note, NOTE_LETTER);
    match node.shape {
        Shape::Box => {
            let room = if node.mark.is_some() { 20.0 } else { 0.0 };
            ((wide(&node.name, LETTER) + room).max(note) + PADDING, 48.0)
        }
        Shape::Pill => (wide(&node.name, NOTE_LETTER) + PADDING, 24.0),
    }
}

/// The middle of every layer, and the height of all.
fn rows(slots: &[Slot], layers: usize) -> (Vec<f64>, f64) {
    let mut heights = vec![0.0_f64; layers];
    for slot in slots {
        heights[slot.layer] = heights[slot.layer].max(slot.height);
    }
    let mut top = 0.0;
    let middles = heights
        .iter()
        .map(|height| {
            let middle = top + height / 2.0;
            top += height + GAP_Y;
            middle
        })
        .collect();
    (middles, (top - GAP_Y).max(0.0))
}

/// Adds the bends of an edge; returns everything that it passes.
fn chain(slots: &mut Vec<Slot>, from: usize, to: usize) -> Vec<usize> {
    let mut chain = vec![from];
    for layer in slots[from].layer + 1..slots[to].layer {
        slots.push(Slot {
            layer,
            width: BEND,
            height: 0.0,
            above: Vec::new(),
            below: Vec::new(),
            x: 0.0,
        });
        chain.push(slots.len() - 1);
    }
    chain.push(to);
    for pair in chain.windows(2) {
        slots[pair[0]].below.push(pair[1]);
        slots[pair[1]].above.push(pair[0]);
    }
    chain
}

/// Puts every slot into its row and gives it its x.
fn arrange(slots: &mut [Slot], layers: usize) {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); layers];
    (0..slots.len()).for_each(|slot| rows[slots[slot].layer].push(slot));
    for row in &rows {
        spread(slots, row, None);
    }
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let order: Vec<usize> = if down {
            (0..layers).collect()
        } else {
            (0..layers).rev().collect()
        };
        for layer in order {
            let wish = |slot: &Slot| {
                let neighbors = if down { &slot.above } else { &slot.below };
                (!neighbors.is_empty()).then(|| {
                    neighbors.iter().map(|other| slots[*other].x).sum::<f64>()
                        / neighbors.len() as f64
                })
            };
            let wishes: Vec<f64> = rows[layer]
                .iter()
                .map(|slot| wish(&slots[*slot]).unwrap_or(slots[*slot].x))
                .collect();
            let mut wanted: Vec<(usize, f64)> = rows[layer].iter().copied().zip(wishes).collect();
            wanted.sort_by(|a, b| a.1.total_cmp(&b.1));
            rows[layer] = wanted.iter().map(|(slot, _)| *slot).collect();
            let center =
                wanted.iter().map(|(_, wish)| wish).sum::<f64>() / wanted.len().max(1) as f64;
            spread(slots, &rows[layer], Some(center));
        }
    }
}

fn row_width(slots: &[Slot], row: &[usize]) -> f64 {
    row.iter().map(|slot| slots[*slot].width).sum::<f64>()
        + GAP_X * row.len().saturating_sub(1) as f64
}

/// Puts a row side by side around a center.
fn spread(slots: &mut [Slot], row: &[usize], center: Option<f64>) {
    let mut x = center.unwrap_or(0.0) - row_width(slots, row) / 2.0;
    for slot in row {
        slots[*slot].x = x + slots[*slot].width / 2.0;
        x += slots[*slot].width + GAP_X;
    }
}
