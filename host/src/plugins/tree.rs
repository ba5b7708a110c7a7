//! A source, opened: its index fetched, verified and compared with what is trusted and what was seen. Everything that an attacker
//! could do to an index is refused here.

use jiff::Timestamp;

use crate::error::{Exit, Failure};
use crate::foreign::printable;
use crate::plugins::index::{self, Index};
use crate::plugins::mirror;
use crate::plugins::seen::Seen;
use crate::plugins::signature::{Key, Refused, signed_with};
use crate::plugins::source::Source;
use crate::shell::word;

/// Whose word a key is.
pub(crate) const LOCK: &str = "the lock";
pub(crate) const PIN: &str = "the list of trusted publishers";
pub(crate) const OPTION: &str = "`--key`";
/// These remember a key that nobody has pinned, or that was lost: it is shown and pinned anew, and no other will do.
pub(crate) const SEEN: &str = "the index that was seen last";
pub(crate) const RECORD: &str = "the record of what was installed from it";

/// What helps where the key that an operator knows from elsewhere is not the one that signs.
const NOT_YOURS: &str =
    "do not use it: ask the publisher, by another way than this source, which key is theirs";

/// Whether a tree without a signature will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// No; the operator can say otherwise with an option.
    Refuse,
    /// No, and the command at hand has no such option: this is what helps.
    Never(&'static str),
    /// Yes, this once: the operator says so.
    Allow,
}

impl Unsigned {
    /// What `--allow-unsigned` means.
    pub(crate) fn of(allow: bool) -> Self {
        match allow {
            true => Self::Allow,
            false => Self::Refuse,
        }
    }
}

/// What is known of a source before it is opened.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// The key that has to have signed, with whose word that is.
    pub(crate) key: Option<(Key, &'a str)>,
    /// The last index that was seen.
    pub(crate) seen: Option<Seen>,
    /// The serial that a lock has seen.
    pub(crate) serial: u64,
    pub(crate) unsigned: Unsigned,
}

/// A tree whose index can be believed.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) source: Source,
    pub(crate) text: Vec<u8>,
    /// The text of its signature.
    pub(crate) signature: Option<Vec<u8>>,
    pub(crate) index: Index,
    /// Who has signed it.
    pub(crate) signer: Signed,
    /// By whose word that key is the right one.
    pub(crate) says: Option<String>,
}

/// Who has signed an index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Signed {
    /// Nobody; the operator allowed that.
    Nobody,
    /// A key that was trusted before.
    Known(Key),
    /// A key that nobody knew before.
    New(Key),
}

impl Signed {
    /// The key.
    pub(crate) fn key(&self) -> Option<&Key> {
        match self {
            Self::Nobody => None,
            Self::Known(key) | Self::New(key) => Some(key),
        }
    }
}

impl Tree {
    /// Fetches and verifies the index of a source.
    pub(crate) fn open(source: Source, known: Known<'_>, now: Timestamp) -> Result<Self, Failure> {
        let read = source.clone();
        Self::verified(source, known, now).map_err(|failure| read.read_at(failure))
    }

    fn verified(source: Source, known: Known<'_>, now: Timestamp) -> Result<Self, Failure> {
        let place = source.name();
        let (text, signature) = source.index()?.ok_or_else(|| {
            if let Source::Directory(path) = &source
                && let Some(failure) = mirror::misnamed(path)
            {
                return failure;
            }
            Failure::new(Exit::Missing, format!("`{place}` has no `{}`", index::FILE))
                .help(match place.strip_suffix(index::FILE) {
                    Some(tree) => format!("name the tree itself: `{}`", tree.trim_end_matches('/')),
                    None => "name a tree that `ztc plugins publish` has made, or a repository that `ztc plugins push` has filled".to_owned(),
                })
        })?;
        let signer = who_signed(&place, &text, signature.as_deref(), &known)?;
        let index = Index::parse(&text, &place)?;
        match signer.key() {
            Some(key) if key.text() != index.publisher.key => {
                return Err(two_keys(&place, &index.publisher.key, key.shown()));
            }
            _ => {}
        }
        if let (Source::Mirrored { .. }, Signed::New(key)) = (&source, &signer) {
            return Err(unknown_mirror(&place, key));
        }
        // What another key has signed says nothing about this one's serials.
        let is_same = |seen: &&Seen| {
            signer
                .key()
                .is_none_or(|key| key.text() == seen.index.publisher.key)
        };
        if let Some(seen) = known.seen.as_ref().filter(is_same) {
            seen.compare(&place, (&text, &index))?;
        }
        if index.serial < known.serial {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "the index of `{place}` is older than the one of the lock: serial {}, locked was {}",
                    index.serial, known.serial
                ),
            )
            .help("run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, add `--moved` to `ztc plugins install`"));
        }
        if index.is_expired(now) {
            return Err(Failure::new(
                Exit::Refused,
                format!("the index of `{place}` is not valid any more since {}", index.expires),
            )
            .help("its publisher renews it with `ztc plugins publish`; an old copy may hide newer releases"));
        }
        Ok(Self {
            source,
            text,
            signature,
            index,
            signer,
            says: known.key.map(|(_, says)| says.to_owned()),
        })
    }
}

/// A mirror is read under the name of another source, so it must not be the first that says whose that source is.
fn unknown_mirror(place: &str, key: &Key) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("no key of `{place}` is trusted here, and a mirror does not decide whose it is"),
    )
    .detail(format!("signed with: {}", key.text()))
    .help(format!(
        "compare the key with what its publisher shows elsewhere, then run `ztc plugins trust add {} KEY`",
        word(place)
    ))
}

fn who_signed(
    place: &str,
    text: &[u8],
    signature: Option<&[u8]>,
    known: &Known<'_>,
) -> Result<Signed, Failure> {
    let Some(signature) = signature else {
        return unsigned(place, known);
    };
    let signature = String::from_utf8_lossy(signature);
    let key = match &known.key {
        Some((key, _)) => key.clone(),
        // Whose key it is nobody knows yet; that it is one and has signed all this is what the first use can tell.
        None => announced_key(place, text)?,
    };
    let refused = match (key.verify(text, &signature, index::FILE, place), &known.key) {
        (Ok(()), None | Some((_, SEEN | RECORD))) => return Ok(Signed::New(key)),
        (Ok(()), Some(_)) => return Ok(Signed::Known(key)),
        (Err(Refused::Wrong(failure)), _) => *failure,
        (Err(Refused::OtherKey), None) => two_keys(place, key.text(), signed_with(&signature)),
        (Err(Refused::OtherKey), Some((_, says))) => {
            other_key(place, says, &key, &signed_with(&signature))
        }
    };
    Err(refused)
}

/// What becomes of a tree that has no signature.
fn unsigned(place: &str, known: &Known<'_>) -> Result<Signed, Failure> {
    let help = match (&known.key, known.unsigned) {
        (Some((key, OPTION)), _) => {
            let message =
                format!("`{place}` has no signature, so the key that was given has not signed it");
            return Err(Failure::new(Exit::Refused, message)
                .detail(format!("given: {}", key.text()))
                .help(NOT_YOURS));
        }
        (Some((key, _)), _) => {
            return Err(Failure::new(
                Exit::Refused,
                format!("`{place}` has no signature any more, and it had one"),
            )
            .detail(format!("trusted: {}", key.text()))
            .help(format!(
                "ask its publisher; `ztc plugins trust remove {}` forgets that it was signed",
                word(place)
            )));
        }
        (None, Unsigned::Allow) => return Ok(Signed::Nobody),
        (None, Unsigned::Refuse) => {
            "add `--allow-unsigned` where you know these bytes by another way"
        }
        (None, Unsigned::Never(help)) => help,
    };
    let message = format!(
        "`{place}` has no signature: there is no `{}`",
        index::SIGNATURE
    );
    Err(Failure::new(Exit::Refused, message).help(help))
}

/// An index that was put together from those of two publishers.
fn two_keys(place: &str, named: &str, signed: String) -> Failure {
    let message = format!("the index of `{place}` names another key than the one that signed it");
    Failure::new(Exit::Refused, message)
        .detail(format!("names: {named}"))
        .detail(format!("signed with: {signed}"))
        .help("ask its publisher")
}

/// A source that is known, signed by somebody else. What its index says of itself is not shown: nobody who is known has signed that.
pub(crate) fn other_key(place: &str, says: &str, known: &Key, signed: &str) -> Failure {
    if says == OPTION {
        // Whoever says which key it has to be must not be led to trust the other one.
        let message = format!("`{place}` is signed with another key than the one that was given");
        return Failure::new(Exit::Refused, message)
            .detail(format!("given: {}", known.shown()))
            .detail(format!("signed with: {signed}"))
            .help(NOT_YOURS);
    }
    Failure::new(
        Exit::Refused,
        format!("`{place}` is signed with another key than the one that {says} names"),
    )
    .detail(format!("known: {}", known.shown()))
    .detail(format!("signed with: {signed}"))
    .help(format!(
        "ask its publisher by another way; where the key was changed on purpose, run `{}`",
        match says == LOCK {
            true => "ztc plugins install NAME@RANGE --key KEY".to_owned(),
            false => format!("ztc plugins trust add {} KEY", word(place)),
        }
    ))
}

fn announced_key(place: &str, text: &[u8]) -> Result<Key, Failure> {
    let announced = announced(text);
    Key::parse(&announced).map_err(|_| {
        Failure::new(
            Exit::Refused,
            format!("the index of `{place}` names no key of a publisher"),
        )
        .detail(format!("it names: {announced}"))
        .help("ask its publisher; nobody can have signed this")
    })
}

/// Returns the key that an index names, which proves nothing yet, and may be any text.
fn announced(text: &[u8]) -> String {
    let index: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
    printable(index["publisher"]["key"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::signature::{Signer, new_pair};

    /// Opens a tree whose index was changed and signed by its publisher.
    #[track_caller]
    fn refused(change: impl FnOnce(&mut serde_json::Value), serial: u64, message: &str) {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        std::fs::write(&key, new_pair(None).unwrap().0).unwrap();
        let signer = Signer::open(&key, || panic!("it has no password")).unwrap();
        let mut index = serde_json::json!({
            "format": 1,
            "serial": 7,
            "issued": "2026-01-01T00:00:00Z",
            "expires": "2026-02-01T00:00:00Z",
            "publisher": {"key": signer.public().text()},
            "adapters": {},
        });
        change(&mut index);
        let text = index.to_string();
        let signature = signer.sign(text.as_bytes(), "index").unwrap();
        std::fs::write(directory.path().join(index::FILE), &text).unwrap();
        std::fs::write(directory.path().join(index::SIGNATURE), signature).unwrap();
        let known = Known {
            key: Some((signer.public().clone(), "the test")),
            seen: None,
            serial,
            unsigned: Unsigned::Refuse,
        };
        let source = Source::Directory(directory.path().to_owned());
        let place = source.name();
        let opened = Tree::open(source, known, "2026-01-15T00:00:00Z".parse().unwrap());
        let failure = opened.unwrap_err();
        assert_eq!(failure.message.replace(&place, "there"), message);
    }

    #[test]
    fn what_is_signed_can_still_be_refused() {
        refused(
            |index| index["expires"] = "2026-01-14T00:00:00Z".into(),
            0,
            "the index of `there` is not valid any more since 2026-01-14T00:00:00Z",
        );
        refused(
            |_| {},
            8,
            "the index of `there` is older than the one of the lock: serial 7, locked was 8",
        );
        refused(
            |index| index["publisher"]["key"] = "RWother".into(),
            0,
            "the index of `there` names another key than the one that signed it",
        );
        let asset =
            serde_json::json!({"path": "../../etc/passwd", "size": 1, "sha256": "a".repeat(64)});
        let release = serde_json::json!({"released": "", "protocols": ["1.0"], "platforms": {"linux-x86_64": asset}});
        refused(
            |index| index["adapters"] = serde_json::json!({"a": {"versions": {"1.0.0": release}}}),
            0,
            "the index of `there` cannot be used: `a` 1.0.0 for linux-x86_64: the path `../../etc/passwd` is refused: it leaves the tree",
        );
    }
}
