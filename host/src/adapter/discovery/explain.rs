//! Why a name means this adapter and not one of the others: for `ztc plugins list --explain`, and for the warning about a file that somebody
//! may believe to be used.

use std::fs;
use std::path::Path;

use crate::adapter::discovery::Discovery;
use crate::adapter::discovery::places::{Place, Standing};
use crate::adapter::{Candidate, Source};
use crate::digest;
use crate::error::Finding;

/// An adapter that a name could mean.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) candidate: Candidate,
    /// Where it is known without asking the adapter.
    pub(crate) version: Option<String>,
    /// Whether the name means it.
    pub(crate) is_used: bool,
    /// Why, or why not.
    pub(crate) why: String,
}

impl Discovery {
    /// Returns everything that a name could mean, the strongest first, and why it does or does not.
    pub(crate) fn contenders(&self, name: &str) -> Vec<Contender> {
        let places = self.places(name);
        let obstacle = self.obstacle(name).map(|(standing, _)| standing);
        let winner = match obstacle {
            Some(_) => None,
            None => places.iter().position(Place::fits),
        };
        let strongest = obstacle.or_else(|| Some(places[winner?].standing));
        let used_one = winner.map(|at| places[at].candidate.clone());
        let wanted = self.pin(name).and_then(|plugin| plugin.here());
        let wanted = wanted.filter(|_| obstacle == Some(Standing::Locked));
        let contender = |(at, place): (usize, Place)| {
            let is_used = winner == Some(at);
            let is_the_used = || {
                let used_one = used_one.as_ref();
                used_one.is_some_and(|used| is_same(used, &place.candidate))
            };
            let why = match (is_used, strongest) {
                (true, _) => used(place.standing).to_owned(),
                (false, _) if place.unfit.is_some() => place.unfit.clone().unwrap_or_default(),
                (false, None) => String::new(),
                (false, Some(_)) if is_the_used() => {
                    "it has the same bytes as the one that is used".to_owned()
                }
                (false, Some(_))
                    if wanted.is_some_and(|wanted| has(&place.candidate, &wanted.sha256)) =>
                {
                    "it has the bytes that the lock names, and is not installed".to_owned()
                }
                (false, Some(strongest)) => unused(place.standing, strongest).to_owned(),
            };
            Contender {
                candidate: place.candidate,
                version: place.version,
                is_used,
                why,
            }
        };
        places.into_iter().enumerate().map(contender).collect()
    }

    /// Returns what a name could mean and does not, which has these bytes.
    pub(crate) fn with_bytes(&self, name: &str, sha256: &str) -> Option<Candidate> {
        let places = self.places(name).into_iter();
        let mut candidates = places.map(|place| place.candidate);
        candidates.find(|candidate| has(candidate, sha256))
    }

    /// Warns of files that somebody may believe to be what a name means. Other versions in the same place are none, nor is another
    /// name of the same file, nor the same bytes elsewhere; and whoever names a program in a variable knows what it replaces.
    pub(crate) fn shadowed(&self, name: &str) -> Option<Finding> {
        if self.obstacle(name).is_some() {
            return None;
        }
        let places = self.places(name);
        let winner = places.iter().find(|place| place.fits())?;
        if matches!(winner.standing, Standing::Attached | Standing::Dev) {
            return None;
        }
        let used = &winner.candidate;
        let mut unused: Vec<&Candidate> = Vec::new();
        for place in places.iter().filter(|place| place.fits()) {
            let other = &place.candidate;
            // Older versions beside a newer one are what these places are for; two directories of PATH are not.
            let is_rival = other.source != used.source || other.source == Source::Path;
            let is_known = || {
                std::iter::once(&used)
                    .chain(&unused)
                    .any(|known| is_same(known, other))
            };
            if is_rival && other.source != Source::BuiltIn && !is_known() {
                unused.push(other);
            }
        }
        let unused: Vec<String> = unused.into_iter().map(shown).collect();
        let verb = if unused.len() == 1 { "is" } else { "are" };
        let what = match used.source {
            Source::BuiltIn => "the one of ztc".to_owned(),
            _ => shown(used),
        };
        (!unused.is_empty()).then(|| {
            let unused = unused.join(", ");
            Finding::warning(format!(
                "adapter `{name}` is {what}; {unused} {verb} not used"
            ))
            .help("`ztc plugins list --explain` shows why")
        })
    }
}

fn shown(candidate: &Candidate) -> String {
    format!(
        "`{}` ({})",
        candidate.program.display(),
        candidate.source.word()
    )
}

/// Whether two candidates are the same program.
fn is_same(one: &Candidate, other: &Candidate) -> bool {
    if one.source == Source::BuiltIn {
        return false;
    }
    let real = |path: &Path| fs::canonicalize(path).ok();
    let (here, there) = (&one.program, &other.program);
    let same_file = real(here).is_some_and(|path| real(there) == Some(path));
    let length = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    same_file
        || length(here) == length(there)
            && digest::file(here).is_ok_and(|sha256| digest::file(there).ok() == Some(sha256))
}

/// Whether a candidate is a file with these bytes.
fn has(candidate: &Candidate, sha256: &str) -> bool {
    let is_file = !matches!(candidate.source, Source::BuiltIn | Source::Attached);
    is_file && digest::file(&candidate.program).is_ok_and(|found| found == sha256)
}

fn used(standing: Standing) -> &'static str {
    match standing {
        Standing::Attached => "`ZTC_ATTACH` names it",
        Standing::Dev => "`ZTC_PLUGIN_DEV` names it",
        Standing::Explicit => "platform.yaml names its path",
        Standing::Kept => "it is part of ztc",
        Standing::Locked => "the lock names it",
        Standing::Installed => "it is installed",
        Standing::PluginDirectory => "it lies in the plugin directory",
        Standing::Path => "it lies on PATH",
        Standing::Replaced => "it is part of ztc, and nothing else is there",
    }
}

fn unused(standing: Standing, strongest: Standing) -> &'static str {
    match strongest {
        Standing::Attached => "`ZTC_ATTACH` names another",
        Standing::Dev => "`ZTC_PLUGIN_DEV` names another",
        Standing::Explicit => "platform.yaml names the path of another",
        Standing::Kept => {
            "an adapter of ztc is replaced only where `plugins` of platform.yaml names it"
        }
        Standing::Locked => "the lock names another",
        Standing::Installed if standing == Standing::Installed => "a newer version is installed",
        Standing::Installed => "what is installed comes first",
        Standing::PluginDirectory if standing == Standing::PluginDirectory => {
            "a newer version lies there"
        }
        Standing::PluginDirectory => "the plugin directory comes first",
        Standing::Path if standing == Standing::Path => "an earlier directory of PATH comes first",
        Standing::Path => "PATH comes first",
        Standing::Replaced => "nothing comes behind it",
    }
}
