//! `--partial`: a render in which only some adapters, and those that depend on them, may change anything.
//!
//! All adapters are asked, since they are pure and fast and the chosen ones need what the others provide. Where a file or a stage of any other
//! adapter would change too, nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Exit, Failure, did_you_mean, listed};
use crate::pipeline::file::{Pipeline, StageEntry};
use crate::render::assemble::Rendered;
use crate::render::output::{GENERATED, LOCK};
use crate::render::workspace::Changes;
use crate::resolve::Resolution;

/// How many files of an adapter are named.
const NAMED: usize = 5;

/// Returns the chosen sections with all that depend on them.
pub(crate) fn chosen(
    names: &[String],
    resolution: &Resolution,
) -> Result<BTreeSet<String>, Failure> {
    Ok(resolution.with_dependents(&named(names, resolution)?))
}

/// Returns the sections that the operator names.
pub(crate) fn named(
    names: &[String],
    resolution: &Resolution,
) -> Result<BTreeSet<String>, Failure> {
    let known: BTreeSet<&str> = resolution
        .waves
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name.as_str())) {
        let hint = did_you_mean(name, known.iter().copied());
        return Err(
            Failure::invalid(format!("platform.yaml has no adapter `{name}`"))
                .help(hint.unwrap_or_else(|| format!("it has {}", listed(known)))),
        );
    }
    Ok(names.iter().cloned().collect())
}

/// Refuses where something changes that does not come from the chosen sections.
pub(crate) fn refuse_others(
    chosen: &BTreeSet<String>,
    rendered: &Rendered,
    before: Option<&Pipeline>,
    changes: &Changes,
) -> Result<(), Failure> {
    let mut others: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in changes
        .paths()
        .filter(|path| path.starts_with(GENERATED) && *path != LOCK)
    {
        let owner = rendered
            .owners
            .get(path)
            .map(String::as_str)
            .or_else(|| neighbor(path, &rendered.owners));
        if let Some(owner) = owner.filter(|owner| !chosen.contains(*owner) && *owner != "ztc") {
            others.entry(owner).or_default().push(path.clone());
        }
    }
    for stage in
        changed_stages(before, &rendered.pipeline).filter(|stage| !chosen.contains(&stage.adapter))
    {
        others
            .entry(&stage.adapter)
            .or_default()
            .push(format!("stage {}", stage.name));
    }
    if others.is_empty() {
        return Ok(());
    }
    let names = others.keys().copied().collect::<Vec<_>>().join("`, `");
    let mut failure = Failure::new(
        Exit::Differences,
        format!("more would change than `--partial` allows: `{names}`"),
    )
    .help("run `ztc render` without `--partial`, or name those adapters too");
    for (owner, paths) in others {
        let more = paths.len().saturating_sub(NAMED);
        let tail = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        failure = failure.detail(format!(
            "{owner}: {}{tail}",
            paths[..paths.len() - more].join(", ")
        ));
    }
    Err(failure.detail("nothing was written"))
}

/// A file that goes has no owner in this render: it is that of the nearest files.
fn neighbor<'a>(path: &str, owners: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let ends = path
        .rmatch_indices('/')
        .map(|(end, _)| end)
        .filter(|end| *end > GENERATED.len());
    ends.into_iter().find_map(|end| {
        let directory = &path[..=end];
        let (near, owner) = owners.range(directory.to_owned()..).next()?;
        near.starts_with(directory).then_some(owner.as_str())
    })
}

/// Returns the stages that are new or different. What they wait for does not count: that changes with others' stages.
fn changed_stages<'a>(
    before: Option<&'a Pipeline>,
    after: &'a Pipeline,
) -> impl Iterator<Item = &'a StageEntry> {
    let alone = |stage: &StageEntry| StageEntry {
        needs: Vec::new(),
        ..stage.clone()
    };
    let known: Vec<StageEntry> = before
        .into_iter()
        .flat_map(|pipeline| &pipeline.stages)
        .map(alone)
        .collect();
    after
        .stages
        .iter()
        .filter(move |stage| !known.contains(&alone(stage)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Lock;
    use crate::render::output::{Output, Tree};
    use crate::resolve::Edge;

    fn resolution() -> Resolution {
        let edge = Edge {
            provider: "cilium".into(),
            consumer: "talos".into(),
            capability: "cni".into(),
            version: "1.0".into(),
            optional: false,
        };
        Resolution {
            waves: vec![
                vec!["cilium".into(), "hetzner".into()],
                vec!["talos".into()],
            ],
            edges: vec![edge],
            ..Resolution::default()
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn dependents_are_chosen_too() {
        let chosen = |name: &str| chosen(&names(&[name]), &resolution());
        assert_eq!(
            chosen("cilium").unwrap(),
            BTreeSet::from(["cilium".to_owned(), "talos".to_owned()])
        );
        assert_eq!(
            chosen("talos").unwrap(),
            BTreeSet::from(["talos".to_owned()])
        );
        let failure = chosen("tlaos").unwrap_err();
        assert_eq!(failure.message, "platform.yaml has no adapter `tlaos`");
        assert_eq!(failure.help.as_deref(), Some("did you mean `talos`?"));
    }

    #[test]
    fn changes_of_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("platform/generated/cilium")).unwrap();
        std::fs::write(directory.path().join("platform/generated/cilium/gone"), "x").unwrap();
        let file = |section: &str, name: &str| {
            (
                format!("platform/generated/{section}/{name}"),
                section.to_owned(),
            )
        };
        let owners = BTreeMap::from([file("cilium", "new"), file("talos", "new")]);
        let stage = |name: &str, adapter: &str| StageEntry {
            name: name.into(),
            adapter: adapter.into(),
            needs: vec![format!("before_{name}")],
            ..StageEntry::default()
        };
        let before = Pipeline {
            stages: vec![stage("same", "hetzner")],
            ..Pipeline::default()
        };
        let same = StageEntry {
            needs: Vec::new(),
            ..stage("same", "hetzner")
        };
        let rendered = Rendered {
            tree: owners
                .keys()
                .map(|path| (path.clone(), Output::text("y")))
                .collect::<Tree>(),
            owners,
            pipeline: Pipeline {
                stages: vec![same, stage("more", "hetzner")],
                ..Pipeline::default()
            },
            lock: Lock::default(),
            warnings: Vec::new(),
            unmade: Vec::new(),
        };
        let changes = Changes::find(directory.path(), &rendered.tree).unwrap();
        let check = |chosen: &[&str]| {
            refuse_others(
                &names(chosen).into_iter().collect(),
                &rendered,
                Some(&before),
                &changes,
            )
        };
        assert!(check(&["cilium", "talos", "hetzner"]).is_ok());
        let failure = check(&["talos"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Differences);
        assert_eq!(
            failure.message,
            "more would change than `--partial` allows: `cilium`, `hetzner`"
        );
        assert_eq!(
            failure.details,
            [
                "cilium: platform/generated/cilium/new, platform/generated/cilium/gone",
                "hetzner: stage more",
                "nothing was written",
            ]
        );
    }
}
