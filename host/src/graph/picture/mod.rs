//! Graphs to look at: nodes with names and notes, edges between them, written for Graphviz, for Mermaid or as a picture. Pure.

mod layout;
mod svg;

pub use svg::{inside, svg};

/// A graph with a title.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// The same in a sentence, for those who do not see it.
    pub description: String,
    /// What pills are.
    pub pills: String,
    /// What broken lines are.
    pub broken: String,
    /// The groups in the order in which they get colors; empty: in that of the nodes.
    pub colors: Vec<String>,
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
    /// Its shape.
    pub shape: Shape,
    /// Whether it destroys data.
    pub destructive: bool,
    /// What became of it, in the picture of a run.
    pub mark: Option<Mark>,
    /// Where a click on it leads.
    pub link: Option<String>,
}

/// What a node looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Something that is done: a section, a stage.
    #[default]
    Box,
    /// Something that holds from then on: a capability, a barrier.
    Pill,
}

/// What became of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
    /// Only what is not required failed of it.
    Degraded,
    /// It ran when everything ended without a word.
    Lost,
    /// It was asked to stop.
    Stopped,
    /// It runs.
    Running,
    /// It did not run.
    Skipped,
    /// Its turn did not come.
    Pending,
}

impl Mark {
    /// The sign beside the name: shape and not only color.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Done => "✓",
            Self::Failed => "✗",
            Self::Degraded => "!",
            Self::Lost => "?",
            Self::Stopped => "■",
            Self::Running => "▶",
            Self::Skipped => "–",
            Self::Pending => "·",
        }
    }

    /// The name of its style.
    pub fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Degraded | Self::Lost | Self::Stopped => "trouble",
            Self::Running => "running",
            Self::Skipped => "skipped",
            Self::Pending => "pending",
        }
    }

    /// What the sign means, where that is to be said: of what went as it should, nobody asks.
    pub fn meaning(self) -> Option<&'static str> {
        match self {
            Self::Failed => Some("failed"),
            Self::Degraded => Some("failed, not required"),
            Self::Lost => Some("lost"),
            Self::Stopped => Some("stopped"),
            Self::Done | Self::Running | Self::Skipped | Self::Pending => None,
        }
    }
}

/// An edge between two nodes by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edge {
    /// What comes first.
    pub from: usize,
    /// What comes after it.
    pub to: usize,
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
            if !node.group.is_empty() && !groups.contains(&node.group.as_str()) {
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
            let color = if node.destructive { ", color=red" } else { "" };
            let shape = match node.shape {
                Shape::Box => "",
                Shape::Pill => ", shape=oval, style=dotted",
            };
            text.push_str(&format!(
                "    n{number}_{index} [label={}{color}{shape}];\n",
                quoted(&format!("{}{note}", node.name))
            ));
        }
        for Edge { from, to, weak } in &picture.edges {
            let style = if *weak { " [style=dashed]" } else { "" };
            text.push_str(&format!("    n{number}_{from} -> n{number}_{to}{style};\n"));
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
            let class = if node.destructive {
                ":::destructive"
            } else {
                ""
            };
            let (open, close) = match node.shape {
                Shape::Box => ("[", "]"),
                Shape::Pill => ("([", "])"),
            };
            text.push_str(&format!(
                "    n{number}_{index}{open}\"{}{note}\"{close}{class}\n",
                entities(&node.name)
            ));
        }
        for Edge { from, to, weak } in &picture.edges {
            let arrow = if *weak { "-.->" } else { "-->" };
            text.push_str(&format!("    n{number}_{from} {arrow} n{number}_{to}\n"));
        }
        text.push_str("  end\n");
    }
    text.push_str("  classDef destructive stroke:#c62828,stroke-width:2px\n");
    text
}

/// Shortens what nobody would read in a picture.
pub(crate) fn shortened(text: &str) -> String {
    console::truncate_str(text, 44, "…").into_owned()
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
        let node = |name: &str, note: &str, destructive, shape| Node {
            name: name.into(),
            note: note.into(),
            group: "g".into(),
            destructive,
            shape,
            ..Node::default()
        };
        Picture {
            title: "The \"stages\"".into(),
            nodes: vec![
                node("wipe", "3 nodes", true, Shape::Box),
                node("ready", "", false, Shape::Pill),
                node("wait <a>", "", false, Shape::Box),
            ],
            edges: vec![
                Edge {
                    from: 0,
                    to: 1,
                    weak: true,
                },
                Edge {
                    from: 1,
                    to: 2,
                    weak: false,
                },
            ],
            ..Picture::default()
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
    n0_1 [label="ready", shape=oval, style=dotted];
    n0_2 [label="wait <a>"];
    n0_0 -> n0_1 [style=dashed];
    n0_1 -> n0_2;
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
    n0_0["wipe<br/>3 nodes"]:::destructive
    n0_1(["ready"])
    n0_2["wait &lt;a&gt;"]
    n0_0 -.-> n0_1
    n0_1 --> n0_2
  end
  classDef destructive stroke:#c62828,stroke-width:2px
"#
        );
    }
}
