//! Pictures as SVG: no script, no outside font, readable on a light and on a dark page. Pure.

use std::fmt::Write;

use super::layout::{HEIGHT, Layout, layout};
use super::{Picture, entities};

const MARGIN: f64 = 24.0;
const TITLE: f64 = 34.0;
/// Fill of the groups, in their order; after the last it begins again.
const COLORS: [&str; 6] = [
    "#dbeafe", "#dcfce7", "#fef3c7", "#f3e8ff", "#ffe4e6", "#e0f2f1",
];
const STYLE: &str = "text{font-family:system-ui,sans-serif;fill:#1f2937}.title{font-size:17px;font-weight:600}.name{font-size:13px;font-weight:600}\
.note,.label,.legend{font-size:11px;fill:#4b5563}.node{stroke:#64748b;stroke-width:1.2}.alarming{stroke:#c62828;stroke-width:2.2}\
.edge{fill:none;stroke:#64748b;stroke-width:1.3}.weak{stroke-dasharray:5 4}.plate{fill:#fff}";

/// Draws pictures one below the other.
pub fn svg(pictures: &[Picture]) -> String {
    let layouts: Vec<Layout> = pictures.iter().map(layout).collect();
    let mut groups: Vec<&str> = pictures.iter().flat_map(Picture::groups).collect();
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    let legend = |picture: &Picture| {
        picture
            .groups()
            .iter()
            .map(|group| legend_width(group))
            .sum::<f64>()
    };
    let width = layouts
        .iter()
        .zip(pictures)
        .map(|(layout, picture)| layout.width.max(legend(picture)))
        .fold(320.0, f64::max)
        + 2.0 * MARGIN;
    let mut body = String::new();
    let mut top = MARGIN;
    for (picture, layout) in pictures.iter().zip(&layouts) {
        let _ = write!(
            body,
            r#"<text class="title" x="{MARGIN}" y="{}">{}</text>"#,
            top + 14.0,
            entities(&picture.title)
        );
        body.push('\n');
        draw_legend(&mut body, picture, &groups, top + 34.0);
        let left = (width - layout.width) / 2.0;
        let down = top + TITLE + 26.0;
        let _ = writeln!(body, r#"<g transform="translate({left:.1} {down:.1})">"#);
        draw(&mut body, picture, &groups, layout);
        body.push_str("</g>\n");
        top = down + layout.height + 2.0 * MARGIN;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {top:.0}\" width=\"{width:.0}\" height=\"{top:.0}\" role=\"img\">\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" fill=\"#64748b\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn draw(body: &mut String, picture: &Picture, groups: &[&str], layout: &Layout) {
    for (edge, points) in picture.edges.iter().zip(&layout.edges) {
        let weak = if edge.weak { " weak" } else { "" };
        let _ = writeln!(
            body,
            r#"<path class="edge{weak}" d="{}" marker-end="url(#tip)"/>"#,
            curve(points)
        );
    }
    for (node, place) in picture.nodes.iter().zip(&layout.nodes) {
        let alarming = if node.alarming { " alarming" } else { "" };
        let (x, y) = (place.x - place.width / 2.0, place.y - HEIGHT / 2.0);
        let _ = writeln!(
            body,
            r#"<rect class="node{alarming}" x="{x:.1}" y="{y:.1}" width="{:.1}" height="{HEIGHT}" rx="7" fill="{}"/>"#,
            place.width,
            color(groups, &node.group)
        );
        let middle = if node.note.is_empty() {
            place.y + 4.5
        } else {
            place.y - 3.0
        };
        write_text(body, "name", place.x, middle, &node.name);
        if !node.note.is_empty() {
            write_text(body, "note", place.x, place.y + 14.0, &node.note);
        }
    }
    for (number, (edge, points)) in picture.edges.iter().zip(&layout.edges).enumerate() {
        let before = picture.edges[..number]
            .iter()
            .filter(|other| (other.from, other.to) == (edge.from, edge.to))
            .count();
        if !edge.label.is_empty() {
            let (x, y) = label_place(points);
            let (y, wide) = (
                y + before as f64 * 13.0,
                edge.label.chars().count() as f64 * 6.2 + 8.0,
            );
            let _ = writeln!(
                body,
                r#"<rect class="plate" x="{:.1}" y="{:.1}" width="{wide:.1}" height="13"/>"#,
                x - wide / 2.0,
                y - 10.0
            );
            write_text(body, "label", x, y, &edge.label);
        }
    }
}

fn write_text(body: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let _ = writeln!(
        body,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="middle">{}</text>"#,
        entities(text)
    );
}

/// In the middle of the last piece of an edge.
fn label_place(points: &[(f64, f64)]) -> (f64, f64) {
    match points {
        [.., before, last] => ((before.0 + last.0) / 2.0, (before.1 + last.1) / 2.0 + 2.0),
        _ => (0.0, 0.0),
    }
}

/// A curve that leaves every point downwards.
fn curve(points: &[(f64, f64)]) -> String {
    let Some(first) = points.first() else {
        return String::new();
    };
    let mut path = format!("M{:.1} {:.1}", first.0, first.1);
    for pair in points.windows(2) {
        let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
        let half = (y2 - y1) / 2.0;
        let _ = write!(
            path,
            "C{x1:.1} {:.1} {x2:.1} {:.1} {x2:.1} {y2:.1}",
            y1 + half,
            y2 - half
        );
    }
    path
}

fn legend_width(group: &str) -> f64 {
    group.chars().count() as f64 * 6.5 + 34.0
}

fn color(groups: &[&str], group: &str) -> &'static str {
    COLORS[groups.iter().position(|known| *known == group).unwrap_or(0) % COLORS.len()]
}

fn draw_legend(body: &mut String, picture: &Picture, groups: &[&str], y: f64) {
    let mut x = MARGIN;
    for group in picture.groups() {
        let color = color(groups, group);
        let _ = writeln!(
            body,
            r#"<rect class="node" x="{x:.1}" y="{:.1}" width="12" height="12" rx="3" fill="{color}"/>"#,
            y - 10.0
        );
        let _ = writeln!(
            body,
            r#"<text class="legend" x="{:.1}" y="{y:.1}">{}</text>"#,
            x + 18.0,
            entities(group)
        );
        x += legend_width(group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::picture::{Edge, Node};

    fn picture(edges: &[(usize, usize)], nodes: usize) -> Picture {
        Picture {
            title: "a & b".into(),
            nodes: (0..nodes)
                .map(|n| Node {
                    name: format!("node {n}"),
                    group: "g".into(),
                    ..Node::default()
                })
                .collect(),
            edges: edges
                .iter()
                .map(|(from, to)| Edge {
                    from: *from,
                    to: *to,
                    ..Edge::default()
                })
                .collect(),
        }
    }

    #[test]
    fn nodes_do_not_overlap_and_edges_go_down() {
        let picture = picture(
            &[
                (0, 2),
                (1, 2),
                (2, 3),
                (2, 4),
                (0, 4),
                (3, 5),
                (4, 5),
                (0, 5),
            ],
            6,
        );
        let layout = layout(&picture);
        for (a, first) in layout.nodes.iter().enumerate() {
            assert!(
                first.x - first.width / 2.0 >= -0.01
                    && first.x + first.width / 2.0 <= layout.width + 0.01,
                "{layout:?}"
            );
            for second in &layout.nodes[a + 1..] {
                let apart = (first.x - second.x).abs() >= (first.width + second.width) / 2.0
                    || (first.y - second.y).abs() >= HEIGHT;
                assert!(apart, "{first:?} and {second:?}");
            }
        }
        assert!(
            layout
                .edges
                .iter()
                .flat_map(|points| points.windows(2))
                .all(|pair| pair[0].1 < pair[1].1)
        );
        assert_eq!(layout.edges[7].len(), 4);
    }

    #[test]
    fn a_picture_is_well_formed() {
        let text = svg(&[picture(&[(0, 1)], 2), picture(&[], 0)]);
        assert!(
            text.contains("a &amp; b") && text.starts_with("<svg ") && text.ends_with("</svg>\n")
        );
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
