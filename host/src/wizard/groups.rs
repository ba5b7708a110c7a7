//! The selection groups that the adapters' manifests make, in the order in which they are asked. Pure.

use std::collections::BTreeMap;

use ztc_protocol::Manifest;

/// Adapters of which one is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Such as `cloud_provider`.
    pub name: String,
    /// The question.
    pub prompt: String,
    /// Shown with it.
    pub help: String,
    /// The adapters, sorted.
    pub options: Vec<String>,
    /// The proposed one; nothing: the group can be left out.
    pub default: Option<String>,
}

const PHASES: [&str; 4] = ["foundation", "networking", "platform", "services"];

/// Makes the groups. A group none of whose adapters is `built_in` can be left out: a plugin that happens to be installed is not part of every platform.
///
/// Who provides a capability is asked before who requires it; otherwise phases and names decide.
pub fn groups(
    manifests: &BTreeMap<String, Manifest>,
    built_in: impl Fn(&str) -> bool,
) -> Vec<Group> {
    let mut members: BTreeMap<String, Vec<&Manifest>> = BTreeMap::new();
    for manifest in manifests.values() {
        members
            .entry(group_name(manifest).to_owned())
            .or_default()
            .push(manifest);
    }
    let order = ordered(&members);
    order
        .into_iter()
        .map(|name| group(&name, &members[&name], &built_in))
        .collect()
}

fn group_name(manifest: &Manifest) -> &str {
    match manifest.selection_group.as_str() {
        "" => &manifest.phase,
        name => name,
    }
}

fn group(name: &str, members: &[&Manifest], built_in: &impl Fn(&str) -> bool) -> Group {
    let first = |text: fn(&Manifest) -> &str| {
        let defaults_first = members.iter().filter(|m| m.is_default).chain(members);
        defaults_first
            .map(|manifest| text(manifest))
            .find(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let required = members.iter().any(|manifest| built_in(&manifest.name));
    let proposed = members
        .iter()
        .find(|manifest| manifest.is_default)
        .or(members.first());
    Group {
        name: name.to_owned(),
        prompt: first(|manifest| &manifest.group_prompt)
            .unwrap_or_else(|| format!("Which adapter for {}?", name.replace('_', " "))),
        help: first(|manifest| &manifest.group_help).unwrap_or_default(),
        options: members
            .iter()
            .map(|manifest| manifest.name.clone())
            .collect(),
        default: proposed
            .filter(|_| required)
            .map(|manifest| manifest.name.clone()),
    }
}

/// Sorts the groups' names: again and again the first, by phase and name, of which no other group that is left provides what it requires.
fn ordered(members: &BTreeMap<String, Vec<&Manifest>>) -> Vec<String> {
    let phase = |name: &String| {
        let phases = members[name].iter().map(|m| {
            PHASES
                .iter()
                .position(|phase| *phase == m.phase)
                .unwrap_or(PHASES.len())
        });
        phases.min().unwrap_or(PHASES.len())
    };
    let waits_for = |name: &String, other: &String| {
        let requires = |capability: &str| {
            members[name]
                .iter()
                .flat_map(|manifest| &manifest.requires)
                .any(|requirement| requirement.capability == capability)
        };
        name != other
            && members[other]
                .iter()
                .flat_map(|manifest| &manifest.provides)
                .any(|provision| requires(&provision.capability))
    };
    let mut left: Vec<String> = members.keys().cloned().collect();
    left.sort_by_key(|name| (phase(name), name.clone()));
    let mut order = Vec::new();
    while !left.is_empty() {
        let free = left
            .iter()
            .position(|name| !left.iter().any(|other| waits_for(name, other)));
        // In a circle nobody is free; resolving the platform says so with its path.
        order.push(left.remove(free.unwrap_or(0)));
    }
    order
}

#[cfg(test)]
mod tests {
    use ztc_protocol::manifest::{Provision, Requirement};

    use super::*;

    fn manifest(
        name: &str,
        group: &str,
        phase: &str,
        provides: &[&str],
        requires: &[&str],
    ) -> Manifest {
        Manifest {
            name: name.into(),
            phase: phase.into(),
            selection_group: group.into(),
            provides: provides
                .iter()
                .map(|c| Provision {
                    capability: (*c).into(),
                    version: "1.0".into(),
                    schema: None,
                })
                .collect(),
            requires: requires
                .iter()
                .map(|c| Requirement {
                    capability: (*c).into(),
                    version: "^1.0".into(),
                    optional: false,
                })
                .collect(),
            ..Manifest::default()
        }
    }

    fn made(manifests: Vec<Manifest>) -> Vec<Group> {
        let manifests = manifests
            .into_iter()
            .map(|manifest| (manifest.name.clone(), manifest))
            .collect();
        groups(&manifests, |name| name != "backup" && name != "restic")
    }

    #[test]
    fn providers_come_before_those_who_require_them_then_phases_then_names() {
        let groups = made(vec![
            manifest(
                "talos",
                "operating_system",
                "foundation",
                &["kubernetes-api"],
                &["cloud-infrastructure", "cni"],
            ),
            manifest("cilium", "network_tool", "networking", &["cni"], &[]),
            manifest(
                "hetzner",
                "cloud_provider",
                "foundation",
                &["cloud-infrastructure"],
                &[],
            ),
            manifest("argo", "", "services", &[], &["kubernetes-api"]),
            manifest("backup", "storage", "platform", &[], &[]),
        ]);
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "cloud_provider",
                "network_tool",
                "operating_system",
                "storage",
                "services"
            ]
        );
    }

    #[test]
    fn a_group_says_what_its_adapters_say() {
        let metal = Manifest {
            group_prompt: "not this".into(),
            ..manifest("ametal", "cloud", "foundation", &[], &[])
        };
        let hetzner = Manifest {
            is_default: true,
            group_prompt: "Which cloud?".into(),
            group_help: "Help.".into(),
            ..manifest("hetzner", "cloud", "foundation", &[], &[])
        };
        let plugins = [
            manifest("backup", "storage", "services", &[], &[]),
            manifest("restic", "storage", "services", &[], &[]),
        ];
        assert_eq!(
            made([metal, hetzner].into_iter().chain(plugins).collect()),
            [
                Group {
                    name: "cloud".into(),
                    prompt: "Which cloud?".into(),
                    help: "Help.".into(),
                    options: vec!["ametal".into(), "hetzner".into()],
                    default: Some("hetzner".into()),
                },
                Group {
                    name: "storage".into(),
                    prompt: "Which adapter for storage?".into(),
                    help: String::new(),
                    options: vec!["backup".into(), "restic".into()],
                    default: None,
                },
            ]
        );
    }

    #[test]
    fn a_circle_is_still_an_order() {
        let groups = made(vec![
            manifest("b", "two", "foundation", &["y"], &["x"]),
            manifest("a", "one", "foundation", &["x"], &["y"]),
        ]);
        assert_eq!(
            groups
                .iter()
                .map(|group| group.name.as_str())
                .collect::<Vec<_>>(),
            ["one", "two"]
        );
    }
}
