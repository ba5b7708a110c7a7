//! Taking versions back, and offering them again: what a publisher says about releases that stay where they are. Pure.

use serde::Serialize;

use crate::error::Failure;
use crate::plugins::index::{Index, Release};
use crate::plugins::signed::Serial;

/// What is said where a publisher gives no reason.
const NO_REASON: &str = "no reason was given";

/// What a publisher says about versions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    /// These nobody should install any more: names and versions.
    pub(crate) yank: Vec<(String, String)>,
    /// Why; nothing: the reason that was given before stays.
    pub(crate) reason: Option<String>,
    /// These were taken back, and everybody may install them again.
    pub(crate) unyank: Vec<(String, String)>,
}

/// A version that was taken back.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Yanked {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) why: String,
}

/// A version that is offered again.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unyanked {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Writes it into an index that is about to be signed.
pub(crate) fn apply(
    index: &mut Index,
    words: &Words,
    serial: Serial,
) -> Result<(Vec<Yanked>, Vec<Unyanked>), Failure> {
    let (mut yanked, mut unyanked) = (Vec::new(), Vec::new());
    if let Some((name, version)) = words.yank.iter().find(|it| words.unyank.contains(it)) {
        return Err(Failure::invalid(format!(
            "`{name}` {version} cannot be taken back and offered again at once"
        ))
        .help("leave `--yank` or `--unyank` out"));
    }
    for (name, version) in &words.yank {
        let release = release(index, name, version)?;
        let before = release.yanked.take();
        let why = words.reason.clone().or(before);
        let why = why.unwrap_or_else(|| NO_REASON.to_owned());
        release.yanked = Some(why.clone());
        release.offered_again = None;
        yanked.push(Yanked {
            name: name.clone(),
            version: version.clone(),
            why,
        });
    }
    let next = index.serial;
    for (name, version) in &words.unyank {
        let release = release(index, name, version)?;
        // A tree that begins anew, by its publisher's word, does not know what was taken back before.
        if release.yanked.take().is_none() && serial == Serial::Next {
            return Err(not_taken_back(name, version));
        }
        release.offered_again = Some(next);
        unyanked.push(Unyanked {
            name: name.clone(),
            version: version.clone(),
        });
    }
    Ok((yanked, unyanked))
}

/// Whether an index offers a version again that an older one, with this serial, had taken back.
pub(crate) fn is_offered_again(release: &Release, taken_back_in: u64) -> bool {
    release.yanked.is_none() && release.offered_again.is_some_and(|it| it > taken_back_in)
}

fn release<'a>(
    index: &'a mut Index,
    name: &str,
    version: &str,
) -> Result<&'a mut Release, Failure> {
    let entry = index.adapters.get_mut(name);
    let release = entry.and_then(|entry| entry.versions.get_mut(version));
    release.ok_or_else(|| {
        Failure::invalid(format!("`{name}` {version} was never published here"))
            .help("name a version as `NAME@VERSION`")
    })
}

fn not_taken_back(name: &str, version: &str) -> Failure {
    Failure::invalid(format!("`{name}` {version} was not taken back in this tree")).help(
        "everybody can install it; where a newer tree of yours has taken it back, publish from that one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::index::Entry;

    fn index(serial: u64, release: Release) -> Index {
        let entry = Entry {
            versions: [("1.0.0".to_owned(), release)].into(),
            ..Entry::default()
        };
        Index {
            serial,
            adapters: [("bgp".to_owned(), entry)].into(),
            ..Index::default()
        }
    }

    fn words(yank: &[&str], reason: Option<&str>, unyank: &[&str]) -> Words {
        let named = |versions: &[&str]| {
            let versions = versions.iter();
            versions
                .map(|it| ("bgp".to_owned(), (*it).to_owned()))
                .collect()
        };
        Words {
            yank: named(yank),
            reason: reason.map(str::to_owned),
            unyank: named(unyank),
        }
    }

    /// What the next index says after one that says this.
    #[track_caller]
    fn check(before: &Release, words: &Words, serial: Serial, expected: Result<&Release, &str>) {
        let mut index = index(7, before.clone());
        let done = apply(&mut index, words, serial);
        match (done, expected) {
            (Ok(_), Ok(expected)) => assert_eq!(index.adapters["bgp"].versions["1.0.0"], *expected),
            (Err(failure), Err(expected)) => assert_eq!(failure.message, expected),
            (done, expected) => panic!("{done:?} is not {expected:?}"),
        }
    }

    #[test]
    fn a_reason_stays_until_another_one_is_given() {
        let fresh = Release::default();
        let yanked = |why: &str| Release {
            yanked: Some(why.into()),
            ..Release::default()
        };
        let yank = |reason| words(&["1.0.0"], reason, &[]);
        check(&fresh, &yank(None), Serial::Next, Ok(&yanked(NO_REASON)));
        check(&fresh, &yank(Some("x")), Serial::Next, Ok(&yanked("x")));
        check(&yanked("x"), &yank(None), Serial::Next, Ok(&yanked("x")));
        check(
            &yanked("x"),
            &yank(Some("y")),
            Serial::Next,
            Ok(&yanked("y")),
        );
        let again = Release {
            offered_again: Some(5),
            ..Release::default()
        };
        check(&again, &yank(Some("x")), Serial::Next, Ok(&yanked("x")));
    }

    #[test]
    fn what_was_taken_back_is_offered_again_by_a_word_only() {
        let yanked = Release {
            yanked: Some("x".into()),
            ..Release::default()
        };
        let again = Release {
            offered_again: Some(7),
            ..Release::default()
        };
        let unyank = words(&[], None, &["1.0.0"]);
        check(&yanked, &unyank, Serial::Next, Ok(&again));
        let not = "`bgp` 1.0.0 was not taken back in this tree";
        check(&Release::default(), &unyank, Serial::Next, Err(not));
        check(&Release::default(), &unyank, Serial::Said, Ok(&again));
        let both = words(&["1.0.0"], None, &["1.0.0"]);
        let message = "`bgp` 1.0.0 cannot be taken back and offered again at once";
        check(&yanked, &both, Serial::Next, Err(message));
        let strange = words(&[], None, &["2.0.0"]);
        let message = "`bgp` 2.0.0 was never published here";
        check(&yanked, &strange, Serial::Next, Err(message));
    }

    #[test]
    fn an_older_word_does_not_offer_what_was_taken_back_since() {
        let again = Release {
            offered_again: Some(7),
            ..Release::default()
        };
        assert!(is_offered_again(&again, 6));
        assert!(!is_offered_again(&again, 7));
        assert!(!is_offered_again(&Release::default(), 6));
    }
}
