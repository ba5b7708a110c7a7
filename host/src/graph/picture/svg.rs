//! Pictures as SVG: no script, no outside font, readable on a light and on a dark page and by a screen reader. Pure.

use std::collections::BTreeSet;
use std::fmt::Write;

use console::measure_text_width;

use super::layout::{Layout, Place, layout};
use super::{Mark, Node, Picture, Shape, entities, shortened};

const MARGIN: f64 = 24.0;
const LEGEND_ROW: f64 = 22.0;
/// How many colors there are for groups; after the last it begins again.
const COLORS: usize = 6;
/// The colors of a light page, and those of a dark one. Everything is inside `.ztc-graph`: a picture can stand in a page.
const STYLE: &str = ".ztc-graph{--paper:#fff;--ink:#1f2937;--soft:#4b5563;--line:#64748b;--red:#c62828;--green:#15803d;--amber:#b45309;--blue:#1d4ed8;--pill:#f1f5f9;\
--c0:#dbeafe;--c1:#dcfce7;--c2:#fef3c7;--c3:#f3e8ff;--c4:#ffe4e6;--c5:#ccfbf1}\
@media(prefers-color-scheme:dark){.ztc-graph{--paper:#0f172a;--ink:#f1f5f9;--soft:#cbd5e1;--line:#94a3b8;--red:#f87171;--green:#4ade80;--amber:#fbbf24;--blue:#93c5fd;--pill:#1e293b;\
--c0:#1e3a5f;--c1:#14432a;--c2:#4a3a10;--c3:#3b2a5c;--c4:#56222f;--c5:#134e4a}}\
.ztc-graph text{font-family:system-ui,\"DejaVu Sans\",sans-serif;fill:var(--ink)}.ztc-graph .paper{fill:var(--paper)}.ztc-graph .title{font-size:17px;font-weight:600}\
.ztc-graph .name{font-size:13px;font-weight:600}.ztc-graph .note,.ztc-graph .pill-name,.ztc-graph .legend{font-size:11px;fill:var(--soft)}\
.ztc-graph .node{stroke:var(--line);stroke-width:1.2}.ztc-graph .pill{fill:var(--pill);stroke:var(--line);stroke-dasharray:3 3}\
.ztc-graph .destructive{stroke:var(--red);stroke-width:2.4}.ztc-graph .warn{fill:var(--red);font-weight:600}\
.ztc-graph .edge{fill:none;stroke:var(--line);stroke-width:1.4}.ztc-graph .weak{stroke-dasharray:6 4}.ztc-graph .tip{fill:var(--line)}\
.ztc-graph .sign{font-size:13px;font-weight:700}.ztc-graph .sign.done{fill:var(--green)}.ztc-graph .sign.failed{fill:var(--red)}.ztc-graph .sign.trouble{fill:var(--amber)}.ztc-graph .sign.running{fill:var(--blue)}\
.ztc-graph .off{opacity:.55}.ztc-graph a{text-decoration:none}.ztc-graph a:focus .node,.ztc-graph a:hover .node{stroke-width:3}\
.ztc-graph .c0{fill:var(--c0)}.ztc-graph .c1{fill:var(--c1)}.ztc-graph .c2{fill:var(--c2)}.ztc-graph .c3{fill:var(--c3)}.ztc-graph .c4{fill:var(--c4)}.ztc-graph .c5{fill:var(--c5)}";

/// Draws pictures one below the other, as a file.
pub fn svg(pictures: &[Picture]) -> String {
    draw(pictures, r#" xmlns="http://www.w3.org/2000/svg""#)
}

/// Draws a picture as a part of an HTML page, whose titles it leaves to the page.
pub fn inside(picture: &Picture) -> String {
    draw(std::slice::from_ref(picture), "")
}

/// An entry of a legend: how wide it is and what it looks like, at a place.
struct Key {
    text: String,
    look: Look,
}

enum Look {
    Group(usize),
    Pill,
    Destructive,
    Broken,
    Mark(Mark),
}

fn draw(pictures: &[Picture], namespace: &str) -> String {
    let titled = !namespace.is_empty();
    let layouts: Vec<Layout> = pictures.iter().map(layout).collect();
    let given = pictures.iter().flat_map(|picture| &picture.colors);
    let mut groups: Vec<&str> = given.map(String::as_str).collect();
    groups.extend(pictures.iter().flat_map(Picture::groups));
    let mut seen = BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    let title_width = |picture: &Picture| {
        measure_text_width(&picture.title) as f64 * if titled { 10.0 } else { 0.0 }
    };
    let width = layouts
        .iter()
        .zip(pictures)
        .map(|(layout, picture)| layout.width.max(title_width(picture)))
        .fold(600.0, f64::max)
        + 2.0 * MARGIN;
    let mut body = String::new();
    let mut top = MARGIN;
    for (picture, layout) in pictures.iter().zip(&layouts) {
        if titled {
            let _ = writeln!(
                body,
                r#"<text class="title" x="{MARGIN}" y="{}">{}</text>"#,
                top + 14.0,
                entities(&picture.title)
            );
            top += 34.0;
        }
        top = write_legend(&mut body, &keys(picture, &groups), top, width) + 14.0;
        let left = (width - layout.width) / 2.0;
        let _ = writeln!(body, r#"<g transform="translate({left:.1} {top:.1})">"#);
        write_picture(&mut body, picture, &groups, layout);
        body.push_str("</g>\n");
        top += layout.height + 1.6 * MARGIN;
    }
    let joined = |text: fn(&Picture) -> &str| {
        entities(&pictures.iter().map(text).collect::<Vec<_>>().join("; "))
    };
    format!(
        "<svg class=\"ztc-graph\"{namespace} viewBox=\"0 0 {width:.0} {top:.0}\" width=\"{width:.0}\" height=\"{top:.0}\" role=\"img\" \
         aria-labelledby=\"ztc-graph-title ztc-graph-desc\">\n\
         <title id=\"ztc-graph-title\">{}</title>\n<desc id=\"ztc-graph-desc\">{}</desc>\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"ztc-tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path class=\"tip\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        joined(|picture| &picture.title),
        joined(|picture| &picture.description),
    )
}

fn write_picture(body: &mut String, picture: &Picture, groups: &[&str], layout: &Layout) {
    for (edge, points) in picture.edges.iter().zip(&layout.edges) {
        let weak = if edge.weak { " weak" } else { "" };
        let _ = writeln!(
            body,
            r#"<path class="edge{weak}" d="{}" marker-end="url(#ztc-tip)"/>"#,
            curve(points)
        );
    }
    for (node, place) in picture.nodes.iter().zip(&layout.nodes) {
        write_node(body, node, groups, *place);
    }
}

fn write_node(body: &mut String, node: &Node, groups: &[&str], place: Place) {
    let tip = if node.note.is_empty() {
        node.name.clone()
    } else {
        format!("{}: {}", node.name, node.note)
    };
    match &node.link {
        Some(link) => {
            let _ = write!(body, r#"<a href="{}">"#, entities(link));
        }
        None => body.push_str("<g>"),
    }
    let _ = write!(body, "<title>{}</title>", entities(&tip));
    let (x, y) = (place.x - place.width / 2.0, place.y - place.height / 2.0);
    let (class, radius) = match node.shape {
        Shape::Box => (format!("node c{}", color(groups, &node.group)), 7.0),
        Shape::Pill => ("pill".to_owned(), place.height / 2.0),
    };
    let destructive = if node.destructive { " destructive" } else { "" };
    let mark = match node.mark {
        Some(Mark::Skipped | Mark::Pending) => " off",
        _ => "",
    };
    let _ = writeln!(
        body,
        r#"<rect class="{class}{destructive}{mark}" x="{x:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" rx="{radius}"/>"#,
        place.width, place.height
    );
    let name = match node.mark {
        Some(mark) => format!(
            r#"<tspan class="sign {}">{}</tspan> {}"#,
            mark.class(),
            mark.sign(),
            entities(&shortened(&node.name))
        ),
        None => entities(&shortened(&node.name)),
    };
    match (node.shape, node.note.is_empty()) {
        (Shape::Pill, _) => write_text(body, "pill-name", place.x, place.y + 3.8, &name),
        (Shape::Box, true) => write_text(body, "name", place.x, place.y + 4.5, &name),
        (Shape::Box, false) => {
            write_text(body, "name", place.x, place.y - 3.5, &name);
            let note = entities(&shortened(&node.note));
            let class = if node.destructive {
                "note warn"
            } else {
                "note"
            };
            write_text(body, class, place.x, place.y + 14.5, &note);
        }
    }
    body.push_str(if node.link.is_some() {
        "</a>\n"
    } else {
        "</g>\n"
    });
}

fn write_text(body: &mut String, class: &str, x: f64, y: f64, escaped: &str) {
    let _ = writeln!(
        body,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="middle">{escaped}</text>"#
    );
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

fn color(groups: &[&str], group: &str) -> usize {
    groups.iter().position(|known| *known == group).unwrap_or(0) % COLORS
}

/// What a picture needs to be read: only what stands in it.
fn keys(picture: &Picture, groups: &[&str]) -> Vec<Key> {
    let key = |text: &str, look: Look| Key {
        text: text.to_owned(),
        look,
    };
    let mut keys: Vec<Key> = picture
        .groups()
        .iter()
        .map(|group| key(group, Look::Group(color(groups, group))))
        .collect();
    if picture.nodes.iter().any(|node| node.shape == Shape::Pill) {
        keys.push(key(&picture.pills, Look::Pill));
    }
    if picture.nodes.iter().any(|node| node.destructive) {
        keys.push(key("destroys data", Look::Destructive));
    }
    if picture.edges.iter().any(|edge| edge.weak) {
        keys.push(key(&picture.broken, Look::Broken));
    }
    let marks = [Mark::Failed, Mark::Degraded, Mark::Lost, Mark::Stopped];
    for mark in marks {
        if let Some(meaning) = mark.meaning()
            && picture.nodes.iter().any(|node| node.mark == Some(mark))
        {
            keys.push(key(meaning, Look::Mark(mark)));
        }
    }
    keys
}

/// Writes a legend in as many rows as it needs; returns where it ends.
fn write_legend(body: &mut String, keys: &[Key], top: f64, width: f64) -> f64 {
    let (mut x, mut y) = (MARGIN, top);
    for key in keys {
        let text = shortened(&key.text);
        let wide = 24.0 + measure_text_width(&text) as f64 * 6.8 + 18.0;
        if x > MARGIN && x + wide > width - MARGIN {
            (x, y) = (MARGIN, y + LEGEND_ROW);
        }
        let swatch = |class: &str, radius: u32| {
            format!(
                r#"<rect class="{class}" x="{x:.1}" y="{:.1}" width="16" height="12" rx="{radius}"/>"#,
                y + 2.0
            )
        };
        let look = match key.look {
            Look::Group(color) => swatch(&format!("node c{color}"), 3),
            Look::Pill => swatch("pill", 6),
            Look::Destructive => swatch("paper destructive", 3),
            Look::Broken => format!(
                r#"<path class="edge weak" d="M{x:.1} {0:.1}h16"/>"#,
                y + 8.0
            ),
            Look::Mark(mark) => format!(
                r#"<text class="sign {}" x="{x:.1}" y="{:.1}">{}</text>"#,
                mark.class(),
                y + 12.0,
                mark.sign()
            ),
        };
        let _ = writeln!(
            body,
            r#"{look}<text class="legend" x="{:.1}" y="{:.1}">{}</text>"#,
            x + 22.0,
            y + 12.0,
            entities(&text)
        );
        x += wide;
    }
    y + LEGEND_ROW
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::picture::{Edge, Mark};

    fn picture(edges: &[(usize, usize)], nodes: usize) -> Picture {
        Picture {
            title: "a & b".into(),
            nodes: (0..nodes)
                .map(|n| Node {
                    name: format!("{}node {n}", "long ".repeat(n * n % 7)),
                    group: "g".into(),
                    shape: if n % 3 == 2 { Shape::Pill } else { Shape::Box },
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
            ..Picture::default()
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
                    && first.x + first.width / 2.0 <= layout.width + 0.01
                    && first.y + first.height / 2.0 <= layout.height + 0.01,
                "{layout:?}"
            );
            for second in &layout.nodes[a + 1..] {
                let apart = (first.x - second.x).abs() >= (first.width + second.width) / 2.0
                    || (first.y - second.y).abs() >= (first.height + second.height) / 2.0;
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
    fn a_picture_is_well_formed_and_says_what_it_shows() {
        let mut first = picture(&[(0, 1)], 3);
        first.nodes[0].mark = Some(Mark::Failed);
        first.nodes[0].link = Some("#a\"><script>".into());
        first.nodes[1].destructive = true;
        let text = svg(&[first, picture(&[], 0)]);
        assert!(
            text.contains("<title id=\"ztc-graph-title\">a &amp; b; a &amp; b</title>")
                && text.contains("destroys data")
                && text.starts_with("<svg ")
                && text.ends_with("</svg>\n")
        );
        for tag in ["g", "a", "text", "tspan", "title"] {
            let opened = text.matches(&format!("<{tag}>")).count()
                + text.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, text.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(
            !text.contains("NaN") && !text.contains("inf,") && !text.contains("<script"),
            "{text}"
        );
    }
}
