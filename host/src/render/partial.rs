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
    Ok(resolution.with_dependents(&names.iter().cloned().collect()))
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
