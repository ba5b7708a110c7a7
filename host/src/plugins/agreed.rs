//! What somebody has agreed to before: the powers of the version that the lock names, or that is installed. A version that may touch more than
//! that one needs a word of its own, however it is installed. Pure.

use serde::Serialize;

use crate::error::{Exit, Failure};
use crate::lock::plugins::LockedPlugin;
use crate::plugins::index::{Choice, Index, Release, Touches};
use crate::plugins::install::{Moved, Terms};
use crate::plugins::powers::{Power, is_described, powers};
use crate::plugins::store::Record;
use crate::plugins::tree::Unsigned;

/// Whether an operator agrees to powers that are new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewPowers {
    Refuse,
    Accept,
}

/// An earlier version.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Earlier<'a> {
    version: String,
    /// What its publisher has said of it; nothing: nobody here knows.
    release: Option<&'a Release>,
}

/// What a version may touch, beside what an earlier one may.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Powers {
    /// Whether it was asked what it touches, when it was published.
    pub(crate) known: bool,
    pub(crate) touches: Touches,
    /// The version that it is compared with; nothing: there was none.
    pub(crate) compared_with: Option<String>,
    /// What it may touch, and that version may not.
    pub(crate) new: Vec<Power>,
}

impl Earlier<'_> {
    /// Whether its publisher has said what it touches.
    pub(crate) fn is_known(&self) -> bool {
        self.release.is_some_and(is_described)
    }
}

impl Powers {
    /// Compares.
    pub(crate) fn of(release: &Release, earlier: Option<&Earlier<'_>>) -> Self {
        let nothing = Touches::default();
        let before = |earlier: &Earlier<'_>| -> Vec<Power> {
            let before = earlier.release.map_or(&nothing, |release| &release.touches);
            powers(&release.touches, before)
        };
        Self {
            known: is_described(release),
            touches: release.touches.clone(),
            compared_with: earlier.map(|earlier| earlier.version.clone()),
            new: earlier.map(before).unwrap_or_default(),
        }
    }

    /// Says what of it needs a word; nothing where nothing does.
    pub(crate) fn question(&self, name: &str, version: &str) -> Option<String> {
        let before = self.compared_with.as_ref()?;
        let mut new: Vec<String> = self.new.iter().map(Power::to_string).collect();
        new.extend((!self.known).then(|| "something that is not known".to_owned()));
        (!new.is_empty()).then(|| {
            format!(
                "`{name}` {version} may touch more than {before}: {}",
                new.join(", ")
            )
        })
    }

    /// Everything that it may touch, for people.
    pub(crate) fn words(&self) -> String {
        if !self.known {
            return "not known: nobody has asked it when it was published".to_owned();
        }
        let all = powers(&self.touches, &Touches::default());
        let word = |power: &Power| match self.new.contains(power) {
            true => format!("{power} (new)"),
            false => power.to_string(),
        };
        match all.is_empty() {
            true => "nothing outside of its own files, apart from what its stages do".to_owned(),
            false => all.iter().map(word).collect::<Vec<_>>().join(", "),
        }
    }
}

/// Refuses powers that nobody has agreed to. `what` is how the version is asked for.
pub(crate) fn refusal(question: String, what: &str, terms: &Terms) -> Failure {
    let mut command = format!("ztc plugins install {what}");
    let said = [
        (terms.unsigned == Unsigned::Allow, " --allow-unsigned"),
        (terms.moved == Moved::Allow, " --moved"),
        (true, " --accept"),
    ];
    command.extend(
        said.iter()
            .filter(|(is_said, _)| *is_said)
            .map(|(_, word)| *word),
    );
    if let Some(key) = &terms.key {
        command.push_str(&format!(" --key {}", key.text()));
    }
    Failure::new(Exit::Refused, question).help(format!("where that is right, run `{command}`"))
}

/// Returns the version that somebody has agreed to: the one of the lock; without a lock the same one, or else the newest that is installed.
pub(crate) fn earlier<'a>(
    installed: &'a [Record],
    locked: Option<&LockedPlugin>,
    index: Option<&'a Index>,
    choice: &Choice,
) -> Option<Earlier<'a>> {
    let own = || installed.iter().filter(|record| record.name == choice.name);
    let Some(locked) = locked else {
        let same = own().find(|record| record.version == choice.version);
        let same = same.map(|record| Earlier {
            version: record.version.to_string(),
            release: Some(&record.release),
        });
        return same.or_else(|| newest(installed, &choice.name));
    };
    let recorded = own()
        .filter(|record| record.version.to_string() == locked.version)
        .map(|record| &record.release);
    let published = index
        .and_then(|index| index.adapters.get(&choice.name))
        .and_then(|entry| entry.versions.get(&locked.version));
    Some(Earlier {
        version: locked.version.clone(),
        release: recorded.chain(published).find(|it| is_it(it, locked)),
    })
}

/// Returns the newest version that is installed.
pub(crate) fn newest<'a>(installed: &'a [Record], name: &str) -> Option<Earlier<'a>> {
    let newest = installed.iter().find(|record| record.name == name);
    newest.map(|record| Earlier {
        version: record.version.to_string(),
        release: Some(&record.release),
    })
}

/// Whether a release has the locked bytes, on all platforms that both know.
fn is_it(release: &Release, locked: &LockedPlugin) -> bool {
    let mut common = locked
        .platforms
        .iter()
        .filter_map(|(platform, executable)| {
            let asset = release.platforms.get(platform)?;
            Some(asset.sha256 == executable.sha256)
        });
    common
        .next()
        .is_some_and(|first| first && common.all(|it| it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::plugins::LockedExecutable;
    use crate::plugins::index::{Asset, Entry};

    fn release(sha256: &str, network: &[&str]) -> Release {
        let asset = Asset {
            sha256: sha256.into(),
            ..Asset::default()
        };
        Release {
            provides: vec!["acme/bgp 1.0".into()],
            touches: Touches {
                network: network.iter().map(|it| (*it).to_owned()).collect(),
                ..Touches::default()
            },
            platforms: [("linux-x86_64".to_owned(), asset)].into(),
            ..Release::default()
        }
    }

    fn record(version: &str, release: Release) -> Record {
        Record {
            format: 1,
            name: "bgp".into(),
            version: version.parse().unwrap(),
            source: "https://example.org".into(),
            publisher_key: None,
            index_serial: 1,
            installed: String::new(),
            platform: "linux-x86_64".into(),
            file: false,
            release,
        }
    }

    fn locked(version: &str, sha256: &str) -> LockedPlugin {
        let executable = LockedExecutable {
            sha256: sha256.into(),
            ..LockedExecutable::default()
        };
        LockedPlugin {
            version: version.into(),
            platforms: [("linux-x86_64".to_owned(), executable)].into(),
            ..LockedPlugin::default()
        }
    }

    /// What is asked about 1.2.0, which connects to `a` and `b`.
    #[track_caller]
    fn asks(installed: &[Record], locked: Option<&LockedPlugin>, index: &Index, expected: &str) {
        let choice = Choice {
            name: "bgp".into(),
            version: "1.2.0".parse().unwrap(),
            release: release("2", &["a", "b"]),
            asset: Asset::default(),
        };
        let earlier = earlier(installed, locked, Some(index), &choice);
        let powers = Powers::of(&choice.release, earlier.as_ref());
        let question = powers.question("bgp", "1.2.0").unwrap_or_default();
        assert_eq!(question, expected);
    }

    #[test]
    fn what_somebody_has_agreed_to_is_the_lock_or_else_what_is_installed() {
        let nothing = Index::default();
        let old = record("1.1.0", release("1", &["a"]));
        let same = record("1.2.0", release("2", &["a", "b"]));
        let more = "`bgp` 1.2.0 may touch more than 1.1.0: network b";
        asks(&[], None, &nothing, "");
        asks(std::slice::from_ref(&old), None, &nothing, more);
        asks(&[same.clone(), old.clone()], None, &nothing, "");
        // That another repository has it is no word of this one.
        let lock = locked("1.1.0", "1");
        asks(&[same.clone(), old], Some(&lock), &nothing, more);
        let entry = Entry {
            versions: [("1.1.0".to_owned(), release("1", &["a"]))].into(),
            ..Entry::default()
        };
        let index = Index {
            adapters: [("bgp".to_owned(), entry)].into(),
            ..Index::default()
        };
        asks(&[], Some(&lock), &index, more);
        // What is said of other bytes is not said of the locked ones.
        let other = locked("1.1.0", "3");
        let all = "`bgp` 1.2.0 may touch more than 1.1.0: network a, network b";
        asks(&[], Some(&other), &index, all);
        asks(&[same], Some(&locked("1.2.0", "2")), &nothing, "");
    }

    #[test]
    fn new_are_marked() {
        let earlier = Earlier {
            version: "1.0.0".into(),
            release: None,
        };
        let new = release("2", &["a"]);
        let words = |release: &Release, earlier| Powers::of(release, earlier).words();
        assert_eq!(words(&new, None), "network a");
        assert_eq!(words(&new, Some(&earlier)), "network a (new)");
        let quiet = release("2", &[]);
        assert_eq!(
            words(&quiet, None),
            "nothing outside of its own files, apart from what its stages do"
        );
        let unknown = "not known: nobody has asked it when it was published";
        assert_eq!(words(&Release::default(), None), unknown);
    }
}
