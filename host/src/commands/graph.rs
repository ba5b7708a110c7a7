//! `ztc graph`: pictures of what depends on what.

use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure};

use crate::graph::picture::{self, Edge, Node, Picture, Shape};
use crate::pipeline::file::{Kind, Pipeline, StageEntry};
use crate::pipeline::heads::heads;
use crate::render::workspace;
use crate::report::dag::{self, Direction, Drawn};
use crate::resolve::Resolution;
use crate::session::Session;
use crate::yaml;

/// Options of `ztc graph`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// How to draw
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// How to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Indented text
    #[default]
    Text,
    /// Graphviz
    Dot,
    /// Mermaid, as GitHub draws it
    Mermaid,
    /// A picture
    Svg,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let repository = &context.repository;
    workspace::repair(repository)?;
    let (environment, resolution) = wait_for(async {
        let session = Session::open(
            repository,
            &context.machine,
            &context.ui,
            arguments.env.as_deref(),
        )
        .await?;
        let found = (
            session.platform.environment.clone(),
            session.resolution.clone(),
        );
        session.close().await;
        Ok(found)
    })?;
    let pipeline = pipeline(context, &environment)?;
    if context.ui.is_json() {
        context.ui.json(&serde_json::json!({ "environment": environment, "resolution": resolution, "pipeline": pipeline }));
        return Ok(Exit::Done);
    }
    let pictures: Vec<Picture> = std::iter::once(capabilities(&resolution))
        .chain(pipeline.as_ref().map(stages))
        .collect();
    context.ui.data(&match arguments.format {
        Format::Text => text(&resolution, pipeline.as_ref()),
        Format::Dot => picture::dot(&pictures),
        Format::Mermaid => picture::mermaid(&pictures),
        Format::Svg => picture::svg(&pictures),
    });
    if pipeline.is_none() {
        context.ui.warning(format!(
            "there are no stages for `{environment}` yet: `ztc render` makes them"
        ));
    }
    Ok(Exit::Done)
}

/// Reads the pipeline; nothing where nothing was rendered yet.
fn pipeline(context: &Context, environment: &str) -> Result<Option<Pipeline>, Failure> {
    let path = context.repository.pipeline(environment);
    let shown = context.repository.display(&path);
    match std::fs::read_to_string(&path) {
        Ok(text) => yaml::parse(&text).map(Some).map_err(|error| {
            Failure::invalid(format!("`{shown}` cannot be read"))
                .detail(error)
                .help("run `ztc render`")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("read", &shown, &error)),
    }
}

/// The sections, with the capabilities that go from one to another.
fn capabilities(resolution: &Resolution) -> Picture {
    let sections: Vec<&String> = resolution.waves.iter().flatten().collect();
    let capabilities: Vec<&String> = resolution.providers.keys().collect();
    let index = |name: &String| {
        sections
            .iter()
            .position(|section| *section == name)
            .unwrap_or_default()
    };
    let pill = |name: &String| {
        capabilities
            .iter()
            .position(|capability| *capability == name)
            .map(|place| sections.len() + place)
    };
    let section = |section: &&String| Node {
        name: (*section).clone(),
        group: (*section).clone(),
        ..Node::default()
    };
    let capability = |capability: &&String| Node {
        name: (*capability).clone(),
        shape: Shape::Pill,
        ..Node::default()
    };
    let provided = resolution.providers.iter().filter_map(|(name, provider)| {
        Some(Edge {
            from: index(provider),
            to: pill(name)?,
            weak: false,
        })
    });
    let required = resolution.edges.iter().filter_map(|edge| {
        Some(Edge {
            from: pill(&edge.capability)?,
            to: index(&edge.consumer),
            weak: edge.optional,
        })
    });
    Picture {
        title: "Capabilities, in the order of rendering".into(),
        description: format!(
            "{} adapters; each capability stands below the adapter that provides it and above those that use it",
            sections.len()
        ),
        pills: "capability".into(),
        broken: "optional".into(),
        colors: Vec::new(),
        nodes: sections
            .iter()
            .map(section)
            .chain(capabilities.iter().map(capability))
            .collect(),
        edges: provided.chain(required).collect(),
    }
}

fn provides(resolution: &Resolution, section: &str) -> String {
    let provided = resolution
        .providers
        .iter()
        .filter(|(_, provider)| *provider == section);
    provided
        .map(|(capability, _)| capability.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The stages, with what each waits for.
fn stages(pipeline: &Pipeline) -> Picture {
    let stages: Vec<Drawn> = heads(pipeline)
        .into_iter()
        .zip(&pipeline.stages)
        .map(|(head, entry)| Drawn {
            note: notes(entry),
            destructive: entry.destructive,
            head,
            mark: None,
            link: None,
        })
        .collect();
    dag::picture(
        format!("Stages of {}, in the order of the bootstrap", pipeline.mode),
        &stages,
        Direction::Forwards,
    )
}

fn notes(stage: &StageEntry) -> String {
    let items = stage.for_each.as_ref().map(|each| match each.items.len() {
        1 => format!("1 {}", each.item),
        count => format!("{count} × {}", each.item),
    });
    let kind = match stage.kind {
        Kind::Script => None,
        Kind::Health => Some("waits for health".to_owned()),
        Kind::Manual => Some("done by a person".to_owned()),
    };
    let always = stage.cache_key.is_none().then(|| "always runs".to_owned());
    let destructive = stage.destructive.then(|| "destroys data".to_owned());
    kind.into_iter()
        .chain(items)
        .chain(always)
        .chain(destructive)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Indented text: both graphs, a line for each node and below it what it waits for.
fn text(resolution: &Resolution, pipeline: Option<&Pipeline>) -> String {
    let mut lines = vec!["Capabilities, in the order of rendering".to_owned()];
    for (number, section) in resolution
        .waves
        .iter()
        .enumerate()
        .flat_map(|(number, wave)| wave.iter().map(move |section| (number, section)))
    {
        let provided = provides(resolution, section);
        let provided = if provided.is_empty() {
            "nothing".to_owned()
        } else {
            provided
        };
        lines.push(format!("  {}. {section}  provides {provided}", number + 1));
        for edge in resolution.received(section) {
            let optional = if edge.optional { " (optional)" } else { "" };
            lines.push(format!(
                "       ← {} {} from {}{optional}",
                edge.capability, edge.version, edge.provider
            ));
        }
    }
    let Some(pipeline) = pipeline else {
        return lines.join("\n");
    };
    lines.push(String::new());
    lines.push(format!(
        "Stages of {}, in the order of the bootstrap",
        pipeline.mode
    ));
    for stage in &pipeline.stages {
        let notes = Some(notes(stage))
            .filter(|notes| !notes.is_empty())
            .map(|notes| format!("  ({notes})"));
        let reaches = if stage.reaches.is_empty() {
            String::new()
        } else {
            format!("  → {}", stage.reaches.join(", "))
        };
        lines.push(format!(
            "  {}  {}{}{reaches}",
            stage.name,
            stage.adapter,
            notes.unwrap_or_default()
        ));
        if !stage.needs.is_empty() {
            let barrier = stage
                .barrier
                .as_ref()
                .map(|barrier| format!("  (barrier {barrier})"))
                .unwrap_or_default();
            lines.push(format!("       ← {}{barrier}", stage.needs.join(", ")));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use ztc_protocol::stage::{ForEach, Item};

    use super::*;

    fn resolution() -> Resolution {
        let edge = crate::resolve::Edge {
            provider: "cilium".into(),
            consumer: "talos".into(),
            capability: "cni".into(),
            version: "1.0".into(),
            optional: true,
        };
        Resolution {
            providers: [("cni".to_owned(), "cilium".to_owned())].into(),
            waves: vec![vec!["cilium".into()], vec!["talos".into()]],
            edges: vec![edge],
        }
    }

    fn pipeline() -> Pipeline {
        let each = ForEach {
            item: "node".into(),
            items: vec![Item::default(), Item::default()],
        };
        let install = StageEntry {
            name: "install".into(),
            adapter: "talos".into(),
            cache_key: Some("install".into()),
            reaches: vec!["ready".into()],
            for_each: Some(each),
            destructive: true,
            ..StageEntry::default()
        };
        let check = StageEntry {
            name: "check".into(),
            adapter: "cilium".into(),
            needs: vec!["install".into()],
            barrier: Some("ready".into()),
            ..StageEntry::default()
        };
        let gate = |name: &str, kind| StageEntry {
            name: name.into(),
            adapter: "talos".into(),
            cache_key: Some(name.into()),
            kind,
            ..StageEntry::default()
        };
        let (cable, port) = (gate("cable", Kind::Manual), gate("port", Kind::Health));
        Pipeline {
            mode: "lab".into(),
            stages: vec![install, cable, port, check],
            ..Pipeline::default()
        }
    }

    #[test]
    fn both_graphs_are_written_as_text() {
        assert_eq!(
            text(&resolution(), Some(&pipeline())),
            "\
Capabilities, in the order of rendering
  1. cilium  provides cni
  2. talos  provides nothing
       ← cni 1.0 from cilium (optional)

Stages of lab, in the order of the bootstrap
  install  talos  (2 × node, destroys data)  → ready
  cable  talos  (done by a person)
  port  talos  (waits for health)
  check  cilium  (always runs)
       ← install  (barrier ready)"
        );
    }

    #[test]
    fn what_goes_from_one_to_another_stands_between_them() {
        let edges = |picture: Picture| -> Vec<(String, String, bool)> {
            let name = |node: usize| picture.nodes[node].name.clone();
            picture
                .edges
                .iter()
                .map(|edge| (name(edge.from), name(edge.to), edge.weak))
                .collect()
        };
        let edge = |from: &str, to: &str, weak| (from.to_owned(), to.to_owned(), weak);
        assert_eq!(
            edges(capabilities(&resolution())),
            [edge("cilium", "cni", false), edge("cni", "talos", true)]
        );
        assert_eq!(
            edges(stages(&pipeline())),
            [
                edge("install", "ready", false),
                edge("ready", "check", false)
            ]
        );
    }
}
