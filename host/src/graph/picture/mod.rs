//! Graphs to look at: nodes with labels, edges with labels, written for Graphviz, for Mermaid or as a picture. Pure.

mod layout;
mod svg;

pub use svg::svg;

/// A graph with a title.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// The nodes, in the order in which they are listed.
    pub nodes: Vec<Node>,
    /// The edges, each from what comes first to what comes after it.
    pub edges: Vec<Edge>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The name.
    pub name: String,
    /// A second line, smaller.
    pub note: String,
    /// Nodes of one group have one color.
    pub group: String,
    /// Whether it is drawn as something to beware of.
    pub alarming: bool,
}

/// An edge between two nodes by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edge {
    /// What comes first.
    pub from: usize,
    /// What comes after it.
    pub to: usize,
    /// What it means.
    pub label: String,
    /// Whether it is drawn as a broken line.
    pub weak: bool,
}

impl Picture {
    /// Returns for each node the nodes before it.
    pub(crate) fn needs(&self) -> Vec<Vec<usize>> {
        let mut needs = vec![Vec::new(); self.nodes.len()];
        for edge in &self.edges {
            needs[edge.to].push(edge.from);
        }
        needs
    }

    /// Returns the groups in the order in which they first appear.
    pub(crate) fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for node in &self.nodes {
            if !groups.contains(&node.group.as_str()) {
                groups.push(&node.group);
            }
        }
        groups
    }
}

/// Writes pictures for Graphviz, each as a cluster.
pub fn dot(pictures: &[Picture]) -> String {
    let mut text = String::from(
        "digraph ztc {\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
    );
    for (number, picture) in pictures.iter().enumerate() {
        text.push_str(&format!(
            "  subgraph cluster_{number} {{\n    label={};\n",
            quoted(&picture.title)
        ));
        for (index, node) in picture.nodes.iter().enumerate() {
            let note = if node.note.is_empty() {
                String::new()
            } else {
                format!("\n{}", node.note)
            };
            let color = if node.alarming { ", color=red" } else { "" };
            text.push_str(&format!(
                "    n{number}_{index} [label={}{color}];\n",
                quoted(&format!("{}{note}", node.name))
            ));
        }
        for Edge {
            from,
            to,
            label,
            weak,
        } in &picture.edges
        {
            let style = if *weak { ", style=dashed" } else { "" };
            text.push_str(&format!(
                "    n{number}_{from} -> n{number}_{to} [label={}{style}];\n",
                quoted(label)
            ));
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

/// Writes pictures for Mermaid, each as a subgraph.
pub fn mermaid(pictures: &[Picture]) -> String {
    let mut text = String::from("flowchart TB\n");
    for (number, picture) in pictures.iter().enumerate() {
        text.push_str(&format!(
            "  subgraph g{number}[\"{}\"]\n",
            entities(&picture.title)
        ));
        for (index, node) in picture.nodes.iter().enumerate() {
            let note = if node.note.is_empty() {
                String::new()
            } else {
                format!("<br/>{}", entities(&node.note))
            };
            let class = if node.alarming { ":::alarming" } else { "" };
            text.push_str(&format!(
                "    n{number}_{index}[\"{}{note}\"]{class}\n",
                entities(&node.name)
            ));
        }
        for Edge {
            from,
            to,
            label,
            weak,
        } in &picture.edges
        {
            let arrow = if *weak { "-.->" } else { "-->" };
            let label = if label.is_empty() {
                String::new()
            } else {
                format!("|\"{}\"|", entities(label))
            };
            text.push_str(&format!(
                "    n{number}_{from} {arrow}{label} n{number}_{to}\n"
            ));
        }
        text.push_str("  end\n");
    }
    text.push_str("  classDef alarming stroke:#c62828,stroke-width:2px\n");
    text
}

/// Replaces what has a meaning in XML and in Mermaid's quotes.
pub(crate) fn entities(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let node = |name: &str, note: &str, alarming| Node {
            name: name.into(),
            note: note.into(),
            group: "g".into(),
            alarming,
        };
        Picture {
            title: "The \"stages\"".into(),
            nodes: vec![node("wipe", "3 nodes", true), node("wait <a>", "", false)],
            edges: vec![
                Edge {
                    from: 0,
                    to: 1,
                    label: "ready".into(),
                    weak: true,
                },
                Edge {
                    from: 0,
                    to: 1,
                    ..Edge::default()
                },
            ],
        }
    }

    #[test]
    fn pictures_are_written_for_graphviz() {
        assert_eq!(
            dot(&[picture()]),
            r#"digraph ztc {
  node [shape=box, style=rounded, fontname="sans-serif"];
  subgraph cluster_0 {
    label="The \"stages\"";
    n0_0 [label="wipe\n3 nodes", color=red];
    n0_1 [label="wait <a>"];
    n0_0 -> n0_1 [label="ready", style=dashed];
    n0_0 -> n0_1 [label=""];
  }
}
"#
        );
    }

    #[test]
    fn pictures_are_written_for_mermaid() {
        assert_eq!(
            mermaid(&[picture()]),
            r#"flowchart TB
  subgraph g0["The &quot;stages&quot;"]
    n0_0["wipe<br/>3 nodes"]:::alarming
    n0_1["wait &lt;a&gt;"]
    n0_0 -.->|"ready"| n0_1
    n0_0 --> n0_1
  end
  classDef alarming stroke:#c62828,stroke-width:2px
"#
        );
    }
}
