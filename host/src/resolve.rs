//! Who gives what to whom: the sections of `platform.yaml` and the manifests of their adapters become a [`Resolution`].
//!
//! Pure, and independent of the order of sections. The order that comes out is that of *rendering*; the bootstrap has a graph of its own.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};
use serde::Serialize;
use ztc_protocol::capability::STANDARD;
use ztc_protocol::manifest::{Manifest, Requirement};

use crate::error::{Exit, Failure, Finding, Location, did_you_mean, listed};
use crate::graph;

/// A section with what its adapter said about itself.
#[derive(Clone, Copy, Debug)]
pub struct Participant<'a> {
    /// The section's name.
    pub section: &'a str,
    /// The adapter's manifest.
    pub manifest: &'a Manifest,
}

/// Who gives what to whom, and in which order sections render.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Resolution {
    /// The section that provides each capability.
    pub providers: BTreeMap<String, String>,
    /// Sections in the order in which they render; those of one wave at the same time.
    pub waves: Vec<Vec<String>>,
    /// Every capability that goes from one section to another.
    pub edges: Vec<Edge>,
}

/// A capability that goes from one section to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// The section that provides it.
    pub provider: String,
    /// The section that requires it.
    pub consumer: String,
    /// The capability.
    pub capability: String,
    /// The version of its contract.
    pub version: String,
    /// Whether the consumer also renders without.
    pub optional: bool,
}

impl Resolution {
    /// Returns the capabilities that a section gets from others.
    pub fn received(&self, section: &str) -> impl Iterator<Item = &Edge> {
        self.edges
            .iter()
            .filter(move |edge| edge.consumer == section)
    }

    /// Returns the sections and all that depend on them, directly or through others.
    pub fn with_dependents(&self, sections: &BTreeSet<String>) -> BTreeSet<String> {
        // A consumer renders in a later wave than its provider, so one pass in that order sees everything.
        let mut all = sections.clone();
        for section in self.waves.iter().flatten() {
            if self
                .received(section)
                .any(|edge| all.contains(&edge.provider))
            {
                all.insert(section.clone());
            }
        }
        all
    }
}

/// Why the adapters do not fit together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResolveError {
    /// Nobody provides what a section requires.
    #[error(
        "adapter `{section}` requires the capability `{capability}`, which no adapter in platform.yaml provides"
    )]
    Missing {
        /// Who requires.
        section: String,
        /// What.
        capability: String,
    },
    /// Two sections provide the same.
    #[error("adapters `{}` both provide the capability `{capability}`", sections.join("` and `"))]
    Ambiguous {
        /// What.
        capability: String,
        /// Who.
        sections: Vec<String>,
    },
    /// Nobody knows the contract of a capability.
    #[error("adapter `{section}` {verb} the unknown capability `{capability}`: {why}")]
    Unknown {
        /// Who.
        section: String,
        /// `provides` or `requires`.
        verb: &'static str,
        /// What.
        capability: String,
        /// Why it is unknown.
        why: String,
    },
    /// What is provided is not what is required.
    #[error(
        "adapter `{section}` requires `{capability}` {range}, but adapter `{provider}` provides {provided}: {why}"
    )]
    Version {
        /// Who requires.
        section: String,
        /// What.
        capability: String,
        /// Which versions.
        range: String,
        /// Who provides.
        provider: String,
        /// Which version.
        provided: String,
        /// Why that does not match.
        why: String,
    },
    /// Sections wait for each other.
    #[error("adapters wait for each other: {}", path(steps))]
    Cycle {
        /// Section and what it requires from the next one; the last requires it from the first.
        steps: Vec<(String, String)>,
    },
}

fn path(steps: &[(String, String)]) -> String {
    let mut text = String::new();
    for (position, (section, capability)) in steps.iter().enumerate() {
        let subject = if position == 0 {
            format!("`{section}`")
        } else {
            format!("`{section}`, which")
        };
        text.push_str(&format!("{subject} requires `{capability}` from "));
    }
    let first = steps.first().map_or("", |(section, _)| section.as_str());
    format!("{text}`{first}`")
}

impl ResolveError {
    /// The section at which the error is shown.
    pub fn section(&self) -> &str {
        match self {
            Self::Missing { section, .. }
            | Self::Unknown { section, .. }
            | Self::Version { section, .. } => section,
            Self::Ambiguous { sections, .. } => sections.last().map_or("", String::as_str),
            Self::Cycle { steps } => steps.first().map_or("", |(section, _)| section.as_str()),
        }
    }

    /// Says what to do. `others` are the adapters of this machine that platform.yaml does not use, with their manifests.
    fn help(&self, others: &BTreeMap<String, Manifest>) -> String {
        match self {
            Self::Missing { capability, .. } => {
                let able: Vec<&str> = others
                    .iter()
                    .filter(|(_, manifest)| manifest.provides.iter().any(|provision| provision.capability == *capability))
                    .map(|(name, _)| name.as_str())
                    .collect();
                match able.is_empty() {
                    true => "no installed adapter provides it; look for one with `ztc plugins list`".to_owned(),
                    false => format!("add {} to `adapters` in platform.yaml (`ztc init --resume` asks for its inputs)", listed(able)),
                }
            }
            Self::Ambiguous { sections, .. } => {
                format!("keep one of {} in platform.yaml", listed(sections.iter().map(String::as_str)))
            }
            Self::Unknown { capability, .. } => {
                did_you_mean(capability, STANDARD.iter().map(|(name, _)| *name)).unwrap_or_else(|| {
                    format!(
                        "the standard capabilities are {}; any other is named `vendor/name` and its provider ships a schema",
                        listed(STANDARD.iter().map(|(name, _)| *name))
                    )
                })
            }
            Self::Version { section, provider, .. } => {
                format!("use versions of `{provider}` and `{section}` that go together; `ztc plugins list` shows what is installed")
            }
            Self::Cycle { steps } => format!(
                "replace one of {} by an adapter that does not need the other",
                listed(steps.iter().map(|(section, _)| section.as_str()))
            ),
        }
    }

    fn finding(
        &self,
        locate: &impl Fn(&str) -> Option<Location>,
        others: &BTreeMap<String, Manifest>,
    ) -> Finding {
        Finding::error(self.to_string())
            .at(locate(self.section()))
            .help(self.help(others))
    }
}

/// Turns what does not fit into a failure. `locate` finds a section in platform.yaml; `others` are the adapters that it does not use.
pub fn failure(
    errors: &[ResolveError],
    locate: impl Fn(&str) -> Option<Location>,
    others: &BTreeMap<String, Manifest>,
) -> Failure {
    match errors {
        [error] => Failure::new(Exit::Invalid, error.to_string())
            .at(locate(error.section()))
            .help(error.help(others)),
        errors => Failure::findings(
            "the adapters in platform.yaml do not fit together",
            errors
                .iter()
                .map(|error| error.finding(&locate, others))
                .collect(),
        ),
    }
}

/// Finds out who gives what to whom.
pub fn resolve(participants: &[Participant<'_>]) -> Result<Resolution, Vec<ResolveError>> {
    let mut participants = participants.to_vec();
    participants.sort_by_key(|participant| participant.section);
    let mut errors = unknown(&participants);
    let provided = provided(&participants);
    errors.extend(provided.iter().filter(|(_, offers)| offers.len() > 1).map(
        |(capability, offers)| {
            ResolveError::Ambiguous {
                capability: (*capability).to_owned(),
                sections: offers
                    .iter()
                    .map(|offer| offer.section.to_owned())
                    .collect(),
            }
        },
    ));
    let mut edges = Vec::new();
    for participant in &participants {
        for requirement in &participant.manifest.requires {
            match edge(participant.section, requirement, &provided) {
                Ok(edge) => edges.extend(edge),
                Err(error) => errors.push(error),
            }
        }
    }
    // An unknown name that is required would be reported a second time as missing.
    let strangers: Vec<String> = errors.iter().filter_map(unknown_name).collect();
    errors.retain(|error| !matches!(error, ResolveError::Missing { capability, .. } if strangers.contains(capability)));
    if !errors.is_empty() {
        return Err(errors);
    }
    edges.sort();
    edges.dedup();
    let waves = order(&participants, &edges).map_err(|error| vec![error])?;
    let providers = provided
        .into_iter()
        .map(|(capability, offers)| (capability.to_owned(), offers[0].section.to_owned()))
        .collect();
    Ok(Resolution {
        providers,
        waves,
        edges,
    })
}

/// A section that provides a capability, in a version.
struct Offer<'a> {
    section: &'a str,
    version: &'a str,
}

fn provided<'a>(participants: &[Participant<'a>]) -> BTreeMap<&'a str, Vec<Offer<'a>>> {
    let mut provided: BTreeMap<&str, Vec<Offer<'_>>> = BTreeMap::new();
    for participant in participants {
        for provision in &participant.manifest.provides {
            provided
                .entry(&provision.capability)
                .or_default()
                .push(Offer {
                    section: participant.section,
                    version: &provision.version,
                });
        }
    }
    provided
}

fn unknown_name(error: &ResolveError) -> Option<String> {
    match error {
        ResolveError::Unknown { capability, .. } => Some(capability.clone()),
        _ => None,
    }
}

/// Finds names that are neither standard nor `vendor/name`, and `vendor/name` without a schema.
fn unknown(participants: &[Participant<'_>]) -> Vec<ResolveError> {
    let error = |section: &str, verb, capability: &str, why: &str| ResolveError::Unknown {
        section: section.to_owned(),
        verb,
        capability: capability.to_owned(),
        why: why.to_owned(),
    };
    let no_name = "it is neither standard nor of the form `vendor/name`";
    let mut errors = Vec::new();
    for Participant { section, manifest } in participants {
        for provision in &manifest.provides {
            match kind(&provision.capability) {
                Kind::Standard => {}
                Kind::Vendor if provision.schema.is_some() => {}
                Kind::Vendor => {
                    errors.push(error(
                        section,
                        "provides",
                        &provision.capability,
                        "the adapter ships no schema for it",
                    ));
                }
                Kind::Neither => {
                    errors.push(error(section, "provides", &provision.capability, no_name));
                }
            }
        }
        for requirement in &manifest.requires {
            if kind(&requirement.capability) == Kind::Neither {
                errors.push(error(section, "requires", &requirement.capability, no_name));
            }
        }
    }
    errors
}

#[derive(PartialEq)]
enum Kind {
    Standard,
    Vendor,
    Neither,
}

fn kind(capability: &str) -> Kind {
    if STANDARD.iter().any(|(name, _)| *name == capability) {
        return Kind::Standard;
    }
    match capability.split_once('/') {
        Some((vendor, name)) if !vendor.is_empty() && !name.is_empty() && !name.contains('/') => {
            Kind::Vendor
        }
        _ => Kind::Neither,
    }
}

/// Returns the edge of a requirement; nothing where it is optional and nobody provides it.
fn edge(
    section: &str,
    requirement: &Requirement,
    provided: &BTreeMap<&str, Vec<Offer<'_>>>,
) -> Result<Option<Edge>, ResolveError> {
    let capability = requirement.capability.clone();
    let Some(offer) = provided
        .get(capability.as_str())
        .and_then(|offers| offers.first())
    else {
        return match requirement.optional {
            true => Ok(None),
            false => Err(ResolveError::Missing {
                section: section.to_owned(),
                capability,
            }),
        };
    };
    match mismatch(&requirement.version, offer.version) {
        None => Ok(Some(Edge {
            provider: offer.section.to_owned(),
            consumer: section.to_owned(),
            capability,
            version: offer.version.to_owned(),
            optional: requirement.optional,
        })),
        Some(why) => Err(ResolveError::Version {
            section: section.to_owned(),
            capability,
            range: requirement.version.clone(),
            provider: offer.section.to_owned(),
            provided: offer.version.to_owned(),
            why,
        }),
    }
}

/// Returns why a version is not in a range.
fn mismatch(range: &str, version: &str) -> Option<String> {
    let Ok(wanted) = VersionReq::parse(range) else {
        return Some(format!(
            "`{range}` is not a range of versions such as `^1.0`"
        ));
    };
    match Version::parse(&format!("{version}.0")) {
        Ok(offered) if wanted.matches(&offered) => None,
        Ok(_) => Some(format!("{version} is not in {range}")),
        Err(_) => Some(format!(
            "`{version}` is not a version of a contract such as `1.0`"
        )),
    }
}

fn order(
    participants: &[Participant<'_>],
    edges: &[Edge],
) -> Result<Vec<Vec<String>>, ResolveError> {
    let sections: Vec<&str> = participants
        .iter()
        .map(|participant| participant.section)
        .collect();
    let index: BTreeMap<&str, usize> = sections
        .iter()
        .enumerate()
        .map(|(index, section)| (*section, index))
        .collect();
    let mut needs = vec![Vec::new(); sections.len()];
    for edge in edges {
        needs[index[edge.consumer.as_str()]].push(index[edge.provider.as_str()]);
    }
    if let Some(waves) = graph::waves(&needs) {
        let names = |wave: Vec<usize>| {
            wave.into_iter()
                .map(|node| sections[node].to_owned())
                .collect()
        };
        return Ok(waves.into_iter().map(names).collect());
    }
    let cycle = graph::shortest_cycle(&needs).expect("a graph without waves has a cycle");
    let step = |position: usize| {
        let (consumer, provider) = (
            sections[cycle[position]],
            sections[cycle[(position + 1) % cycle.len()]],
        );
        let edge = edges
            .iter()
            .find(|edge| edge.consumer == consumer && edge.provider == provider);
        (
            consumer.to_owned(),
            edge.map(|edge| edge.capability.clone()).unwrap_or_default(),
        )
    };
    Err(ResolveError::Cycle {
        steps: (0..cycle.len()).map(step).collect(),
    })
}

#[cfg(test)]
mod tests;
